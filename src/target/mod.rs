//! Targets: remote registries that what is pulled is mirrored into, each blob uploaded once and
//! mounted everywhere else.
//!
//! An [`Errand`] says which manifest is to be where. Whoever has the content is asked for it through
//! [`Supply`]: the engine of the pulls, so that what is mirrored is a follower of the same fills that
//! clients follow; or a file, for a copy.
//!
//! The way of an errand: [`Targets`] finds the targets that want it, `remote` keeps it in the durable
//! queue and in the `agenda`; `dispatch` begins it when there is room, unless the target is out
//! (`outage`). `errand` reads its manifests, `planner` brings it to the `election` with others that
//! begin at the same time, and its `blob`s come there, by mounts and uploads, under `claims` that
//! keep two from doing the same; then its `manifest`s are put. `verdict` says what becomes of one
//! that failed.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Platform;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry::Content;

mod agenda;
mod blob;
mod claims;
mod config;
mod create;
mod dispatch;
mod ecr;
mod election;
mod ending;
mod errand;
mod error;
mod figures;
mod manifest;
mod mounting;
mod node;
mod outage;
mod part;
mod place;
mod planner;
mod platforms;
mod reader;
mod remote;
mod removal;
mod report;
pub mod state;
mod subject;
mod targets;
mod there;
mod turns;
mod verdict;
mod verify;

pub use config::Complete;
pub use config::Config;
pub use error::Error;
pub use place::Place;
pub use place::PlaceError;
pub use reader::Reader;
pub use report::CatalogState;
pub use report::ErrandState;
pub use report::Figures;
pub use report::OutageState;
pub use report::TargetState;
pub use state::Catalog;
pub use state::Queue;
pub use state::State;
pub use targets::Pulled;
pub use targets::Targets;
pub use there::Presence;
pub use verify::Checked;

/// A manifest that is to be at a target, with all that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// Where it comes from.
    pub repository: Repository,
    /// The manifest: an image, an index, or an artifact.
    pub digest: Digest,
    /// The tag that is to point to it; `None` where it is wanted by its digest alone.
    pub tag: Option<Tag>,
    /// Its cause, for the ledger.
    pub flow: FlowId,
}

/// An errand that somebody waits for, and how much of it is wanted.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which manifest is to be where.
    pub errand: Errand,
    /// Of an index: the platforms that are wanted, those of them that it has; empty for `extent`.
    pub platforms: Arc<[Platform]>,
    /// Of an index, where no platforms are named: how much of it.
    pub extent: Extent,
    /// How much of a hurry it is.
    pub pace: Pace,
}

impl Wish {
    /// All of it, or `platforms` where some are named.
    pub fn new(errand: Errand, platforms: Arc<[Platform]>, pace: Pace) -> Self {
        Self {
            errand,
            platforms,
            extent: Extent::All,
            pace,
        }
    }

    /// As much of it as the target is configured to have.
    pub fn as_configured(errand: Errand, pace: Pace) -> Self {
        Self {
            errand,
            platforms: Arc::default(),
            extent: Extent::Configured,
            pace,
        }
    }
}

/// How much of an index is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All its manifests.
    All,
    /// As the target's `complete` says.
    Configured,
}

/// A manifest, byte for byte.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// As its registry called it.
    pub media_type: Arc<str>,
    /// Its bytes; they have the digest that was asked for.
    pub bytes: Bytes,
}

/// What it took to have a manifest at a target, with all that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Blobs that were uploaded.
    pub uploads: u64,
    /// Their bytes.
    pub upload_bytes: u64,
    /// Blobs that were mounted.
    pub mounts: u64,
    /// Blobs that were there already.
    pub known: u64,
    /// Manifests that were put.
    pub manifests: u64,
    /// What the tag points to there, where that is not the errand's manifest: an index of the wanted
    /// platforms only, for a target that takes none whose manifests are not all there.
    pub digest_put: Option<Digest>,
}

/// How much something is in a hurry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A client has asked for the same, now.
    Client,
    /// Nobody waits: what has to be fetched for it waits until clients are served.
    Background,
}

/// Who has the content of errands. Dropping any of its futures takes nothing away from anybody.
pub trait Supply: fmt::Debug + Send + Sync {
    /// A manifest of `repository`, from wherever it is.
    ///
    /// # Errors
    /// When it can't be had: [`Missing`].
    fn manifest<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>>;

    /// A whole blob of `repository`, which may still be on its way: its bytes come as they arrive.
    /// The body fails rather than falls short, or ends with bytes that have another digest.
    ///
    /// # Errors
    /// When it can't be had: [`Missing`].
    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>>;
}

/// Why a [`Supply`] is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The cause, for the ledger.
    pub flow: FlowId,
    /// How much of a hurry it is.
    pub pace: Pace,
    /// Whether it is the operator's own doing, by the credentials that are configured, and no
    /// client's: then what the same upstream has given through another repository needs not be asked
    /// for again.
    pub ours: bool,
}

/// Content that can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// It is not there, and won't be: there is no use in asking again.
    #[error("{0}")]
    Gone(String),
    /// Not now: ask again later.
    #[error("{0}")]
    Later(String),
}

/// A lock whose holder panicked is as good as any: nothing here is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
