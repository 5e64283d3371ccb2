//! What a copy is made of: the image, all that it names, and all that refers to any of it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::VecDeque;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;
use serde::Deserialize;

use super::Error;
use super::origin::DigestTags;
use super::origin::Origin;
use super::origin::Root;
use crate::ledger::FlowId;
use crate::oci;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Index;
use crate::oci::Platform;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Pace;

/// A manifest that is wanted for itself, not because another one names it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) descriptor: Descriptor,
    /// The tag, or the name, that is to point to it.
    pub(super) name: Option<String>,
}

/// All that is to be copied.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) root: Item,
    /// Where only some platforms of an index are wanted: these.
    pub(super) part: Option<Vec<Digest>>,
    /// What refers to the image: signatures, for one.
    pub(super) others: Vec<Item>,
    pub(super) manifests: BTreeMap<Digest, Manifest>,
    /// With their length, in bytes.
    pub(super) blobs: BTreeMap<Digest, u64>,
}

/// What is wanted of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// How much of an index.
    pub(super) part: Part<'a>,
    /// Whether what refers to it is wanted too.
    pub(super) referrers: bool,
}

/// How much of an index is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    All,
    Platforms(&'a [Platform]),
    /// These manifests of it.
    Only(&'a [Digest]),
}

/// The most manifests that one image may come with.
const MOST: usize = 20_000;
/// How many questions are put to a source at once.
const AT_ONCE: usize = 8;

impl Plan {
    /// Asks the source for all manifests.
    pub(super) async fn of(
        origin: &Origin,
        root: Root,
        wanted: Wanted<'_>,
        flow: FlowId,
    ) -> Result<Self, Error> {
        let mut plan = Self {
            root: Item {
                descriptor: root.descriptor,
                name: root.name,
            },
            part: None,
            others: Vec::new(),
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
        };
        let mut walk = Walk { origin, flow };
        let root = plan.root.descriptor.digest.clone();
        let mut subjects = walk.tree(&mut plan, &root, wanted.part).await?;
        if wanted.referrers {
            let tags = origin.digest_tags().await?;
            while !subjects.is_empty() {
                subjects = walk.around(&mut plan, &subjects, &tags).await?;
            }
        }
        Ok(plan)
    }

    /// The length of all blobs, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.blobs.values().sum()
    }
}

struct Walk<'a> {
    origin: &'a Origin,
    flow: FlowId,
}

impl Walk<'_> {
    /// Takes in a manifest and all that it names: which manifests are new.
    async fn tree(
        &mut self,
        plan: &mut Plan,
        root: &Digest,
        part: Part<'_>,
    ) -> Result<Vec<Digest>, Error> {
        let mut found = Vec::new();
        let mut next = vec![root.clone()];
        while !next.is_empty() {
            let missing = next.iter().filter(|it| !plan.manifests.contains_key(*it));
            let missing: BTreeSet<Digest> = missing.cloned().collect();
            let asked = stream::iter(&missing).map(|digest| self.manifest(digest, root));
            let came: Vec<Manifest> = asked.buffered(AT_ONCE).try_collect().await?;
            next.clear();
            for (digest, manifest) in missing.into_iter().zip(came) {
                let children = oci::Manifest::parse(&manifest.bytes).manifests;
                plan.blobs.extend(blobs(&manifest.bytes));
                if matches!(part, Part::All) || digest != *root {
                    next.extend(children);
                } else {
                    let chosen = self.part(&manifest, part)?;
                    next.extend_from_slice(&chosen);
                    plan.part = (chosen.len() < children.len()).then_some(chosen);
                }
                plan.manifests.insert(digest.clone(), manifest);
                found.push(digest);
            }
            if plan.manifests.len() > MOST {
                let why = format!("it comes with more than {MOST} manifests");
                return Err(self.wrong(root, why));
            }
        }
        Ok(found)
    }

    fn part(&self, root: &Manifest, part: Part<'_>) -> Result<Vec<Digest>, Error> {
        let platforms = match part {
            Part::All => return Ok(oci::Manifest::parse(&root.bytes).manifests),
            Part::Only(digests) => return Ok(digests.to_vec()),
            Part::Platforms(platforms) => platforms,
        };
        let index = Index::parse(&root.bytes).ok_or_else(|| {
            Error::Usage(
                "the source is one platform's image, no index; leave out --platform".to_owned(),
            )
        })?;
        index.choose(platforms).map_err(Error::Usage)
    }

    async fn manifest(&self, digest: &Digest, root: &Digest) -> Result<Manifest, Error> {
        let cause = Cause {
            flow: self.flow,
            pace: Pace::Client,
            ours: true,
        };
        let supply = self.origin.supply();
        let came = supply
            .manifest(&self.origin.repository, digest, cause)
            .await;
        came.map_err(|missing| match missing {
            Missing::Gone(why) if digest != root => self.wrong(
                root,
                format!("{why}; name the platforms that are there with --platform"),
            ),
            missing => self.wrong(digest, missing.to_string()),
        })
    }

    fn wrong(&self, digest: &Digest, why: String) -> Error {
        Error::Source {
            what: format!("{}@{digest}", self.origin.repository),
            why,
        }
    }

    /// Takes in what refers to `subjects`, with all that it names: which manifests are new.
    async fn around(
        &mut self,
        plan: &mut Plan,
        subjects: &[Digest],
        tags: &DigestTags,
    ) -> Result<Vec<Digest>, Error> {
        let asked = stream::iter(subjects).map(|subject| self.about(subject, tags));
        let about: Vec<Vec<(Digest, Option<String>)>> =
            asked.buffered(AT_ONCE).try_collect().await?;
        let mut new = Vec::new();
        let mut items: VecDeque<(Digest, Option<String>)> = about.into_iter().flatten().collect();
        while let Some((digest, name)) = items.pop_front() {
            let known = |item: &Item| item.descriptor.digest == digest && item.name == name;
            if plan.others.iter().any(known)
                || (name.is_none() && plan.root.descriptor.digest == digest)
            {
                continue;
            }
            new.extend(self.tree(plan, &digest, Part::All).await?);
            if let Some(manifest) = plan.manifests.get(&digest) {
                let descriptor = Descriptor {
                    media_type: manifest.media_type.clone(),
                    size: manifest.bytes.len() as u64,
                    digest,
                };
                plan.others.push(Item { descriptor, name });
            }
        }
        Ok(new)
    }

    /// What is about one manifest, and the tag that it goes by, where it does.
    async fn about(
        &self,
        subject: &Digest,
        tags: &DigestTags,
    ) -> Result<Vec<(Digest, Option<String>)>, Error> {
        let referrers = self.origin.referrers(subject, tags).await?;
        let mut all: Vec<_> = referrers.into_iter().map(|digest| (digest, None)).collect();
        for tag in tags.cosign(subject) {
            if let Some(digest) = self.origin.tagged(&tag).await? {
                all.push((digest, Some(tag.to_string())));
            }
        }
        Ok(all)
    }
}

/// The blobs that a manifest names, with their length; those that a registry holds, that is.
fn blobs(manifest: &[u8]) -> Vec<(Digest, u64)> {
    #[derive(Deserialize)]
    struct Fields {
        config: Option<Entry>,
        #[serde(default)]
        layers: Vec<Entry>,
        #[serde(default)]
        blobs: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        digest: String,
        size: u64,
    }
    let Ok(fields) = serde_json::from_slice::<Fields>(manifest) else {
        return Vec::new();
    };
    let own: BTreeSet<Digest> = oci::Manifest::parse(manifest).blobs.into_iter().collect();
    let all = fields
        .config
        .iter()
        .chain(&fields.layers)
        .chain(&fields.blobs);
    let sized = all.filter_map(|entry| Some((entry.digest.parse().ok()?, entry.size)));
    sized.filter(|(digest, _)| own.contains(digest)).collect()
}
