//! Whether what is known to be at a target is there still.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use futures_util::stream;

use super::Error;
use super::Targets;
use super::Wish;
use super::agenda::Entry;
use super::errand::Work;
use super::lock;
use super::node::Node;
use super::part::Part;
use super::remote::Remote;
use super::removal::Removal;
use super::verdict;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::media;
use crate::registry;
use crate::registry::Registry;

/// How many blobs are asked for at once.
const AT_ONCE: usize = 16;

/// What a look at everything that a wish names has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How much of it was asked for: manifests, tags and blobs.
    pub asked: u64,
    /// How much of that is not there, and known to be there no more.
    pub missing: u64,
}

impl Targets {
    /// What `tag` of `repository` stands for at `target`, as far as is known: its upstream's digest,
    /// also where an index of some platforms only was put in its place.
    pub fn tag_there(&self, target: &str, repository: &Repository, tag: &Tag) -> Option<Digest> {
        let remote = self.remote(target).ok()?;
        let name = remote.config.place.of(repository).ok()?;
        let known = remote.catalog.tag(&name, tag)?;
        Some(known.part.map_or(known.digest, |part| part.of))
    }

    /// Whether all that `wish` wants is known to be at `target`, and was found there lately
    /// (`catalog_ttl`). Where it is not, [`Targets::mirror`] does what is to be done, which may be a
    /// `HEAD`.
    pub fn has(&self, target: &str, wish: &Wish) -> bool {
        let Ok(remote) = self.remote(target) else {
            return false;
        };
        let part = Part::of_wish(wish, remote.config.complete);
        let name = remote.config.place.of(&wish.errand.repository);
        name.is_ok_and(|name| remote.has(&name, &wish.errand, &part))
    }

    /// Whether `tag` of `repository` is at `target` what it is known to be: what stands for `digest`.
    /// By one `HEAD`. Where it is not, that is known no more.
    ///
    /// # Errors
    /// When the target can't be asked.
    pub async fn check_tag(
        &self,
        target: &str,
        (repository, tag): (&Repository, &Tag),
        digest: &Digest,
        flow: FlowId,
    ) -> Result<bool, Error> {
        let remote = self.remote(target)?;
        let name = remote.config.place.of(repository).map_err(Error::Place)?;
        let known = remote.catalog.tag(&name, tag);
        let wanted = match known {
            Some(known) if known.part.as_ref().is_some_and(|part| part.of == *digest) => {
                known.digest
            }
            _ => digest.clone(),
        };
        let reference = Reference::Tag(tag.clone());
        let look = Look {
            remote,
            registry: &remote.background,
            name: &name,
            flow,
        };
        let is_there = look.manifest(&wanted, &reference).await?;
        if !is_there {
            remote.catalog.withdraw_tag(&name, tag);
        }
        Ok(is_there)
    }

    /// Asks `target` for everything that `wish` names: one `HEAD` for each manifest, blob and tag. What
    /// is missing is known to be there no more, so that [`Targets::mirror`] brings it.
    ///
    /// # Errors
    /// When the target can't be asked, or the manifests can't be had.
    pub async fn check_deep(&self, target: &str, wish: &Wish) -> Result<Checked, Error> {
        let remote = self.remote(target)?;
        let supply = lock(&self.supply).clone();
        let supply = supply.ok_or(Error::GivenUp("the targets have not been started"))?;
        let mut entry = Entry::new(wish.errand.clone(), wish.pace);
        entry.durable = false;
        entry.part = Part::of_wish(wish, remote.config.complete);
        let work = Work::new(remote.clone(), supply, (0, entry))?;
        work.verify().await
    }

    /// Removes `tag` of `repository` from `target`: the tag alone, whatever else points to its
    /// manifest.
    ///
    /// # Errors
    /// When the target does not do it. That there is no such tag is no error.
    pub async fn delete_tag(
        &self,
        target: &str,
        (repository, tag): (&Repository, &Tag),
        flow: FlowId,
    ) -> Result<(), Error> {
        let remote = self.remote(target)?;
        let name = remote.config.place.of(repository).map_err(Error::Place)?;
        let removal = Removal {
            remote,
            name: &name,
            tag,
            flow,
        };
        removal.run().await
    }
}

/// Asks one repository of a target what it has.
struct Look<'a> {
    remote: &'a Remote,
    registry: &'a Registry,
    name: &'a Name,
    flow: FlowId,
}

impl Look<'_> {
    /// Whether `reference` is the manifest `digest`. A target that does not tell digests is believed.
    async fn manifest(&self, digest: &Digest, reference: &Reference) -> Result<bool, Error> {
        let head =
            self.registry
                .manifest_head(self.flow, self.name, reference, media::ACCEPT_NATIVE);
        match self.ask(head).await {
            Ok(head) => Ok(head.digest.as_ref().is_none_or(|found| found == digest)),
            Err(registry::Error::NotFound { .. }) => {
                self.remote.catalog.withdraw(self.name, digest);
                Ok(false)
            }
            Err(error) => Err(self.refusal(&format!("manifest {reference}"), error)),
        }
    }

    async fn blob(&self, digest: &Digest) -> Result<bool, Error> {
        let head = self.registry.blob_head(self.flow, self.name, digest);
        match self.ask(head).await {
            Ok(_) => Ok(true),
            Err(registry::Error::NotFound { .. }) => {
                self.remote.catalog.withdraw(self.name, digest);
                Ok(false)
            }
            Err(error) => Err(self.refusal(&format!("blob {}", digest.short()), error)),
        }
    }

    async fn ask<T>(&self, head: impl Future<Output = T>) -> T {
        let _lane = self.remote.lanes.requests.acquire().await;
        self.remote.counts.heads.add(1);
        head.await
    }

    fn refusal(&self, what: &str, error: registry::Error) -> Error {
        Error::Registry {
            what: format!("{}: {what}", self.name),
            advice: verdict::advice(&error).to_owned(),
            error,
        }
    }
}

impl Work {
    /// Asks for all that is wanted. What names something that is missing counts as missing, too, as
    /// long as that is so.
    async fn verify(&self) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        let root = self.node(&self.errand.digest).await?;
        let mut blobs: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        let mut level = vec![root.clone()];
        let mut lacking = false;
        while let Some(node) = level.pop() {
            for child in &node.children {
                level.push(self.node(child).await?);
            }
            for (blob, _) in &node.blobs {
                let owners = blobs.entry(blob.clone()).or_default();
                owners.push(node.digest.clone());
            }
            if node.digest != root.digest {
                let reference = Reference::Digest(node.digest.clone());
                checked.asked += 1;
                if !self.look().manifest(&node.digest, &reference).await? {
                    checked.missing += 1;
                    lacking = true;
                }
            }
        }
        let asked = stream::iter(blobs).map(|(blob, owners)| async move {
            Ok::<_, Error>((self.look().blob(&blob).await?, owners))
        });
        let found: Vec<(bool, Vec<Digest>)> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
        checked.asked += found.len() as u64;
        for owner in found.iter().filter(|(is_there, _)| !is_there) {
            checked.missing += 1;
            lacking = true;
            for manifest in &owner.1 {
                self.remote.catalog.withdraw(&self.name, manifest);
            }
        }
        self.verify_root(&root, lacking, &mut checked).await?;
        Ok(checked)
    }

    /// The errand's manifest itself, or what stands for a part of it. Withdrawn where something of it
    /// is missing.
    async fn verify_root(
        &self,
        root: &Node,
        lacking: bool,
        checked: &mut Checked,
    ) -> Result<(), Error> {
        let standing = self.remote.standing(&self.name, &self.errand, &self.part);
        let there = standing.map_or_else(|| root.digest.clone(), |standing| standing.digest);
        let reference = match &self.errand.tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(there.clone()),
        };
        checked.asked += 1;
        let is_there = self.look().manifest(&there, &reference).await?;
        checked.missing += u64::from(!is_there);
        if !is_there || lacking {
            self.remote.catalog.withdraw(&self.name, &there);
            if let Some(tag) = &self.errand.tag {
                self.remote.catalog.withdraw_tag(&self.name, tag);
            }
        }
        Ok(())
    }

    fn look(&self) -> Look<'_> {
        Look {
            remote: &self.remote,
            registry: &self.remote.background,
            name: &self.name,
            flow: self.errand.flow,
        }
    }
}
