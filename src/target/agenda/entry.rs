use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use tokio::sync::oneshot;

use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::target::Errand;
use crate::target::ErrandState;
use crate::target::Error;
use crate::target::Mirrored;
use crate::target::Pace;
use crate::target::part::Part;

pub(super) type Manifest = (Repository, Digest);
pub(super) type Slot = (Repository, Option<Tag>, Option<Digest>);
pub(super) type Waiter = oneshot::Sender<Result<Mirrored, Error>>;

/// An errand, as it is begun or taken up.
#[derive(Clone, Debug)]
pub(in crate::target) struct Entry {
    pub(in crate::target) errand: Errand,
    pub(in crate::target) pace: Pace,
    /// How much of an index is wanted.
    pub(in crate::target) part: Part,
    /// Whether it is in the queue on disk.
    pub(in crate::target) durable: bool,
    /// Whether an earlier process may have begun with it.
    pub(in crate::target) resumed: bool,
    pub(in crate::target) since: SystemTime,
    /// How often it has failed.
    pub(in crate::target) attempts: u32,
    pub(in crate::target) last_error: Option<String>,
    pub(super) when: When,
    /// Whether it is tried again as soon as it is asked for again.
    pub(super) eager: bool,
    /// The manifests that it is parked for.
    pub(super) parked: Vec<Digest>,
    /// Whether it was parked, and nothing has come since.
    pub(super) in_vain: bool,
    pub(super) waiters: Waiters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Ready,
    /// Not before then, unless it is asked for again.
    At(Instant, SystemTime),
    Running,
}

/// Who waits for an errand; a copy of it has none.
#[derive(Debug, Default)]
pub(super) struct Waiters(pub(super) Vec<Waiter>);

impl Clone for Waiters {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// When an errand that failed is tried again.
#[derive(Clone, Debug)]
pub(in crate::target) enum Next {
    /// As soon as there is room.
    Now,
    /// After this.
    After(Duration),
    /// After this, or when it is asked for again.
    Supply(Duration),
    /// After this, or as soon as one of these manifests is there.
    Parked(Duration, Vec<Digest>),
}

impl Entry {
    /// An errand that is new.
    pub(in crate::target) fn new(errand: Errand, pace: Pace) -> Self {
        Self {
            errand,
            pace,
            part: Part::All,
            durable: true,
            resumed: false,
            since: SystemTime::now(),
            attempts: 0,
            last_error: None,
            when: When::Ready,
            eager: false,
            parked: Vec::new(),
            in_vain: false,
            waiters: Waiters::default(),
        }
    }

    /// As people are told of it.
    pub(super) fn state(&self) -> ErrandState {
        ErrandState {
            repository: self.errand.repository.to_string(),
            digest: self.errand.digest.to_string(),
            tag: self.errand.tag.as_ref().map(ToString::to_string),
            since: self.since,
            under_way: self.when == When::Running,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            next: match self.when {
                When::At(_, at) => Some(at),
                When::Ready | When::Running => None,
            },
        }
    }

    pub(super) fn manifest(&self) -> Manifest {
        (self.errand.repository.clone(), self.errand.digest.clone())
    }

    pub(super) fn slot(&self) -> Slot {
        slot(
            &self.errand.repository,
            &self.errand.digest,
            self.errand.tag.as_ref(),
        )
    }
}

pub(super) fn slot(repository: &Repository, digest: &Digest, tag: Option<&Tag>) -> Slot {
    let by_digest = tag.is_none().then(|| digest.clone());
    (repository.clone(), tag.cloned(), by_digest)
}
