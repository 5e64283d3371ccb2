//! What runs of sets ask of tags, and tell of them: they go by the upstream's word of now.

use std::time::SystemTime;

use super::Pointer;
use super::Purpose;
use super::TagKey;
use super::Tags;
use crate::flow::Call;
use crate::flow::Error;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

impl Tags {
    /// Where `tag` points to by the upstream's word of now, and where it was known to point to
    /// before: by a `HEAD` where it is `known`, here or elsewhere, else by the `GET` that brings it.
    ///
    /// # Errors
    /// When the upstream has no such tag, or can't say.
    pub(in crate::flow) async fn now(
        &self,
        call: &Call,
        tag: &Tag,
        known: bool,
    ) -> Result<(Pointer, Option<Digest>), Error> {
        let key = self.key(call, tag).await;
        let before = self.recall(&key).await.map(|pointer| pointer.digest);
        let head = known || before.is_some();
        let purpose = match before {
            Some(_) => Purpose::Confirm,
            None => Purpose::First,
        };
        let (pointer, _) = self.request(call, (key, purpose), head).await;
        Ok((pointer?, before))
    }

    /// Where `tag` was last heard to point to, as it was pushed.
    pub(in crate::flow) async fn known(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Option<Digest> {
        let key = TagKey::native(repository, tag);
        self.recall(&key).await.map(|pointer| pointer.digest)
    }

    /// The upstream has just said elsewhere where the tag points to.
    pub(in crate::flow) async fn told(&self, call: &Call, tag: &Tag, digest: &Digest) {
        let key = self.key(call, tag).await;
        let held = self.manifests.held(&call.repository, digest).await;
        let pointer = Pointer {
            digest: digest.clone(),
            size: held.as_ref().map(|manifest| manifest.bytes.len() as u64),
            media_type: held.map(|manifest| manifest.media_type),
            confirmed: SystemTime::now(),
        };
        self.learn(&key, pointer).await;
    }

    /// The tag is not to be known any more.
    ///
    /// # Errors
    /// When the disk fails.
    pub(in crate::flow) async fn dropped(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<(), Error> {
        let key = TagKey::native(repository, tag);
        self.known.invalidate(&key);
        Ok(self.store.remove_tag(repository, tag).await?)
    }
}
