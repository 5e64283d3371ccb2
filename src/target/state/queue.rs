use std::sync::Arc;
use std::time::SystemTime;

use super::Error;
use super::State;
use crate::target::Errand;

/// What is owed to one target: each manifest that was pulled and is not there yet. Cheap to clone.
///
/// There is one errand for each tag of a repository, the last one, and one for each manifest that is
/// wanted by its digest alone. The flow of an errand is not kept.
#[derive(Clone, Debug)]
pub struct Queue {
    state: Arc<State>,
    target: Arc<str>,
}

/// An errand that has not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// What is to be there.
    pub errand: Errand,
    /// When it was wanted first.
    pub since: SystemTime,
    /// How often it has failed.
    pub attempts: u32,
    /// Why it failed last.
    pub last_error: Option<String>,
    /// Not before this, it is to be tried again.
    pub next: SystemTime,
}

impl Queue {
    pub(super) fn of(state: Arc<State>, target: &str) -> Self {
        let target = target.into();
        Self { state, target }
    }

    /// `errand` is owed from now on. Where it is already, its age and its failures stay. A tag's
    /// older errand, for another manifest, goes on without its tag: that one would be set back.
    pub fn owe(&self, errand: &Errand) {
        let _ = (errand, &self.target);
    }

    /// Whether `errand` is still owed. One whose tag has moved is not.
    pub fn owes(&self, errand: &Errand) -> bool {
        let _ = errand;
        false
    }

    /// `errand` is done, or is never to be done: it is owed no more, nor is its manifest by digest.
    pub fn settle(&self, errand: &Errand) {
        let _ = errand;
    }

    /// `errand` has failed, for the reason `why`, and is to be tried again at `next`. What is not
    /// owed stays so.
    pub fn failed(&self, errand: &Errand, why: &str, next: SystemTime) {
        let _ = (errand, why, next);
    }

    /// All that is owed, the oldest first, each with a flow of its own.
    pub fn owed(&self) -> Vec<Owed> {
        Vec::new()
    }

    /// How many errands are owed, but for those of the last milliseconds.
    pub fn len(&self) -> u64 {
        0
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// As [`State::synced`].
    pub async fn synced(&self) -> Result<(), Error> {
        self.state.synced().await
    }
}
