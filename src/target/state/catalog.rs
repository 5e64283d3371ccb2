use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::State;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Tag;

/// What one target is known to have, repository by repository. Cheap to clone.
///
/// Notes and withdrawals are true for whoever asks next, and on disk soon after. Nothing here waits
/// for the disk but a look at what was not looked at for long.
#[derive(Clone, Debug)]
pub struct Catalog {
    state: Arc<State>,
    target: Arc<str>,
    ttl: Duration,
}

/// How well it is known that something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Noted less than `catalog_ttl` ago: believe it. Else ask (`HEAD`) and note it again.
    pub fresh: bool,
    /// A manifest that is there names it, or it is that manifest: no garbage collection takes it,
    /// and every registry mounts from there.
    pub committed: bool,
    /// It is there as a manifest. What is not, can't be asked for as one.
    pub manifest: bool,
}

/// A repository of the target that has a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub name: Name,
    /// As [`Known::fresh`].
    pub fresh: bool,
    /// As [`Known::committed`].
    pub committed: bool,
}

/// Where a tag points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTag {
    /// The manifest.
    pub digest: Digest,
    /// As [`Known::fresh`].
    pub fresh: bool,
}

impl Catalog {
    pub(super) fn of(state: Arc<State>, target: &str, ttl: Duration) -> Self {
        let target = target.into();
        Self { state, target, ttl }
    }

    /// Whether `name` has `digest`, as a blob or a manifest.
    pub fn holds(&self, name: &Name, digest: &Digest) -> Option<Known> {
        let _ = (name, digest, &self.target, self.ttl);
        None
    }

    /// Some repositories that have the blob: committed ones first, then fresh ones, 64 at most.
    pub fn holders(&self, digest: &Digest) -> Vec<Holder> {
        let _ = digest;
        Vec::new()
    }

    /// `name` has the blob `digest`.
    pub fn note(&self, name: &Name, digest: &Digest) {
        let _ = (name, digest);
    }

    /// `name` has the manifest `digest`, and all `blobs` that it names.
    pub fn note_manifest(&self, name: &Name, digest: &Digest, blobs: &[Digest]) {
        let _ = (name, digest, blobs);
    }

    /// Where `tag` of `name` points.
    pub fn tag(&self, name: &Name, tag: &Tag) -> Option<KnownTag> {
        let _ = (name, tag);
        None
    }

    /// `tag` of `name` points to `digest`.
    pub fn note_tag(&self, name: &Name, tag: &Tag, digest: &Digest) {
        let _ = (name, tag, digest);
    }

    /// `name` does not have `digest`, or nobody can say.
    pub fn withdraw(&self, name: &Name, digest: &Digest) {
        let _ = (name, digest);
    }

    /// `tag` of `name` is not where it was.
    pub fn withdraw_tag(&self, name: &Name, tag: &Tag) {
        let _ = (name, tag);
    }

    /// Forgets what is known of `name`, or of all repositories: how many blobs, manifests and tags.
    /// It is on disk at the return; this blocks.
    ///
    /// # Errors
    /// When the disk fails: some may be known still.
    pub fn forget(&self, name: Option<&Name>) -> Result<u64, Error> {
        let _ = name;
        Ok(0)
    }

    /// How many blobs, manifests and tags are known, but for those of the last milliseconds.
    pub fn entries(&self) -> u64 {
        0
    }

    /// How many were withdrawn, since the start.
    pub fn withdrawals(&self) -> u64 {
        0
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// As [`State::synced`].
    pub async fn synced(&self) -> Result<(), Error> {
        self.state.synced().await
    }
}
