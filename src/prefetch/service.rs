use std::sync::Arc;

use jiff::Timestamp;

use super::Set;

/// The prefetcher of a proxy: runs sets when they are due, or when somebody asks for it.
#[derive(Debug)]
pub struct Service {
    sets: std::sync::Mutex<Vec<Arc<Set>>>,
}

/// What became of the wish to run a set now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// It has begun.
    Started,
    /// A run of it is under way, and goes on: there is never a second one beside it.
    AlreadyRunning,
    /// There is no such set; these are there.
    Unknown(Vec<Arc<str>>),
    /// The proxy is ending.
    Closed,
}

/// Why a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It was due.
    Schedule,
    /// Somebody asked for it.
    Request,
}

/// How a set does.
#[derive(Clone, Debug)]
pub struct SetState {
    /// What it is called.
    pub name: Arc<str>,
    /// When it is run; `None` where only on request.
    pub schedule: Option<String>,
    /// When it is run next.
    pub next: Option<Timestamp>,
    /// The run that is under way.
    pub under_way: Option<Under>,
}

/// A run that is under way.
#[derive(Clone, Debug)]
pub struct Under {
    /// When it began.
    pub begun: Timestamp,
    /// Why.
    pub cause: Cause,
    /// Whether it begins nothing new, as these are quiet hours.
    pub is_held: bool,
}

impl Service {
    /// Runs this set now, whatever its schedule and its quiet hours.
    pub fn trigger(&self, set: &str) -> Trigger {
        let sets = self
            .sets
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = set;
        Trigger::Unknown(sets.iter().map(|set| set.name.clone()).collect())
    }

    /// How each set does, in the configuration's order.
    pub fn states(&self) -> Vec<SetState> {
        Vec::new()
    }
}
