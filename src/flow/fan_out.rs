use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::sync::Cache;

use super::Call;
use super::freshness::Tags;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::media;
use crate::store::Blob;
use crate::store::Store;
use crate::target::Pulled;
use crate::target::Targets;

/// Tells the targets what clients pull. Nothing here is waited for.
#[derive(Debug)]
pub(super) struct FanOut {
    targets: Option<Arc<Targets>>,
    /// The tags that clients have resolved by a `HEAD`: they go on by digest, and mean the tag.
    resolved: Cache<(Repository, Digest), Vec<Tag>>,
    is_sweeping: AtomicBool,
}

/// What a client was told of a manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) descriptor: &'a Descriptor,
    /// The tag that it was asked for by.
    pub(super) tag: Option<&'a Tag>,
    /// Whether the upstream has said so, now or within `tag_ttl`.
    pub(super) is_confirmed: bool,
}

/// How many resolved digests are remembered, and for how long.
const REMEMBERED: u64 = 10_000;
const LATELY: Duration = Duration::from_secs(5 * 60);
/// How many tags of one digest are.
const MOST_TAGS: usize = 8;
/// Where nothing is kept: how long a blob stays that a target has and no client has read yet.
const UNREAD: Duration = Duration::from_secs(30);

impl FanOut {
    pub(super) fn new(targets: Option<Arc<Targets>>) -> Self {
        let resolved = Cache::builder().max_capacity(REMEMBERED);
        Self {
            targets,
            resolved: resolved.time_to_live(LATELY).build(),
            is_sweeping: AtomicBool::new(false),
        }
    }

    /// The targets, where what this call brings may be mirrored: what a client's own credentials
    /// open is nobody else's.
    fn targets(&self, call: &Call) -> Option<&Arc<Targets>> {
        self.targets.as_ref().filter(|_| call.who.is_none())
    }

    /// Whether anybody is to be told of this call.
    pub(super) fn tells(&self, call: &Call) -> bool {
        self.targets(call).is_some()
    }

    /// A client was told by a `HEAD` where a tag points to: that is no pull yet.
    pub(super) async fn resolved(&self, call: &Call, tags: &Tags, told: Told<'_>) {
        let Some(tag) = told.tag.filter(|_| self.targets(call).is_some()) else {
            return;
        };
        if !tags.is_as_pushed(call, tag).await {
            return;
        }
        let key = (call.repository.clone(), told.descriptor.digest.clone());
        self.resolved.entry(key).and_upsert_with(|known| {
            let mut known = known.map(moka::Entry::into_value).unwrap_or_default();
            known.retain(|it| it != tag);
            known.insert(0, tag.clone());
            known.truncate(MOST_TAGS);
            known
        });
    }

    /// A client was served a manifest. Under its tag it is mirrored as it was pushed only: not what
    /// was converted for this client, nor what the upstream could not confirm. Who asked for it by
    /// its digest means the tags that were resolved to it lately, and still point to it.
    pub(super) async fn pulled(&self, call: &Call, tags: &Tags, told: Told<'_>) {
        let Some(targets) = self.targets(call) else {
            return;
        };
        // Its digest is not of what it is signed with, and registries convert it on their own.
        if &*told.descriptor.media_type == media::DOCKER_SIGNED {
            return;
        }
        let digest = &told.descriptor.digest;
        let meant: Vec<Tag> = match told.tag {
            Some(tag) if told.is_confirmed && tags.is_as_pushed(call, tag).await => {
                vec![tag.clone()]
            }
            Some(_) => Vec::new(),
            None => {
                let key = (call.repository.clone(), digest.clone());
                let mut resolved = self.resolved.get(&key).unwrap_or_default();
                let current = |tag: &Tag| tags.current(&call.repository, tag);
                resolved.retain(|tag| current(tag).as_ref() == Some(digest));
                resolved
            }
        };
        let by_digest = meant.is_empty().then_some(None);
        for tag in meant.into_iter().map(Some).chain(by_digest) {
            targets.pulled(Pulled {
                repository: call.repository.clone(),
                digest: digest.clone(),
                tag,
                flow: call.flow,
            });
        }
    }

    /// A blob has been fetched. Where nothing is kept, it stays until the targets have what they are
    /// owed, and a moment longer where no client has read it: one that has pulled the manifest will.
    /// So no byte is fetched a second time because a target was faster, or slower.
    pub(super) fn filled(self: &Arc<Self>, store: &Arc<Store>, blob: &Blob, was_read: bool) {
        let Some(targets) = self.targets.as_ref().filter(|_| !store.keeps()) else {
            return;
        };
        store.linger(blob, was_read);
        if self.is_sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, store, targets) = (self.clone(), store.clone(), targets.clone());
        tokio::spawn(async move {
            targets.settled().await;
            store.let_go(false);
            tokio::time::sleep(UNREAD).await;
            targets.settled().await;
            // Before the last look: what comes after it is swept by another one.
            this.is_sweeping.store(false, Ordering::Release);
            store.let_go(true);
        });
    }
}
