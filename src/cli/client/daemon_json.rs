//! Docker's `daemon.json`, which others write too: our entries go to the head of its lists, and
//! all the rest stays as it was written, in its order.

use std::fmt;

use anyhow::Context as _;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

/// A JSON object in its order, whose values are kept as they were written.
struct Object(Vec<(String, Box<RawValue>)>);

/// `before`, with the lists of `ours` in it.
pub(super) fn merged(before: &str, ours: &str) -> anyhow::Result<String> {
    if before.trim().is_empty() {
        return Ok(ours.to_owned());
    }
    let mut object: Object =
        serde_json::from_str(before).context("it is not a JSON object; repair it first")?;
    let ours: Object = serde_json::from_str(ours)?;
    let mut changed = false;
    for (key, entries) in ours.0 {
        let entries: Vec<String> = serde_json::from_str(entries.get())?;
        changed |= object.add(&key, entries)?;
    }
    Ok(if changed {
        format!("{}\n", serde_json::to_string_pretty(&object)?)
    } else {
        before.to_owned()
    })
}

impl Object {
    /// Puts those of `entries` at the head of the list `key` that are not in it yet. Says whether
    /// there were any.
    fn add(&mut self, key: &str, entries: Vec<String>) -> anyhow::Result<bool> {
        let place = self.0.iter().position(|(there, _)| there == key);
        let list: Vec<String> = match place {
            Some(place) => serde_json::from_str(self.0[place].1.get()).with_context(|| {
                format!("its \"{key}\" is not a list of strings; repair it first")
            })?,
            None => Vec::new(),
        };
        // A slash at the end says nothing.
        let is_new = |entry: &String| {
            let bare = |text: &str| text.trim_end_matches('/').to_owned();
            !list.iter().any(|there| bare(there) == bare(entry))
        };
        let added: Vec<&String> = entries.iter().filter(|entry| is_new(entry)).collect();
        if added.is_empty() {
            return Ok(false);
        }
        let whole = to_raw_value(&added.into_iter().chain(&list).collect::<Vec<_>>())?;
        match place {
            Some(place) => self.0[place].1 = whole,
            None => self.0.push((key.to_owned(), whole)),
        }
        Ok(true)
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> de::Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = r#"{"registry-mirrors": ["http://10.0.0.5:5000"], "insecure-registries": ["10.0.0.5:5000"]}"#;

    #[test]
    fn merging_keeps_what_others_wrote() {
        let before = r#"{
  "log-driver": "local",
  "registry-mirrors": ["https://b"],
  "a": { "z": 1.50, "b": 2 }
}
"#;
        let expected = r#"{
  "log-driver": "local",
  "registry-mirrors": ["http://10.0.0.5:5000","https://b"],
  "a": { "z": 1.50, "b": 2 },
  "insecure-registries": ["10.0.0.5:5000"]
}
"#;
        let after = merged(before, OURS).unwrap();
        assert_eq!(after, expected);
        assert_eq!(merged(&after, OURS).unwrap(), after);
    }

    #[test]
    fn merging_leaves_a_file_that_says_it_already() {
        let before = r#"{ "registry-mirrors" : ["http://10.0.0.5:5000/"], "insecure-registries":["10.0.0.5:5000"] }"#;
        assert_eq!(merged(before, OURS).unwrap(), before);
        assert_eq!(merged("\n", OURS).unwrap(), OURS);
    }

    #[test]
    fn merging_refuses_what_it_does_not_understand() {
        for before in [
            "{",
            "[]",
            r#"{"registry-mirrors": "http://a"}"#,
            r#"{"registry-mirrors": [1]}"#,
        ] {
            let error = merged(before, OURS).unwrap_err().to_string();
            assert!(error.ends_with("repair it first"), "{error}");
        }
    }
}
