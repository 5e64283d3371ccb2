//! What is known here without a word of the upstream.

use super::PullThrough;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

impl PullThrough {
    /// What `tag` was known to point to when its source was last asked, where its manifest is here.
    pub async fn known_tag(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        self.tags.known(repository, tag).await
    }

    /// The tags of `repository` that are stored; none where the disk fails, which the log says.
    pub async fn known_tags(&self, repository: &Repository) -> Vec<Tag> {
        let tags = self.store.tags(repository).await;
        tags.unwrap_or_else(|error| {
            tracing::error!(%repository, "the tags can't be read: {error}");
            Vec::new()
        })
    }
}
