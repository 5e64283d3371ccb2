use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use moka::sync::Cache;

use super::Call;
use super::Error;
use super::access::Who;
use super::coalesce::Coalesce;
use super::coalesce::Seat;
use super::mirrors::Mirrors;
use crate::ledger::Fate;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;
use crate::registry::FetchedManifest;
use crate::registry::ManifestHead;
use crate::store::Store;
use crate::store::StoredManifest;

/// Manifests by digest: from memory, from the store, from the upstream. What a digest names never
/// changes, so nothing here is ever stale.
#[derive(Clone, Debug)]
pub(super) struct Manifests {
    store: Arc<Store>,
    mirrors: Arc<Mirrors>,
    cache: Memory,
    gone: Cache<(Repository, Reference, Arc<str>), Instant>,
    /// Tags that wait for their manifest to be stored before they are.
    pending: Cache<(Repository, Digest), Vec<Tag>>,
    fetches: Arc<Coalesce<FetchKey, StoredManifest>>,
}

/// A manifest, with whose credentials it is fetched, where these are the caller's own, and whether that
/// lets others go first.
type FetchKey = (Repository, Digest, Option<Who>, bool);

/// Manifests in memory.
pub(super) type Memory = Cache<(Repository, Digest), StoredManifest>;

/// What they may take, in bytes.
const CACHED: u64 = 8 << 20;

/// No manifest yet.
pub(super) fn memory() -> Memory {
    let weigh = |_: &_, manifest: &StoredManifest| {
        u32::try_from(manifest.bytes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(512)
    };
    Cache::builder().max_capacity(CACHED).weigher(weigh).build()
}
/// How many absences, and how many waiting tags, are remembered.
const REMEMBERED: u64 = 10_000;

impl Manifests {
    pub(super) fn new(store: Arc<Store>, mirrors: Arc<Mirrors>, cache: Memory) -> Self {
        Self {
            store,
            mirrors,
            cache,
            gone: Cache::new(REMEMBERED),
            pending: Cache::new(REMEMBERED),
            fetches: Arc::default(),
        }
    }

    /// The manifest, if we hold it for this repository.
    pub(super) async fn held(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Option<StoredManifest> {
        let key = (repository.clone(), digest.clone());
        if let Some(manifest) = self.cache.get(&key) {
            return Some(manifest);
        }
        let stored = self.store.manifest(repository, digest).await;
        let stored = stored.unwrap_or_else(|error| {
            tracing::error!(%repository, %digest, "the manifest can't be read: {error}");
            None
        });
        stored.inspect(|manifest| self.cache.insert(key, manifest.clone()))
    }

    /// Whether the manifest is in memory for this repository.
    pub(super) fn remembers(&self, repository: &Repository, digest: &Digest) -> bool {
        let key = (repository.clone(), digest.clone());
        self.cache.contains_key(&key)
    }

    /// The manifest, from wherever it is; one request for all who ask at the same time.
    ///
    /// # Errors
    /// When we don't hold it and the upstream doesn't give it.
    pub(super) async fn get(
        &self,
        call: &Call,
        digest: &Digest,
    ) -> Result<(StoredManifest, Origin), Error> {
        if let Some(manifest) = self.held(&call.repository, digest).await {
            return Ok((manifest, Origin::Hit));
        }
        let leisure = call.is_at_leisure();
        let key = |leisure| (call.repository.clone(), digest.clone(), call.who, leisure);
        let keys = (key(leisure), key(!leisure), leisure);
        let (this, task, wanted) = (self.clone(), call.clone(), digest.clone());
        let work = move || async move { this.fetch(&task, &wanted).await };
        let (manifest, seat) = self.fetches.run_or_join(keys, work).await;
        Ok((manifest?, seat.origin()))
    }

    async fn fetch(&self, call: &Call, digest: &Digest) -> Result<StoredManifest, Error> {
        if let Some(manifest) = self.held(&call.repository, digest).await {
            return Ok(manifest);
        }
        if let Some(manifest) = self.mirrored(call, digest).await {
            return Ok(manifest);
        }
        self.check_gone(call, &Reference::Digest(digest.clone()))?;
        self.bring(call, digest).await
    }

    /// The manifest as a target has it, where one is known to.
    pub(super) async fn mirrored(&self, call: &Call, digest: &Digest) -> Option<StoredManifest> {
        let fetched = self.mirrors.manifest(call, digest).await?;
        Some(self.keep(&call.repository, fetched).await)
    }

    async fn bring(&self, call: &Call, digest: &Digest) -> Result<StoredManifest, Error> {
        let reference = Reference::Digest(digest.clone());
        let fetched = call.registry().manifest_get(
            call.flow,
            &call.repository.name,
            &reference,
            call.accept.header(),
        );
        let fetched = call.noted(fetched.await);
        let fetched = fetched.map_err(|error| self.failed(call, &reference, error))?;
        Ok(self.keep(&call.repository, fetched).await)
    }

    /// Asks the upstream, as this caller alone, whether it may have the manifest: by a `HEAD` where
    /// it is held or only a header is wanted, else by the `GET` that brings it. Returns whether it
    /// was brought.
    ///
    /// # Errors
    /// What the upstream said to this caller, or that it can't say.
    pub(super) async fn vouch(
        &self,
        call: &Call,
        digest: &Digest,
        head: bool,
    ) -> Result<bool, Error> {
        let is_held = self.held(&call.repository, digest).await.is_some();
        if !is_held && !head {
            self.bring(call, digest).await?;
            return Ok(true);
        }
        self.ask(call, digest).await?;
        Ok(false)
    }

    /// What a `HEAD` says of the manifest.
    ///
    /// # Errors
    /// When the upstream doesn't have it, or can't say.
    pub(super) async fn ask(&self, call: &Call, digest: &Digest) -> Result<ManifestHead, Error> {
        let reference = Reference::Digest(digest.clone());
        let (name, accept) = (&call.repository.name, call.accept.header());
        let head = call
            .registry()
            .manifest_head(call.flow, name, &reference, accept)
            .await;
        let head = call.noted(head);
        head.map_err(|error| self.failed(call, &reference, error))
    }

    /// Stores a manifest that has just come. One that can't be stored is served all the same.
    pub(super) async fn keep(
        &self,
        repository: &Repository,
        fetched: FetchedManifest,
    ) -> StoredManifest {
        let FetchedManifest {
            media_type,
            digest,
            bytes,
            mut unspent,
        } = fetched;
        let stored = self
            .store
            .put_manifest(repository, &digest, &media_type, bytes.clone())
            .await;
        unspent.spend_all(match &stored {
            Ok(()) => Fate::Committed,
            Err(_) => Fate::Passed,
        });
        if let Err(error) = stored {
            tracing::error!(%repository, %digest, "the manifest can't be stored: {error}");
        }
        let stored = std::time::SystemTime::now();
        let manifest = StoredManifest {
            bytes,
            media_type,
            stored,
        };
        let key = (repository.clone(), digest);
        self.cache.insert(key.clone(), manifest.clone());
        for tag in self.pending.remove(&key).unwrap_or_default() {
            self.store_tag(repository, &tag, &key.1).await;
        }
        manifest
    }

    /// Stores where a tag points to: at once where the manifest is stored, else as soon as it is.
    pub(super) async fn point(&self, repository: &Repository, tag: &Tag, digest: &Digest) {
        if self.held(repository, digest).await.is_some() {
            return self.store_tag(repository, tag, digest).await;
        }
        let key = (repository.clone(), digest.clone());
        self.pending.entry(key).and_upsert_with(|tags| {
            let mut tags = tags.map(moka::Entry::into_value).unwrap_or_default();
            tags.push(tag.clone());
            tags.sort_unstable();
            tags.dedup();
            tags
        });
    }

    async fn store_tag(&self, repository: &Repository, tag: &Tag, digest: &Digest) {
        if let Err(error) = self.store.put_tag(repository, tag, digest).await {
            tracing::error!(%repository, %tag, "the tag can't be stored: {error}");
        }
    }

    /// Fails where the upstream has lately said that it has no such manifest. What it said to one
    /// caller is not told to another.
    pub(super) fn check_gone(&self, call: &Call, reference: &Reference) -> Result<(), Error> {
        if call.who.is_some() {
            return Ok(());
        }
        let key = gone_key(call, reference);
        match self.gone.get(&key) {
            Some(until) if Instant::now() < until => Err(no_manifest(call, reference)),
            _ => Ok(()),
        }
    }

    /// What an upstream's refusal means for the asker; a 404 is remembered.
    pub(super) fn failed(
        &self,
        call: &Call,
        reference: &Reference,
        error: registry::Error,
    ) -> Error {
        call.mistrust(reference, &error);
        if !matches!(error, registry::Error::NotFound { .. }) {
            return Error::Upstream {
                repository: call.repository.clone(),
                error,
            };
        }
        if call.negative_ttl > Duration::ZERO && call.who.is_none() {
            self.gone.insert(
                gone_key(call, reference),
                Instant::now() + call.negative_ttl,
            );
        }
        no_manifest(call, reference)
    }
}

impl Seat {
    /// Where the outcome of shared work comes from, for who had this seat.
    pub(super) fn origin(self) -> Origin {
        match self {
            Self::First => Origin::Filled,
            Self::Later => Origin::Joined,
        }
    }
}

fn gone_key(call: &Call, reference: &Reference) -> (Repository, Reference, Arc<str>) {
    (
        call.repository.clone(),
        reference.clone(),
        call.accept.header().into(),
    )
}

fn no_manifest(call: &Call, reference: &Reference) -> Error {
    Error::NoManifest(call.repository.clone(), reference.to_string())
}
