//! The values of labels: few, whatever clients and upstreams send.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;

/// The upstreams whose names may be labels.
#[derive(Debug)]
pub(super) struct Names {
    known: ArcSwap<HashSet<Arc<str>>>,
    none: Arc<str>,
    other: Arc<str>,
}

impl Names {
    /// These names are labels from now on. Those of before stay: they have been counted.
    pub(super) fn learn<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut known = HashSet::clone(&self.known.load());
        known.extend(names.map(Arc::from));
        self.known.store(Arc::new(known));
    }

    /// The label of a receipt's or a connection's `registry`.
    pub(super) fn label(&self, registry: &str) -> Arc<str> {
        if registry.is_empty() {
            return self.none.clone();
        }
        let known = self.known.load();
        known.get(registry).unwrap_or(&self.other).clone()
    }
}

impl Default for Names {
    fn default() -> Self {
        Self {
            known: ArcSwap::default(),
            none: NONE.into(),
            other: OTHER.into(),
        }
    }
}

/// Where there is nothing to tell.
pub(super) const NONE: &str = "none";
/// What is not worth, or not safe to have, a value of its own.
const OTHER: &str = "other";

/// Methods that a registry knows, and those that a client may try.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn method(method: &Method) -> &'static str {
    let known = METHODS.iter().find(|known| **known == method.as_str());
    known.copied().unwrap_or(OTHER)
}

/// A status: the code itself where it is one that a registry uses, else its class only, for an
/// upstream may send any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Status {
    None,
    Code(u16),
    Class(u16),
}

const CODES: [u16; 29] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409,
    412, 413, 416, 429, 431, 500, 501, 502, 503, 504,
];

impl Status {
    /// Of a receipt, where 0 means that no answer came.
    pub(super) fn of(status: u16) -> Self {
        match status {
            0 => Self::None,
            code if CODES.contains(&code) => Self::Code(code),
            code => Self::class_of(code),
        }
    }

    /// As `2xx`, whatever the code.
    pub(super) fn class_of(status: u16) -> Self {
        match status {
            0 => Self::None,
            code => Self::Class(code / 100),
        }
    }

    pub(super) fn label(self) -> Cow<'static, str> {
        match self {
            Self::None => NONE.into(),
            Self::Code(code) => code.to_string().into(),
            Self::Class(class @ 1..=5) => format!("{class}xx").into(),
            Self::Class(_) => OTHER.into(),
        }
    }
}

pub(super) fn yes(is_so: bool) -> &'static str {
    if is_so { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_upstreams_are_labels() {
        let names = Names::default();
        names.learn(["docker.io"].into_iter());
        names.learn(["quay.io"].into_iter());
        let labels = ["docker.io", "quay.io", "evil.example", ""].map(|name| names.label(name));
        let labels = labels.each_ref().map(|label| &**label);
        assert_eq!(labels, ["docker.io", "quay.io", "other", "none"]);
    }

    #[test]
    fn no_status_or_method_makes_a_label_of_its_own() {
        let all: HashSet<_> = (0..=999).map(|code| Status::of(code).label()).collect();
        assert_eq!(all.len(), CODES.len() + 7, "{all:?}");
        let labels = [0, 206, 429, 299, 418, 999].map(|code| Status::of(code).label());
        assert_eq!(labels, ["none", "206", "429", "2xx", "4xx", "other"]);
        assert_eq!(Status::class_of(429).label(), "4xx");
        assert_eq!(method(&Method::HEAD), "HEAD");
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
