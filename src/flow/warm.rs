//! What prefetch has done: a tag is asked about now, and content is brought into the store with no
//! reader. All of it is what clients would ask for: they join it, and it joins them.

use std::sync::Arc;

use super::Ask;
use super::Call;
use super::Caller;
use super::Error;
use super::PullThrough;
use super::Want;
use crate::ledger::FlowId;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::target::Cause;
use crate::target::Missing;

/// What a tag points to, by its source's word of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The manifest.
    pub digest: Digest,
    /// Its media type, where the source told it or the manifest is here.
    pub media_type: Option<Arc<str>>,
    /// Its length in bytes, where the source told it or the manifest is here.
    pub size: Option<u64>,
    /// What the tag was known to point to here before.
    pub before: Option<Digest>,
}

/// A blob that the store has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whether it was there before: then nothing was fetched.
    pub was_there: bool,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl PullThrough {
    /// What `tag` points to now: the source is asked, whatever `tag_ttl` says. By a `HEAD` where the
    /// tag is known here, or `known` elsewhere, such as at a target; else by the `GET` that keeps its
    /// manifest. Clients see what was heard as fresh. Dropping the future takes nothing away from
    /// others who ask the same.
    ///
    /// # Errors
    /// When the source has no such tag, or can't say: never an answer of before.
    pub async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
        known: bool,
        cause: Cause,
    ) -> Result<Resolved, Error> {
        let call = self.own_call(repository, cause.flow)?;
        let (pointer, before) = self.tags.now(&call, tag, known).await?;
        Ok(Resolved {
            digest: pointer.digest,
            media_type: pointer.media_type,
            size: pointer.size,
            before,
        })
    }

    /// Sees to it that the store has the blob, and that clients may open it through `repository`. It
    /// is brought by the same fill that clients and targets follow. Dropping the future does not end
    /// a fill that has begun.
    ///
    /// # Errors
    /// When it can't be had, or can't be kept.
    pub async fn keep_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        cause: Cause,
    ) -> Result<Kept, Missing> {
        let _ = (repository, blob, cause);
        Err(Missing::Later("not built yet".to_owned()))
    }

    /// `tag` of `repository` points to `digest`, by its source's word of now: clients are answered
    /// so, as soon as the manifest is here.
    ///
    /// # Errors
    /// Where nobody may keep anything for others.
    pub async fn keep_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        let call = self.own_call(repository, FlowId::next())?;
        self.tags.told(&call, tag, digest).await;
        Ok(())
    }

    /// Forgets `tag` of `repository`. What it pointed to stays until the store is cleaned up.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn drop_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        self.tags.dropped(repository, tag).await
    }

    /// A call for ourselves, with the credentials that are configured.
    pub(super) fn own_call(&self, repository: &Repository, flow: FlowId) -> Result<Call, Error> {
        let want = Want::Tags {
            query: String::new(),
        };
        let ask = Ask {
            repository: repository.clone(),
            want,
            head: false,
            flow,
            caller: Caller::default(),
        };
        let (mut call, _) = self.call(&ask)?;
        if call.who.is_some() {
            return Err(Error::Passthrough(repository.to_string()));
        }
        call.is_errand = true;
        Ok(call)
    }
}
