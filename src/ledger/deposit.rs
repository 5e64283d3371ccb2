use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FlowId;
use super::account::Side;
use super::account::UNBALANCED;
use super::books::Totals;
use super::fate::Fate;
use super::fate::Reason;
use crate::oci::Digest;
use crate::oci::Repository;

/// What was kept of any number of bodies for one blob, against what the store made of it: all was
/// published, or all was thrown away. All clones are the same deposit.
///
/// It is closed when the last clone is dropped; without a word of the store, as abandoned. If the
/// store published another number of bytes than were kept, that is a bug of ours, as for an
/// [`super::Account`].
#[derive(Clone, Debug)]
pub struct Deposit(Arc<Pile>);

/// What a deposit is of, for the log.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whose cause it is.
    pub flow: FlowId,
    /// Where it comes from.
    pub repository: Repository,
    /// Which blob it is to be.
    pub digest: Digest,
}

#[derive(Debug)]
struct Pile {
    totals: Arc<Totals>,
    subject: Subject,
    kept: AtomicU64,
    outcome: OnceLock<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Committed(u64),
    Discarded(Reason),
}

impl Deposit {
    pub(super) fn open(totals: &Arc<Totals>, subject: Subject) -> Self {
        totals.open();
        Self(Arc::new(Pile {
            totals: totals.clone(),
            subject,
            kept: AtomicU64::new(0),
            outcome: OnceLock::new(),
        }))
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A file of so many bytes was published. The first word holds.
    pub fn commit(&self, bytes: u64) {
        let _ = self.0.outcome.set(Outcome::Committed(bytes));
    }

    /// All is thrown away. The first word holds.
    pub fn discard(&self, reason: Reason) {
        let _ = self.0.outcome.set(Outcome::Discarded(reason));
    }
}

impl Drop for Pile {
    fn drop(&mut self) {
        let kept = *self.kept.get_mut();
        let reason = match self.outcome.get() {
            Some(Outcome::Committed(bytes)) => return self.close(kept, *bytes),
            Some(Outcome::Discarded(reason)) => *reason,
            None => Reason::Abandoned,
        };
        self.totals
            .enter(Side::Response, Fate::Discarded(reason), kept);
        self.totals.settle(kept);
        self.totals.close(0);
    }
}

impl Pile {
    fn close(&self, kept: u64, committed: u64) {
        if kept != committed {
            let Subject {
                flow,
                repository,
                digest,
            } = &self.subject;
            tracing::error!(?flow, %repository, %digest, kept, committed, "{UNBALANCED}");
        }
        self.totals
            .enter(Side::Response, Fate::Committed, committed);
        self.totals.settle(kept);
        self.totals.close(kept.abs_diff(committed));
    }
}
