//! A run that changes nothing: sources are asked for tags and manifests, and it is said what would
//! be brought.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::image::Image;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Delivery;
use crate::prefetch::Destination;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Traffic;
use crate::registry::Content;
use crate::store::carry::Outside;
use crate::target::Cause;
use crate::target::Errand;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Presence;
use crate::target::Supply;
use crate::target::Wish;

/// What a run that changes nothing goes by, beside a world whose flow keeps nothing and whose
/// targets are not started.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// The store, from outside; `None` where there is none yet.
    pub store: Option<Arc<Outside>>,
    expected: Arc<Mutex<Expected>>,
}

/// What would have been brought until now.
#[derive(Debug, Default)]
struct Expected {
    fetched: HashSet<Digest>,
    /// By target.
    uploaded: HashSet<(Arc<str>, Digest)>,
}

impl Rehearsal {
    /// With the store as it is.
    pub fn new(store: Option<Outside>) -> Self {
        Self {
            store: store.map(Arc::new),
            expected: Arc::default(),
        }
    }

    /// What the store has a tag for.
    pub(super) async fn tag(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.look(move |store| store.tag(&repository, &tag).ok()?)
            .await
    }

    /// The tags that the store has.
    pub(super) async fn tags(&self, repository: &Repository) -> Vec<Tag> {
        let repository = repository.clone();
        let tags = self.look(move |store| store.tags(&repository).ok()).await;
        tags.unwrap_or_default()
    }

    /// Those of `blobs` that the store does not have.
    async fn missing(&self, blobs: &[Descriptor]) -> Vec<Descriptor> {
        let asked = blobs.to_vec();
        let missing = self.look(move |store| {
            let is_missing = |it: &Descriptor| !matches!(store.blob(&it.digest), Ok(Some(_)));
            Some(asked.into_iter().filter(is_missing).collect())
        });
        missing.await.unwrap_or_else(|| blobs.to_vec())
    }

    /// What `what` finds in the store; it blocks.
    async fn look<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Outside) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let store = self.store.clone()?;
        let looked = tokio::task::spawn_blocking(move || what(&store)).await;
        looked.ok().flatten()
    }

    /// How many bytes of `blobs` would be fetched that would not have been before.
    fn fetched(&self, blobs: &[Descriptor]) -> u64 {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let new = blobs
            .iter()
            .filter(|it| expected.fetched.insert(it.digest.clone()));
        new.map(|blob| blob.size).sum()
    }

    /// Whether nobody would have uploaded the blob to `target` before.
    fn is_uploaded(&self, target: &Arc<str>, digest: &Digest) -> bool {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.uploaded.insert((target.clone(), digest.clone()))
    }
}

impl Image<'_> {
    /// What it would take to have it at `to`.
    pub(super) async fn rehearse(
        &self,
        rehearsal: &Rehearsal,
        to: &Destination,
    ) -> Result<Delivery, String> {
        let tree = self.tree().await?;
        let missing = rehearsal.missing(&tree.blobs).await;
        let mut delivery = Delivery::default();
        let is_new = match to {
            Destination::Store => {
                self.meter.would_fetch(rehearsal.fetched(&missing));
                for blob in &missing {
                    delivery.uploads += 1;
                    delivery.upload_bytes += blob.size;
                }
                self.tag.is_some() && self.before.as_ref() != Some(&self.digest)
            }
            Destination::Target(target) => {
                if self.is_known(target) {
                    return Ok(delivery);
                }
                let mut wanted = tree.blobs;
                wanted.retain(|blob| self.would_upload(rehearsal, target, &mut delivery, blob));
                wanted.retain(|blob| missing.contains(blob));
                self.meter.would_fetch(rehearsal.fetched(&wanted));
                self.run.record().crossed(Traffic {
                    uploads: delivery.uploads,
                    uploaded_bytes: delivery.upload_bytes,
                    mounts: delivery.mounts,
                    ..Traffic::default()
                });
                true
            }
        };
        if is_new || delivery.uploads > 0 {
            delivery.outcome = ItemOutcome::Copied;
        }
        Ok(delivery)
    }

    fn is_known(&self, target: &Arc<str>) -> bool {
        let wish = Wish::new(
            Errand {
                repository: self.repository.clone(),
                digest: self.digest.clone(),
                tag: self.tag.cloned(),
                flow: self.cause.flow,
            },
            self.platforms.clone(),
            self.cause.pace,
        );
        let targets = self.run.world.targets.as_ref();
        targets.is_some_and(|targets| targets.has(target, &wish))
    }

    /// Whether a blob would be uploaded, and not mounted.
    fn would_upload(
        &self,
        rehearsal: &Rehearsal,
        target: &Arc<str>,
        delivery: &mut Delivery,
        blob: &Descriptor,
    ) -> bool {
        let targets = self.run.world.targets.as_ref();
        let presence = targets.map(|it| it.presence(target, self.repository, &blob.digest));
        let uploads = match presence {
            Some(Presence::Here) => return false,
            Some(Presence::Elsewhere) => false,
            Some(Presence::Nowhere) | None => rehearsal.is_uploaded(target, &blob.digest),
        };
        match uploads {
            true => {
                delivery.uploads += 1;
                delivery.upload_bytes += blob.size;
            }
            false => delivery.mounts += 1,
        }
        uploads
    }
}

/// What the store has of manifests, and what sources give beside.
#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) rehearsal: Rehearsal,
    pub(super) source: Arc<dyn Supply>,
}

impl Supply for Overlay {
    fn manifest<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        let (from, wanted) = (repository.clone(), digest.clone());
        let stored = self
            .rehearsal
            .look(move |store| store.manifest(&from, &wanted).ok()?);
        async move {
            match stored.await {
                Some(stored) => Ok(Manifest {
                    media_type: stored.media_type,
                    bytes: stored.bytes,
                }),
                None => self.source.manifest(repository, digest, cause).await,
            }
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        let why = format!("{digest}: no blob is fetched where nothing is to be changed");
        async move { Err(Missing::Gone(why)) }.boxed()
    }
}
