//! One image: resolved, and brought to each of its destinations.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::Run;
use super::lists::DigestTags;
use super::patience::patiently;
use crate::flow;
use crate::oci::Digest;
use crate::oci::Platform;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Delivery;
use crate::prefetch::Destination;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Wanted;
use crate::prefetch::tally::Counting;
use crate::prefetch::tally::Meter;
use crate::target::Cause;

/// An image whose digest is known, on its way.
#[derive(Debug)]
pub(super) struct Image<'a> {
    pub(super) run: &'a Run,
    pub(super) repository: &'a Repository,
    pub(super) digest: Digest,
    pub(super) tag: Option<&'a Tag>,
    /// The platforms that are wanted; empty for all.
    pub(super) platforms: Arc<[Platform]>,
    /// Whether it is believed to be where it was brought.
    pub(super) immutable: bool,
    /// What the store has the tag for, before.
    pub(super) before: Option<Digest>,
    pub(super) cause: Cause,
    pub(super) meter: &'a Meter,
}

/// What an image is called.
pub(super) fn name(wanted: &Wanted) -> Arc<str> {
    match (&wanted.reference, &wanted.tag) {
        (Reference::Tag(tag), _) => format!("{}:{tag}", wanted.repository).into(),
        (Reference::Digest(digest), Some(tag)) => {
            format!("{}:{tag}@{digest}", wanted.repository).into()
        }
        (Reference::Digest(digest), None) => format!("{}@{digest}", wanted.repository).into(),
    }
}

/// Brings an image to where it is to be, and what refers to it; enters what became of it.
pub(super) async fn bring(
    run: Arc<Run>,
    begun: Arc<Begun>,
    (wanted, tags): (Wanted, Option<Arc<DigestTags>>),
) {
    let counting = run.count();
    let _held = run.hold(counting.flow);
    let name = begun.name.clone();
    let shown = run.watch.begin(&name, &counting.meter);
    let cause = run.cause(counting.flow);
    let mut item = Item {
        image: name.to_string(),
        ..Item::default()
    };
    let resolved = run.resolve(&wanted, cause).await;
    let found = match resolved {
        Ok((digest, before)) => {
            let image = Image {
                run: &run,
                repository: &wanted.repository,
                digest,
                tag: wanted.tag.as_ref(),
                platforms: run.set.platforms.clone().into(),
                immutable: wanted.immutable,
                before,
                cause,
                meter: &counting.meter,
            };
            image.deliver(&mut item).await;
            Some(image.digest)
        }
        Err(error) => {
            item.outcome = ItemOutcome::Failed;
            item.why = Some(error.to_string());
            None
        }
    };
    drop(shown);
    run.enter(item, &counting.meter);
    begun.entered.store(true, Relaxed);
    if let Some(digest) = found.filter(|_| run.set.referrers) {
        let subject = super::about::Subject {
            image: name,
            repository: &wanted.repository,
            digest,
            tags,
        };
        run.about(subject, cause, &counting.meter).await;
    }
}

/// An image that was begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) name: Arc<str>,
    entered: AtomicBool,
}

impl Begun {
    pub(super) fn new(name: Arc<str>) -> Arc<Self> {
        let entered = AtomicBool::new(false);
        Arc::new(Self { name, entered })
    }

    /// Whether it was said what became of it.
    pub(super) fn is_entered(&self) -> bool {
        self.entered.load(Relaxed)
    }
}

/// A flow that is counted; what crossed for it is entered by the drop, also where that breaks it off.
pub(super) struct Metered<'a> {
    run: &'a Run,
    counting: Counting,
}

impl Deref for Metered<'_> {
    type Target = Counting;

    fn deref(&self) -> &Counting {
        &self.counting
    }
}

impl Drop for Metered<'_> {
    fn drop(&mut self) {
        let traffic = self.counting.meter.traffic();
        self.run.record().crossed(traffic);
    }
}

impl Run {
    /// Counts a new flow.
    pub(super) fn count(&self) -> Metered<'_> {
        let counting = self.world.tally.count();
        Metered {
            run: self,
            counting,
        }
    }

    pub(super) fn cause(&self, flow: crate::ledger::FlowId) -> Cause {
        Cause {
            flow,
            pace: self.pace,
            ours: true,
        }
    }

    /// What an image's digest is now, and what the store has its tag for: by one request at the
    /// source, or none where it is known.
    async fn resolve(
        &self,
        wanted: &Wanted,
        cause: Cause,
    ) -> Result<(Digest, Option<Digest>), flow::Error> {
        let flow = &self.world.flow;
        let tag = match (&wanted.reference, &wanted.digest) {
            (Reference::Tag(tag), None) => tag,
            (Reference::Digest(digest), _) | (Reference::Tag(_), Some(digest)) => {
                let before = match &wanted.tag {
                    Some(tag) => self.known_tag(&wanted.repository, tag).await,
                    None => None,
                };
                return Ok((digest.clone(), before));
            }
        };
        let there = self.there(&wanted.repository, tag);
        if wanted.immutable {
            let before = self.known_tag(&wanted.repository, tag).await;
            if let Some(digest) = before.clone().or_else(|| there.clone()) {
                return Ok((digest, before));
            }
        }
        let before = match self.rehearsal {
            Some(_) => self.known_tag(&wanted.repository, tag).await,
            None => None,
        };
        let is_known = there.is_some() || before.is_some();
        let ask = || {
            flow.resolve(&wanted.repository, tag, is_known, cause)
                .boxed()
        };
        let resolved = patiently(ask).await?;
        Ok((resolved.digest, resolved.before.or(before)))
    }

    /// What the store has a tag for.
    pub(super) async fn known_tag(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        match &self.rehearsal {
            Some(rehearsal) => rehearsal.tag(repository, tag).await,
            None => self.world.flow.known_tag(repository, tag).await,
        }
    }

    /// What a target is known to have a tag for.
    pub(super) fn there(&self, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let targets = self.world.targets.as_ref()?;
        let there = |to: &Destination| match to {
            Destination::Store => None,
            Destination::Target(name) => targets.tag_there(name, repository, tag),
        };
        self.set.to.iter().find_map(there)
    }

    /// An image has ended: says so, and enters it.
    pub(super) fn enter(&self, mut item: Item, meter: &Meter) {
        item.fetched_bytes = meter.traffic().fetched_bytes;
        let (set, image) = (&*self.set.name, &*item.image);
        match item.outcome {
            ItemOutcome::Failed => {
                let whys = item
                    .to
                    .iter()
                    .filter_map(|it| Some((&*it.to, it.why.as_ref()?)));
                for (to, why) in whys {
                    tracing::warn!(set, image, to, "not brought: {why}");
                }
                if let Some(why) = &item.why {
                    tracing::warn!(set, image, "not brought: {why}");
                }
            }
            ItemOutcome::Copied if self.rehearsal.is_some() => {}
            ItemOutcome::Copied => tracing::info!(set, image, digest = item.digest, "brought"),
            _ => tracing::debug!(set, image, "unchanged"),
        }
        self.ended(item);
    }
}

impl Image<'_> {
    /// Brings it to all of its destinations at once: its bytes come once for all of them.
    pub(super) async fn deliver(&self, item: &mut Item) {
        let to = &self.run.set.to;
        let deliveries = join_all(to.iter().map(|to| self.deliver_to(to))).await;
        item.outcome = worst(&deliveries);
        item.digest = Some(self.digest.to_string());
        let moved = |before: &&Digest| **before != self.digest;
        item.before = self.before.as_ref().filter(moved).map(ToString::to_string);
        let is_told = |it: &Delivery| it.outcome != ItemOutcome::Unchanged || it.digest.is_some();
        item.to = deliveries.into_iter().filter(is_told).collect();
    }

    async fn deliver_to(&self, to: &Destination) -> Delivery {
        let name = match to {
            Destination::Store => "store",
            Destination::Target(target) => target,
        };
        let done = match (&self.run.rehearsal, to) {
            (Some(rehearsal), to) => self.rehearse(rehearsal, to).await,
            (None, Destination::Store) => self.keep().await,
            (None, Destination::Target(target)) => self.mirror(target).await,
        };
        let delivery = done.unwrap_or_else(|why| Delivery {
            outcome: ItemOutcome::Failed,
            why: Some(why),
            ..Delivery::default()
        });
        Delivery {
            to: name.to_owned(),
            ..delivery
        }
    }
}

fn worst(deliveries: &[Delivery]) -> ItemOutcome {
    let has = |outcome| deliveries.iter().any(|it| it.outcome == outcome);
    match (has(ItemOutcome::Failed), has(ItemOutcome::Copied)) {
        (true, _) => ItemOutcome::Failed,
        (false, true) => ItemOutcome::Copied,
        (false, false) => ItemOutcome::Unchanged,
    }
}
