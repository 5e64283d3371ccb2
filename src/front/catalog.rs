//! A page of all that is mirrored (CNCF Distribution, "Listing repositories").

use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;
use serde_json::json;

use super::fault::Fault;

/// Which part of a sorted list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// How many entries; `None` for all.
    pub(super) n: Option<usize>,
    /// The entry before the first; empty for none.
    pub(super) last: String,
}

impl Page {
    /// Reads `n` and `last` of a query.
    pub(super) fn parse(query: &str) -> Result<Self, Fault> {
        let mut page = Self::default();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "n" => page.n = Some(value.parse().map_err(|_| Fault::bad_page(value))?),
                "last" => page.last = percent_decode_str(value).decode_utf8_lossy().into_owned(),
                _ => {}
            }
        }
        Ok(page)
    }

    /// The page of `sorted` as JSON, and the query of the next one where there is one.
    pub(super) fn of(&self, sorted: &[String]) -> (String, Option<String>) {
        let start = sorted.partition_point(|entry| *entry <= self.last);
        let rest = &sorted[start..];
        let shown = &rest[..self.n.unwrap_or(usize::MAX).min(rest.len())];
        let next = match (shown.last(), self.n) {
            (Some(last), Some(n)) if shown.len() < rest.len() => {
                let last = utf8_percent_encode(last, NON_ALPHANUMERIC);
                Some(format!("n={n}&last={last}"))
            }
            _ => None,
        };
        (json!({ "repositories": shown }).to_string(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other() {
        let all: Vec<String> = ["a/b", "a/c", "b/a"].map(str::to_owned).into();
        let page = |query: &str| Page::parse(query).unwrap().of(&all);
        let everything = r#"{"repositories":["a/b","a/c","b/a"]}"#;
        assert_eq!(page(""), (everything.into(), None));
        assert_eq!(page("n=3"), (everything.into(), None));
        let (first, next) = page("n=2");
        assert_eq!(first, r#"{"repositories":["a/b","a/c"]}"#);
        let (second, end) = page(&next.unwrap());
        assert_eq!(second, r#"{"repositories":["b/a"]}"#);
        assert_eq!(end, None);
        let nothing = r#"{"repositories":[]}"#;
        assert_eq!(page("n=0"), (nothing.into(), None));
        assert_eq!(page("last=z"), (nothing.into(), None));
        for bad in ["n=", "n=-1", "n=x"] {
            assert_eq!(Page::parse(bad).unwrap_err().status, 400);
        }
    }
}
