//! Whether what is known to be at a target is there still.

use super::Error;
use super::Targets;
use super::Wish;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// What a look at everything that a wish names has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How much of it was asked for: manifests, tags and blobs.
    pub asked: u64,
    /// How much of that is not there, and known to be there no more.
    pub missing: u64,
}

impl Targets {
    /// What `tag` of `repository` stands for at `target`, as far as is known: its upstream's digest,
    /// also where an index of some platforms only was put in its place.
    pub fn tag_there(&self, target: &str, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let remote = self.remote(target).ok()?;
        let name = remote.config.place.of(repository).ok()?;
        remote.catalog.tag(&name, tag).map(|known| known.digest)
    }

    /// Whether all that `wish` wants is known to be at `target`, fresh or not.
    pub fn has(&self, target: &str, wish: &Wish) -> bool {
        let _ = (target, wish);
        false
    }

    /// Whether `tag` of `repository` is at `target` what it is known to be: what stands for `digest`.
    /// By one `HEAD`. Where it is not, that is known no more; where it is, that is known anew.
    ///
    /// # Errors
    /// When the target can't be asked.
    pub async fn check_tag(
        &self,
        target: &str,
        (repository, tag): (&Repository, &Tag),
        digest: &Digest,
        flow: FlowId,
    ) -> Result<bool, Error> {
        let _ = (target, repository, tag, digest, flow);
        Err(Error::GivenUp("not built yet"))
    }

    /// Asks `target` for everything that `wish` names: one `HEAD` for each manifest, blob and tag. What
    /// is missing is known to be there no more, so that [`Targets::mirror`] brings it.
    ///
    /// # Errors
    /// When the target can't be asked, or the manifests can't be had.
    pub async fn check_deep(&self, target: &str, wish: &Wish) -> Result<Checked, Error> {
        let _ = (target, wish);
        Err(Error::GivenUp("not built yet"))
    }

    /// Removes `tag` of `repository` from `target`: the tag alone, whatever else points to its
    /// manifest.
    ///
    /// # Errors
    /// When the target does not do it. That there is no such tag is no error.
    pub async fn delete_tag(
        &self,
        target: &str,
        (repository, tag): (&Repository, &Tag),
        flow: FlowId,
    ) -> Result<(), Error> {
        let _ = (target, repository, tag, flow);
        Err(Error::GivenUp("not built yet"))
    }
}
