use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use moka::sync::Cache;

use super::Accept;
use super::Call;
use super::Error;
use super::access::Who;
use super::breaker::Gate;
use super::breaker::is_outage;
use super::coalesce::Coalesce;
use super::coalesce::Seat;
use super::manifest::Manifests;
use super::mirrors::Mirrors;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::registry;
use crate::store::Store;
use crate::store::StoredManifest;

mod now;
mod request;

/// What tags point to, and how sure we are of it.
#[derive(Clone, Debug)]
pub(super) struct Tags {
    store: Arc<Store>,
    manifests: Manifests,
    mirrors: Arc<Mirrors>,
    known: Cache<TagKey, Pointer>,
    requests: Arc<Coalesce<RequestKey, Pointer>>,
}

/// A tag as a kind of client sees it: registries convert manifests for those that can't read the
/// type that was pushed, so these are held apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TagKey {
    repository: Repository,
    tag: Tag,
    accept: Accept,
}

/// A request, with whose credentials, where these are the caller's own, and whether it lets others go
/// first.
type RequestKey = (TagKey, Purpose, Option<Who>, bool);

/// What a request is for. Who wants the same for the same purpose waits for the one under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    /// The first word of a tag, by a `HEAD` or a `GET`: whichever is under way tells the digest, and
    /// the manifest then comes once, whoever wants it.
    First,
    /// Whether the tag is still where it was: a `HEAD`.
    Confirm,
    /// A `GET`, whatever was said before.
    Anew,
}

/// Where a tag points to.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub(super) digest: Digest,
    /// The manifest's media type, where we know it.
    pub(super) media_type: Option<Arc<str>>,
    /// The manifest's length in bytes, where we know it.
    pub(super) size: Option<u64>,
    /// When the upstream last said so.
    pub(super) confirmed: SystemTime,
}

/// How many tags are remembered without a look at the disk.
const REMEMBERED: u64 = 50_000;
/// How long a request waits for a confirmation before it takes what is stored.
const PATIENCE: Duration = Duration::from_secs(5);

impl Tags {
    pub(super) fn new(store: Arc<Store>, manifests: Manifests, mirrors: Arc<Mirrors>) -> Self {
        Self {
            store,
            manifests,
            mirrors,
            known: Cache::new(REMEMBERED),
            requests: Arc::default(),
        }
    }

    /// Where `tag` points to, as fresh as the configuration wants it: from memory, confirmed by a
    /// `HEAD`, fetched by a `GET` where it was never seen, or stale while the upstream is out.
    ///
    /// # Errors
    /// When the upstream has no such tag, or can't say and nothing is stored.
    pub(super) async fn resolve(
        &self,
        call: &Call,
        tag: &Tag,
        head: bool,
    ) -> Result<(Pointer, Origin), Error> {
        let key = self.key(call, tag).await;
        let Some(known) = self.recall(&key).await else {
            return self.unknown(call, key, head).await;
        };
        if known
            .age()
            .is_some_and(|age| age < call.route.upstream.tag_ttl)
        {
            return Ok((known, Origin::Hit));
        }
        match call.route.breaker.gate() {
            Gate::Open => Ok((known, Origin::Stale)),
            Gate::Probe => {
                let work = self.confirm(call, &key, &known);
                let key = (key, Purpose::Confirm, call.who, false);
                self.requests.spawn(key, || work);
                Ok((known, Origin::Stale))
            }
            Gate::Closed => self.revalidate(call, key, known).await,
        }
    }

    /// Asks the upstream, as this caller alone, whether it may have the tag: by a `HEAD` where the
    /// tag is known or only a header is wanted, else by the `GET` that brings it. Returns whether
    /// it was brought.
    ///
    /// # Errors
    /// What the upstream said to this caller, or that it can't say.
    pub(super) async fn vouch(&self, call: &Call, tag: &Tag, head: bool) -> Result<bool, Error> {
        let key = self.key(call, tag).await;
        let is_known = self.recall(&key).await.is_some();
        if is_known || head {
            self.ask(call, &key).await?;
        } else {
            self.fetch(call, &key).await?;
        }
        Ok(!is_known)
    }

    /// Where `tag` points to, by a `GET` of its own: what was believed till now can't be true.
    ///
    /// # Errors
    /// When the upstream has no such tag, or can't say.
    pub(super) async fn anew(&self, call: &Call, tag: &Tag) -> Result<Pointer, Error> {
        let key = self.key(call, tag).await;
        self.known.invalidate(&key);
        let (this, task, wanted) = (self.clone(), call.clone(), key.clone());
        let work = move || async move { this.fetch(&task, &wanted).await };
        let key = (key, Purpose::Anew, call.who, false);
        self.requests.run(key, work).await.0
    }

    /// Where the disk says that the tag points to, when what it points to now can't be had.
    pub(super) async fn last_resort(&self, call: &Call, tag: &Tag) -> Option<Pointer> {
        let record = self.store.tag(&call.repository, tag).await.ok().flatten()?;
        let manifest = self
            .manifests
            .held(&call.repository, &record.digest)
            .await?;
        let is_read = call.accept.names(&manifest.media_type);
        is_read.then(|| Pointer::to(record.digest, manifest, record.confirmed))
    }

    /// Forgets the tag, as clients of any kind see it.
    async fn forget(&self, key: &TagKey) {
        self.known.invalidate(key);
        if key.accept == Accept::Native
            && let Err(error) = self.store.remove_tag(&key.repository, &key.tag).await
        {
            tracing::error!(repository = %key.repository, tag = %key.tag, "the tag can't be removed: {error}");
        }
    }

    /// The key under which the answer for this client is found: the tag as it was pushed, where
    /// the client can read that.
    async fn key(&self, call: &Call, tag: &Tag) -> TagKey {
        let native = TagKey::native(&call.repository, tag);
        if call.accept == Accept::Native {
            return native;
        }
        let pushed = self
            .recall(&native)
            .await
            .and_then(|pointer| pointer.media_type);
        if pushed.is_some_and(|media_type| call.accept.names(&media_type)) {
            return native;
        }
        TagKey {
            accept: call.accept.clone(),
            ..native
        }
    }

    async fn recall(&self, key: &TagKey) -> Option<Pointer> {
        if let Some(pointer) = self.known.get(key) {
            return Some(pointer);
        }
        if key.accept != Accept::Native {
            return None;
        }
        let record = self.store.tag(&key.repository, &key.tag).await.unwrap_or_else(|error| {
            tracing::error!(repository = %key.repository, tag = %key.tag, "the tag can't be read: {error}");
            None
        })?;
        let manifest = self.manifests.held(&key.repository, &record.digest).await?;
        let pointer = Pointer::to(record.digest, manifest, record.confirmed);
        self.known.insert(key.clone(), pointer.clone());
        Some(pointer)
    }

    /// Where a tag that is new to us points to. While the upstream is out, it is what a target that
    /// is read from has last got.
    async fn unknown(
        &self,
        call: &Call,
        key: TagKey,
        head: bool,
    ) -> Result<(Pointer, Origin), Error> {
        // A target that has the tag may have all of it: the upstream's word is enough then, and is
        // cheaper than its manifest.
        let has_tag = self.mirrors.has_tag(call, &key.tag);
        if has_tag
            && call.route.breaker.gate() == Gate::Open
            && let Some(pointer) = self.mirrored(call, &key).await
        {
            return Ok((pointer, Origin::Stale));
        }
        match self.first(call, key.clone(), head || has_tag).await {
            Err(Error::Upstream { repository, error }) if is_outage(&error) => {
                let mirrored = self.mirrored(call, &key).await;
                let pointer = mirrored.ok_or(Error::Upstream { repository, error })?;
                Ok((pointer, Origin::Stale))
            }
            first => first,
        }
    }

    /// What a target has the tag for. It is believed for this one time: nobody has confirmed it.
    async fn mirrored(&self, call: &Call, key: &TagKey) -> Option<Pointer> {
        let fetched = self.mirrors.tagged(call, &key.tag).await?;
        let digest = fetched.digest.clone();
        let manifest = self.manifests.keep(&call.repository, fetched).await;
        let is_read = key.accept.names(&manifest.media_type);
        is_read.then(|| Pointer::to(digest, manifest, SystemTime::now()))
    }

    /// Whether clients of this call's kind are given the tag as it was pushed.
    pub(super) async fn is_as_pushed(&self, call: &Call, tag: &Tag) -> bool {
        self.key(call, tag).await.accept == Accept::Native
    }

    /// Where the tag points to, as it was pushed, where that is in memory.
    pub(super) fn current(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let key = TagKey::native(repository, tag);
        self.known.get(&key).map(|pointer| pointer.digest)
    }

    async fn first(
        &self,
        call: &Call,
        key: TagKey,
        head: bool,
    ) -> Result<(Pointer, Origin), Error> {
        self.manifests
            .check_gone(call, &Reference::Tag(key.tag.clone()))?;
        let (outcome, seat) = self.request(call, (key, Purpose::First), head).await;
        Ok((outcome?, seat.origin()))
    }

    /// One request for all who ask at the same time: a `HEAD`, or the `GET` that brings the manifest.
    async fn request(
        &self,
        call: &Call,
        (key, purpose): (TagKey, Purpose),
        head: bool,
    ) -> (Result<Pointer, Error>, Seat) {
        let (this, task, wanted) = (self.clone(), call.clone(), key.clone());
        let work = move || async move {
            match this.heard(&task, &wanted).await {
                Some(pointer) => Ok(pointer),
                None if head => this.ask(&task, &wanted).await,
                None => this.fetch(&task, &wanted).await,
            }
        };
        let leisure = call.is_at_leisure();
        let key = |leisure| (key.clone(), purpose, call.who, leisure);
        let keys = (key(leisure), key(!leisure), leisure);
        self.requests.run_or_join(keys, work).await
    }

    /// What another request has heard since this call was made: it came between this call's look
    /// and its turn.
    async fn heard(&self, call: &Call, key: &TagKey) -> Option<Pointer> {
        let pointer = self.recall(key).await;
        pointer.filter(|pointer| pointer.confirmed >= call.asked)
    }

    async fn revalidate(
        &self,
        call: &Call,
        key: TagKey,
        known: Pointer,
    ) -> Result<(Pointer, Origin), Error> {
        let work = self.confirm(call, &key, &known);
        let key = |leisure| (key.clone(), Purpose::Confirm, call.who, leisure);
        let keys = (key(false), key(true), false);
        let confirmed = self.requests.run_or_join(keys, || work);
        match tokio::time::timeout(PATIENCE, confirmed).await {
            Ok((Ok(pointer), _)) => Ok((pointer, Origin::Hit)),
            Ok((Err(Error::Upstream { error, .. }), _)) if is_outage(&error) => {
                tracing::warn!(repository = %call.repository, "serving what is stored: the upstream {error}");
                Ok((known, Origin::Stale))
            }
            Ok((Err(error), _)) => Err(error),
            Err(_) => {
                let late = format!("no confirmation within {PATIENCE:?}");
                call.route.breaker.trip(&registry::Error::TimedOut(late));
                Ok((known, Origin::Stale))
            }
        }
    }

    /// One `HEAD` for a tag that we know.
    fn confirm(
        &self,
        call: &Call,
        key: &TagKey,
        known: &Pointer,
    ) -> impl Future<Output = Result<Pointer, Error>> + Send + 'static {
        let (this, call, key, known) = (self.clone(), call.clone(), key.clone(), known.clone());
        async move {
            if let Some(pointer) = this.heard(&call, &key).await {
                return Ok(pointer);
            }
            let pointer = this.ask(&call, &key).await?;
            if pointer.digest != known.digest {
                tracing::info!(
                    repository = %key.repository, tag = %key.tag,
                    from = known.digest.short(), to = pointer.digest.short(), "the tag moved"
                );
            }
            Ok(pointer)
        }
    }
}

impl TagKey {
    /// The tag as it was pushed.
    fn native(repository: &Repository, tag: &Tag) -> Self {
        Self {
            repository: repository.clone(),
            tag: tag.clone(),
            accept: Accept::Native,
        }
    }
}

impl Pointer {
    /// To a manifest that is held.
    fn to(digest: Digest, manifest: StoredManifest, confirmed: SystemTime) -> Self {
        Self {
            digest,
            size: Some(manifest.bytes.len() as u64),
            media_type: Some(manifest.media_type),
            confirmed,
        }
    }

    /// How long ago it was confirmed; `None` where the clock has been set back since.
    pub(super) fn age(&self) -> Option<Duration> {
        self.confirmed.elapsed().ok()
    }
}
