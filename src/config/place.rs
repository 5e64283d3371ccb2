//! From a span of the text to the line and the key that a person looks for.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::DeTable;
use toml::de::DeValue;

use super::Error;
use super::error;

/// Something wrong, and where in the text it stands, in bytes.
#[derive(Debug)]
pub(super) struct Flaw {
    span: Range<usize>,
    problem: String,
}

impl Flaw {
    /// `problem` at `span`.
    pub(super) fn new(span: Range<usize>, problem: impl Into<String>) -> Self {
        Self {
            span,
            problem: problem.into(),
        }
    }

    /// `problem` with a value that stands in the text.
    pub(super) fn at<T>(value: &Spanned<T>, problem: impl Into<String>) -> Self {
        Self::new(value.span(), problem)
    }

    /// With the line of `text` and the key of `tree` that it concerns.
    pub(super) fn placed(self, path: &Path, text: &str, tree: Option<&DeTable<'_>>) -> Error {
        let start = self.span.start.min(text.len());
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let mut key = Vec::new();
        if let Some(tree) = tree {
            key_at(tree, start, &mut key);
        }
        Error::Invalid {
            path: path.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            key: key.join("."),
            problem: error::in_one_line(self.problem),
        }
    }
}

/// Collects the keys on the way to what stands at `offset`; none where nothing does. A table's own
/// span is its header only, so that its entries are searched wherever they stand.
fn key_at<'t>(table: &'t DeTable<'_>, offset: usize, keys: &mut Vec<&'t str>) -> bool {
    for (key, value) in table {
        keys.push(key.get_ref());
        if within(value, offset, keys)
            || key.span().contains(&offset)
            || value.span().contains(&offset)
        {
            return true;
        }
        keys.pop();
    }
    false
}

fn within<'t>(value: &'t Spanned<DeValue<'_>>, offset: usize, keys: &mut Vec<&'t str>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => key_at(table, offset, keys),
        DeValue::Array(entries) => entries
            .iter()
            .any(|entry| within(entry, offset, keys) || entry.span().contains(&offset)),
        _ => false,
    }
}
