//! What prefetch is told where no upstream is asked: what is stored.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use moka::sync::Cache;

use super::Error;
use super::PullThrough;
use super::Resolved;
use super::discover::Referrers;
use super::discover::ReferrersBy;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// What refers to what in the repositories that were asked about lately. Nothing is brought
/// meanwhile, so it stays true.
pub(super) struct Subjects(Cache<Repository, Arc<HashMap<Digest, Vec<Digest>>>>);

/// So many repositories are remembered.
const REMEMBERED: u64 = 64;

impl Default for Subjects {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subjects").finish_non_exhaustive()
    }
}

impl PullThrough {
    /// What a tag points to in the store.
    pub(super) async fn resolved_offline(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Resolved, Error> {
        let record = self.store.tag(repository, tag).await?;
        let record =
            record.ok_or_else(|| Error::NoManifest(repository.clone(), tag.to_string()))?;
        let stored = self.store.manifest(repository, &record.digest).await?;
        Ok(Resolved {
            size: stored.as_ref().map(|stored| stored.bytes.len() as u64),
            media_type: stored.map(|stored| stored.media_type),
            before: Some(record.digest.clone()),
            digest: record.digest,
        })
    }

    /// What refers to a manifest in the store.
    pub(super) async fn referrers_offline(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Referrers, Error> {
        let subjects = match self.subjects.0.get(repository) {
            Some(subjects) => subjects,
            None => {
                let read = Arc::new(self.store.subjects(repository).await?);
                self.subjects.0.insert(repository.clone(), read.clone());
                read
            }
        };
        let mut descriptors = Vec::new();
        for digest in subjects.get(digest).into_iter().flatten() {
            if let Some(stored) = self.store.manifest(repository, digest).await? {
                descriptors.push(Descriptor {
                    media_type: stored.media_type,
                    size: stored.bytes.len() as u64,
                    digest: digest.clone(),
                });
            }
        }
        let by = ReferrersBy::Api;
        Ok(Referrers { descriptors, by })
    }
}
