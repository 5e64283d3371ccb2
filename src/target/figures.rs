use std::sync::atomic::{AtomicU64, Ordering};

use super::Figures;
use super::Mirrored;

/// Counts what is done for a target.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) errands: Count,
    pub(super) given_up: Count,
    pub(super) failures: Count,
    pub(super) manifests: Count,
    pub(super) uploads: Count,
    pub(super) upload_bytes: Count,
    pub(super) mounts: Count,
    pub(super) mounts_refused: Count,
    pub(super) known: Count,
    pub(super) heads: Count,
    pub(super) retries: Count,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counts {
    pub(super) fn figures(&self) -> Figures {
        Figures {
            errands: self.errands.get(),
            given_up: self.given_up.get(),
            failures: self.failures.get(),
            manifests: self.manifests.get(),
            uploads: self.uploads.get(),
            upload_bytes: self.upload_bytes.get(),
            mounts: self.mounts.get(),
            mounts_refused: self.mounts_refused.get(),
            known: self.known.get(),
            heads: self.heads.get(),
            retries: self.retries.get(),
        }
    }

    /// How often the target has taken something: who sees no more of it is in an outage.
    pub(super) fn taken(&self) -> u64 {
        self.uploads.get() + self.mounts.get() + self.manifests.get()
    }

    /// What was done for one errand is done for its target.
    pub(super) fn blob(&self, brought: Brought, tally: &mut Mirrored) {
        match brought {
            Brought::Known => {
                self.known.add(1);
                tally.known += 1;
            }
            Brought::Mounted => {
                self.mounts.add(1);
                tally.mounts += 1;
            }
            Brought::Uploaded(bytes) => {
                self.uploads.add(1);
                self.upload_bytes.add(bytes);
                tally.uploads += 1;
                tally.upload_bytes += bytes;
            }
        }
    }
}

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brought {
    /// It was there.
    Known,
    /// From another repository.
    Mounted,
    /// From us, so many bytes.
    Uploaded(u64),
}
