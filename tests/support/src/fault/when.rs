//! Which requests a fault strikes.

use std::sync::Arc;

use http::Method;

use crate::record::Recorded;

type Condition = Arc<dyn Fn(&Recorded) -> bool + Send + Sync>;

/// Which requests a fault strikes: all that match, unless `nth`, `after` or `times` say less.
#[derive(Clone)]
pub struct When {
    method: Option<Method>,
    contains: String,
    conditions: Vec<Condition>,
    pub(super) skip: usize,
    pub(super) times: usize,
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        Self {
            method: None,
            contains: String::new(),
            conditions: Vec::new(),
            skip: 0,
            times: usize::MAX,
        }
    }

    /// Requests of any method whose path contains `part`.
    pub fn path(part: &str) -> Self {
        Self {
            contains: part.to_owned(),
            ..Self::any()
        }
    }

    /// GETs whose path contains `part`.
    pub fn get(part: &str) -> Self {
        Self::path(part).method(Method::GET)
    }

    /// HEADs whose path contains `part`.
    pub fn head(part: &str) -> Self {
        Self::path(part).method(Method::HEAD)
    }

    /// POSTs whose path contains `part`: `/blobs/uploads/` for the begin of an upload, or a mount.
    pub fn post(part: &str) -> Self {
        Self::path(part).method(Method::POST)
    }

    /// PUTs whose path contains `part`: `/blobs/uploads/` for the end of an upload, `/manifests/`
    /// for a manifest.
    pub fn put(part: &str) -> Self {
        Self::path(part).method(Method::PUT)
    }

    /// PATCHes whose path contains `part`.
    pub fn patch(part: &str) -> Self {
        Self::path(part).method(Method::PATCH)
    }

    /// Only this method.
    pub fn method(self, method: Method) -> Self {
        Self {
            method: Some(method),
            ..self
        }
    }

    /// Only where `condition` holds as well.
    pub fn and(mut self, condition: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    /// Only the `nth` matching request, counted from 1.
    pub fn nth(self, nth: usize) -> Self {
        self.after(nth - 1).times(1)
    }

    /// Not the first `skip` matching requests.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// At most `times` requests; then the fault is gone.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    pub(super) fn matches(&self, recorded: &Recorded) -> bool {
        self.method
            .as_ref()
            .is_none_or(|method| *method == recorded.method)
            && recorded.path.contains(&self.contains)
            && self.conditions.iter().all(|condition| condition(recorded))
    }
}
