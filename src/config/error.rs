use std::path::PathBuf;
use std::sync::Arc;

/// Why there is no configuration.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The file says something that can't be.
    #[error("{}:{line}: {key}{problem}", path.display(), key = prefix(key))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key with its tables, `upstream.url` for one; empty where the syntax is broken.
        key: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

fn prefix(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("{key}: ")
    }
}

/// Says what the deserializer says in words for whoever wrote the file. Values are left out: one
/// of them may be a password.
pub(super) fn plainly(message: &str) -> String {
    if let Some((key, known)) = message
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split_once('`'))
    {
        return unknown_key(key, known);
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    if let Some((got, wanted)) = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        let kind = got.split(['`', '"']).next().unwrap_or(got).trim();
        return format!("this is {}, but it must be {wanted}", article(kind));
    }
    message.to_owned()
}

/// A value of several lines is not repeated: where a quote is missing it holds all that follows,
/// passwords too.
pub(super) fn in_one_line(problem: String) -> String {
    if !problem.contains(['\n', '\r']) {
        return problem;
    }
    "this text has several lines; is a quote missing?".to_owned()
}

fn article(kind: &str) -> String {
    match kind {
        "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        kind if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}

/// `known` is serde's list of fields, each in backticks.
fn unknown_key(key: &str, known: &str) -> String {
    let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    known.sort_unstable();
    let distance = |name: &str| strsim::osa_distance(key, name);
    let nearest = known
        .iter()
        .copied()
        .min_by_key(|name| distance(name))
        .filter(|name| distance(name) <= (name.len() / 3).max(1));
    match nearest {
        Some(name) => format!("there is no such key; did you mean `{name}`?"),
        None => format!("there is no such key; possible here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_a_key_that_is_near() {
        let said = plainly("unknown field `ulr`, expected one of `name`, `url`, `rate`");
        assert_eq!(said, "there is no such key; did you mean `url`?");
        let said = plainly("unknown field `zzz`, expected one of `name`, `rate`, `ca`");
        assert_eq!(said, "there is no such key; possible here: ca, name, rate");
    }

    #[test]
    fn does_not_repeat_values() {
        let said = plainly("invalid type: integer `1234`, expected a string");
        assert_eq!(said, "this is an integer, but it must be a string");
        let said = plainly("invalid type: map, expected a size");
        assert_eq!(said, "this is a table, but it must be a size");
    }
}
