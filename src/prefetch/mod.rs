//! Prefetch: configured sets of tags are kept in the store and at the targets.
//!
//! A [`Set`] says which tags of which sources are to be where. [`discover`] asks its sources, and
//! tells of each repository as soon as its tags are judged; a run resolves each tag by one
//! request at its source, and has it mirrored, while other repositories are still being discovered.
//! Everything is asked of the engine of pulls, so a client that pulls what is being prefetched joins
//! the same fill.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use crate::oci::Digest;
use crate::oci::Platform;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

mod progress;
mod quiet;
mod release;
mod report;
mod run;
mod schedule;
mod service;
mod source;
mod tag_set;
mod tally;
mod world;

pub use progress::Active;
pub use progress::Progress;
pub use progress::Snapshot;
pub use quiet::Hours;
pub use quiet::Quiet;
pub use release::Release;
pub use release::ReleaseError;
pub use report::Counts;
pub use report::Delivery;
pub use report::Item;
pub use report::ItemOutcome;
pub use report::Outcome;
pub use report::Report;
pub use report::Traffic;
pub use run::Rehearsal;
pub use run::rehearse;
pub use run::run;
pub use schedule::Cron;
pub use schedule::Schedule;
pub use schedule::When;
pub use service::Cause;
pub use service::Figures;
pub use service::Record;
pub use service::Records;
pub use service::Service;
pub use service::SetState;
pub use service::Trigger;
pub use service::Under;
pub use source::Explained;
pub use source::Named;
pub use source::Sources;
pub use source::discover;
pub use source::explain;
pub use source::named_in;
pub use source::stored;
pub use tag_set::Filter;
pub use tag_set::Judged;
pub use tag_set::Listed;
pub use tag_set::Order;
pub use tag_set::Pattern;
pub use tag_set::Ranges;
pub use tag_set::Since;
pub use tag_set::TagSet;
pub use tag_set::Verdict;
pub use tag_set::Why;
pub use tag_set::naturally;
pub use tally::Tally;
pub use world::Tell;
pub use world::World;

/// One `[[prefetch]]`: which tags are kept warm, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// What it is called.
    pub name: Arc<str>,
    /// Where its tags come from.
    pub from: Vec<Source>,
    /// Which of their tags are wanted.
    pub tags: TagSet,
    /// Tags that never move: once one is there, it is not asked about again.
    pub immutable: Vec<Pattern>,
    /// With fewer tags than that something must be wrong: it is said as a failure, so that nothing
    /// is pruned.
    pub min_tags: u64,
    /// The platforms that are wanted of an index; empty for all.
    pub platforms: Vec<Platform>,
    /// Whether signatures, attestations and whatever else refers to an image come with it.
    pub referrers: bool,
    /// Where its tags go to.
    pub to: Vec<Destination>,
    /// How a target is asked about tags that it is known to have.
    pub verify: Verify,
    /// What becomes of tags that are gone at the source.
    pub prune: Prune,
    /// At most so many tags are pruned in one run: more are an error, and none is.
    pub prune_max: u64,
    /// When it is run by itself; `None` for never: only where somebody asks for it.
    pub schedule: Option<Schedule>,
    /// When a run that began by itself begins nothing new.
    pub quiet: Quiet,
    /// How many bytes a second its runs fetch, on average; `None` for no limit of its own.
    pub bandwidth: Option<NonZeroU64>,
}

/// Where tags come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// One repository.
    Repository(Repository),
    /// One image, by its tag or digest.
    Image {
        /// Where it is.
        repository: Repository,
        /// What it is called there.
        reference: Reference,
    },
    /// All repositories of a registry whose names fit a glob, by its catalog.
    Catalog {
        /// The registry.
        upstream: UpstreamName,
        /// Over its repositories' names; `*` stands for any characters, `/` too.
        pattern: String,
    },
    /// All repositories of a Quay whose names fit a glob, by its API.
    Quay {
        /// The registry.
        upstream: UpstreamName,
        /// Over its repositories' names, `NAMESPACE/GLOB`.
        pattern: String,
    },
    /// An OpenShift release: the release image and all its components.
    Release(Release),
    /// A file with a reference in each line, as `docker images`, Kubernetes manifests and Helm
    /// charts name them.
    References(PathBuf),
}

/// Where tags go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The embedded store.
    Store,
    /// The target of this name.
    Target(Arc<str>),
}

/// How a target is asked about tags that it is known to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Not at all: what the catalog says is believed.
    Never,
    /// By one `HEAD` for each tag.
    #[default]
    Tags,
    /// By one `HEAD` for each tag, manifest and blob.
    Deep,
}

/// What becomes of tags that are gone at the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prune {
    /// They stay.
    #[default]
    Off,
    /// They stay, and are told of.
    Report,
    /// They are removed.
    Delete,
}

/// What a source tells.
#[derive(Clone, Debug)]
pub enum Found {
    /// An image that is wanted.
    Wanted(Wanted),
    /// All of a repository's tags, wanted or not, once it is known which are wanted, and before the
    /// first of them is told. What is not among them is gone at the source. Not told where the tags
    /// are literal, or came from a file, or where there are too few of them (`min_tags`).
    Listed {
        /// Whose tags.
        repository: Repository,
        /// All of them, sorted.
        tags: Arc<[Tag]>,
    },
    /// A source, or one repository of it, that could not be asked: the rest goes on.
    Failed {
        /// What could not be had: a repository, a registry's catalog, a file.
        what: String,
        /// Why.
        why: String,
    },
}

/// An image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where it comes from.
    pub repository: Repository,
    /// What it is called there.
    pub reference: Reference,
    /// The tag that it has where it goes to; `None` for its digest alone.
    pub tag: Option<Tag>,
    /// Its digest, where the source has told it just now: it needs not be asked again.
    pub digest: Option<Digest>,
    /// Whether its tag never moves: once it is there, it is not asked about again.
    pub immutable: bool,
}
