//! What happened, counted; and the first thing that was wrong.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Instant;

/// How something that a client wanted ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it came, and it was right.
    Right,
    /// An error that an upstream's fault explains.
    Refused(u16),
    /// The connection broke off, or was never made.
    Broken,
    /// The client left.
    Left,
}

/// How often each kind of request ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) right: u64,
    pub(crate) refused: u64,
    pub(crate) broken: u64,
    pub(crate) left: u64,
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<&'static str, Counts>,
    statuses: BTreeMap<u16, u64>,
    events: BTreeMap<&'static str, u64>,
    client_bytes: u64,
    upstream_bytes: u64,
    failures: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            inner: Mutex::default(),
        }
    }

    /// A request ended.
    pub(crate) fn ended(&self, kind: &'static str, outcome: Outcome) {
        let mut inner = self.inner();
        let counts = inner.requests.entry(kind).or_default();
        match outcome {
            Outcome::Right => counts.right += 1,
            Outcome::Refused(_) => counts.refused += 1,
            Outcome::Broken => counts.broken += 1,
            Outcome::Left => counts.left += 1,
        }
        if let Outcome::Refused(status) = outcome {
            *inner.statuses.entry(status).or_default() += 1;
        }
    }

    /// Something happened `times` times.
    pub(crate) fn happened(&self, what: &'static str, times: u64) {
        *self.inner().events.entry(what).or_default() += times;
    }

    /// Clients received body bytes.
    pub(crate) fn received(&self, bytes: u64) {
        self.inner().client_bytes += bytes;
    }

    /// Upstreams sent body bytes.
    pub(crate) fn sent(&self, bytes: u64) {
        self.inner().upstream_bytes += bytes;
    }

    /// Something is wrong: the run ends.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        let failure = format!(
            "after {:.1} s: {}",
            self.start.elapsed().as_secs_f64(),
            what.into()
        );
        eprintln!("WRONG {failure}");
        self.inner().failures.push(failure);
    }

    /// The first thing that was wrong.
    pub(crate) fn failure(&self) -> Option<String> {
        self.inner().failures.first().cloned()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.inner().failures.clone()
    }

    pub(crate) fn requests(&self) -> BTreeMap<&'static str, Counts> {
        self.inner().requests.clone()
    }

    pub(crate) fn statuses(&self) -> BTreeMap<u16, u64> {
        self.inner().statuses.clone()
    }

    pub(crate) fn events(&self) -> BTreeMap<&'static str, u64> {
        self.inner().events.clone()
    }

    /// What clients received and upstreams sent, in bytes.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.client_bytes, inner.upstream_bytes)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
