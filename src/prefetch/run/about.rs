//! What refers to an image: by the referrers API, by fallback tags, and by cosign's tags.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Run;
use super::image::Image;
use super::lists::DigestTags;
use super::patience::patiently;
use crate::flow;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::prefetch::Item;
use crate::prefetch::ItemOutcome;
use crate::prefetch::tally::Meter;
use crate::target::Cause;

/// An image that others may refer to.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) image: Arc<str>,
    pub(super) repository: &'a Repository,
    pub(super) digest: Digest,
    /// The repository's tags that are made of digests; `None` where they were not listed.
    pub(super) tags: Option<Arc<DigestTags>>,
}

/// Something that refers to another manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Referrer {
    digest: Digest,
    /// The tag that it goes by, where it does.
    tag: Option<Tag>,
    /// What the store has that tag for, before.
    before: Option<Digest>,
}

/// How many manifests are asked about at once.
const AT_ONCE: usize = 4;
/// How deep signatures of signatures are followed.
const DEEPEST: usize = 4;

impl Run {
    /// Brings what refers to an image, or to a manifest of it, and what refers to that.
    pub(super) async fn about(&self, subject: Subject<'_>, cause: Cause, meter: &Meter) {
        let own = Referrer::untagged(subject.digest.clone());
        let root = self.image(&subject, &own, (cause, meter));
        let mut subjects = match root.tree().await {
            Ok(tree) => tree.manifests,
            // Then it could not be brought, which has been said.
            Err(_) => return,
        };
        let mut seen: HashSet<Referrer> = HashSet::new();
        for _ in 0..DEEPEST {
            let asked = subjects
                .iter()
                .map(|digest| self.refers(&subject, digest, cause));
            let asked = stream::iter(asked.collect::<Vec<_>>());
            let told: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
            let (mut next, mut failed) = (Vec::new(), None);
            for told in told {
                match told {
                    Ok(all) => next.extend(all),
                    Err(error) => failed = failed.or(Some(error.to_string())),
                }
            }
            if let Some(why) = failed {
                self.enter(unasked(&subject, why), &Meter::default());
            }
            next.retain(|it| seen.insert(it.clone()));
            let brought = next.into_iter().map(|it| self.bring_about(&subject, it));
            let brought = stream::iter(brought.collect::<Vec<_>>());
            let brought: Vec<_> = brought.buffer_unordered(AT_ONCE).collect().await;
            subjects = brought.into_iter().flatten().collect();
            if subjects.is_empty() {
                return;
            }
        }
    }

    /// What refers to one manifest.
    async fn refers(
        &self,
        subject: &Subject<'_>,
        digest: &Digest,
        cause: Cause,
    ) -> Result<Vec<Referrer>, flow::Error> {
        let (flow, repository) = (&self.world.flow, subject.repository);
        let tags = subject.tags.as_deref();
        let ask = || flow.referrers(repository, digest, tags, cause.flow).boxed();
        let by_api = patiently(ask).await?;
        let by_api = by_api.descriptors.into_iter();
        let mut all: Vec<_> = by_api.map(|it| Referrer::untagged(it.digest)).collect();
        for tag in digest.cosign_tags() {
            let is_guess = tags.is_none();
            if !tags.map_or(*digest == subject.digest, |tags| tags.contains(&tag)) {
                continue;
            }
            // What is only guessed is asked for without its content.
            let is_known = is_guess || self.there(repository, &tag).is_some();
            let ask = || flow.resolve(repository, &tag, is_known, cause).boxed();
            match patiently(ask).await {
                Ok(resolved) => {
                    let before = match self.rehearsal {
                        Some(_) => self.known_tag(repository, &tag).await,
                        None => resolved.before,
                    };
                    all.push(Referrer {
                        digest: resolved.digest,
                        tag: Some(tag),
                        before,
                    });
                }
                Err(flow::Error::NoManifest(..)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Brings something that refers to an image: the manifests that are part of it.
    async fn bring_about(&self, subject: &Subject<'_>, referrer: Referrer) -> Vec<Digest> {
        let counting = self.count();
        let _held = self.hold(counting.flow);
        let name = match &referrer.tag {
            Some(tag) => format!("{}:{tag}", subject.repository),
            None => format!("{}@{}", subject.repository, referrer.digest),
        };
        let mut item = Item {
            image: name,
            about: Some(subject.image.to_string()),
            ..Item::default()
        };
        let how = (self.cause(counting.flow), &*counting.meter);
        let image = self.image(subject, &referrer, how);
        image.deliver(&mut item).await;
        let tree = image.tree().await;
        self.enter(item, &counting.meter);
        tree.map_or_else(|_| Vec::new(), |tree| tree.manifests)
    }

    fn image<'a>(
        &'a self,
        subject: &Subject<'a>,
        referrer: &'a Referrer,
        (cause, meter): (Cause, &'a Meter),
    ) -> Image<'a> {
        Image {
            run: self,
            repository: subject.repository,
            platforms: match referrer.digest == subject.digest {
                true => self.set.platforms.clone().into(),
                false => Arc::default(),
            },
            digest: referrer.digest.clone(),
            tag: referrer.tag.as_ref(),
            immutable: false,
            before: referrer.before.clone(),
            cause,
            meter,
        }
    }
}

impl Referrer {
    fn untagged(digest: Digest) -> Self {
        Self {
            digest,
            tag: None,
            before: None,
        }
    }
}

fn unasked(subject: &Subject<'_>, why: String) -> Item {
    Item {
        image: format!("{} (what refers to it)", subject.image),
        about: Some(subject.image.to_string()),
        outcome: ItemOutcome::Failed,
        why: Some(why),
        ..Item::default()
    }
}
