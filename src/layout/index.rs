//! `index.json`: what a layout has (image spec, image-layout.md, "index.json file").

use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::FULL_NAME;
use super::REF_NAME;
use super::source::Image;
use crate::oci::Descriptor;
use crate::oci::media;

/// The name of the file.
pub(super) const FILE: &str = "index.json";
/// The file that says that a folder is a layout.
pub(super) const MARK: &str = "oci-layout";
/// What is in it.
pub(super) const MARKED: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: serde_json::Map<String, Value>,
}

/// The entries of an index, in their order. One with a digest that we can't verify is an error.
pub(super) fn images(bytes: &[u8]) -> Result<Vec<Image>, String> {
    let index: Index = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    index.manifests.into_iter().map(image).collect()
}

fn image(entry: Entry) -> Result<Image, String> {
    let digest = entry.digest.parse();
    let named = |key: &str| entry.annotations.get(key).and_then(Value::as_str);
    let names = [REF_NAME, FULL_NAME].into_iter().filter_map(named);
    Ok(Image {
        names: names.map(ToOwned::to_owned).collect(),
        descriptor: Descriptor {
            media_type: entry.media_type.as_str().into(),
            digest: digest.map_err(|error: crate::oci::DigestError| error.to_string())?,
            size: entry.size,
        },
    })
}

/// Whether the layout's version is one that we know.
pub(super) fn check_mark(bytes: &[u8]) -> Result<(), String> {
    let version = serde_json::from_slice::<Value>(bytes).ok();
    let version = version
        .as_ref()
        .and_then(|mark| mark["imageLayoutVersion"].as_str());
    match version {
        Some(version) if version.starts_with("1.") => Ok(()),
        Some(version) => Err(format!(
            "an OCI layout of version {version:.20}, which is not known"
        )),
        None => Err("this is no OCI layout: its file oci-layout says nothing".to_owned()),
    }
}

/// `before` with `images` in it. An image takes the place of one of the same name; one without a name
/// is there once. What others have written stays as it is, byte for byte where JSON allows it.
pub(super) fn with(before: Option<&[u8]>, images: &[Image]) -> Result<Vec<u8>, String> {
    let mut index = match before {
        Some(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string())?,
        None => json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": []}),
    };
    let entries = index.get_mut("manifests").and_then(Value::as_array_mut);
    let entries = entries.ok_or("its index.json has no list of manifests")?;
    for image in images {
        let digest = image.descriptor.digest.as_str();
        let name = image.names.first().map(String::as_str);
        let is_replaced = |entry: &Value| match name {
            Some(name) => entry["annotations"][REF_NAME] == name,
            None => entry["digest"] == digest && entry["annotations"][REF_NAME].is_null(),
        };
        let mut fresh = json!({
            "mediaType": &*image.descriptor.media_type,
            "digest": digest,
            "size": image.descriptor.size,
        });
        if let Some(name) = name {
            fresh["annotations"] = json!({ REF_NAME: name });
        }
        match entries.iter().position(is_replaced) {
            Some(at) => entries[at] = fresh,
            None => entries.push(fresh),
        }
    }
    serde_json::to_vec(&index).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;

    fn named(name: Option<&str>, content: &[u8]) -> Image {
        Image {
            names: name.map(ToOwned::to_owned).into_iter().collect(),
            descriptor: Descriptor {
                media_type: media::OCI_MANIFEST.into(),
                digest: Digest::of(content),
                size: content.len() as u64,
            },
        }
    }

    #[test]
    fn an_image_takes_the_place_of_its_name_alone() {
        let [a, b, c] = [
            named(Some("a"), b"1"),
            named(Some("b"), b"2"),
            named(None, b"3"),
        ];
        let first = with(None, &[a, b.clone(), c.clone()]).unwrap();
        let moved = named(Some("a"), b"4");
        let second = with(Some(&first), &[moved.clone(), c.clone()]).unwrap();
        assert_eq!(images(&second).unwrap(), [moved, b, c]);
        assert_eq!(with(Some(&second), &[]).unwrap(), second);
    }

    #[test]
    fn what_others_wrote_stays() {
        let other =
            br#"{"schemaVersion":2,"extra":{"x":[1]},"manifests":[{"platform":{"os":"plan9"}}]}"#;
        let text = with(Some(other), &[named(Some("a"), b"1")]).unwrap();
        let read: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["extra"]["x"][0], 1);
        assert_eq!(read["manifests"][0]["platform"]["os"], "plan9");
        assert!(with(Some(b"[]"), &[]).is_err());
    }

    #[test]
    fn only_versions_that_are_known_pass() {
        assert!(check_mark(MARKED.as_bytes()).is_ok());
        for text in ["", "{}", r#"{"imageLayoutVersion":"2.0.0"}"#] {
            assert!(check_mark(text.as_bytes()).is_err(), "{text}");
        }
    }
}
