//! How a manifest comes to be in a repository, once all that it names is there.

use std::time::Instant;

use super::Error;
use super::errand::Work;
use super::node::Node;
use super::part::cut_index;
use super::remote::Standing;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Tag;
use crate::oci::media;
use crate::registry;
use crate::registry::Mounts;
use crate::registry::NewManifest;
use crate::registry::PutManifest;

impl Work {
    /// Whether the repository is known to have the manifest `digest`, with all that it names.
    pub(super) fn has_manifest(&self, digest: &Digest) -> bool {
        self.remote.has_manifest(&self.name, digest)
    }

    /// Whether one `HEAD` says that what the errand is to bring is there still, as it was long ago.
    pub(super) async fn confirmed(&self, standing: &Standing) -> Result<bool, Error> {
        let errand = &self.errand;
        let reference = match &errand.tag {
            Some(tag) => Reference::Tag(tag.clone()),
            None => Reference::Digest(errand.digest.clone()),
        };
        if !standing.can_be_asked || !self.head_says(&standing.digest, &reference).await? {
            if let Some(tag) = &errand.tag {
                self.remote.catalog.withdraw_tag(&self.name, tag);
            }
            return Ok(false);
        }
        let node = self.node(&errand.digest).await?;
        if node.digest == standing.digest {
            self.note_root(&node, errand.tag.as_ref());
        } else if let Some(cut) = cut_index(&node).filter(|cut| cut.digest == standing.digest) {
            self.note_root(&cut, errand.tag.as_ref());
        }
        if self.is_ours() {
            self.note_below(&node).await?;
        }
        Ok(true)
    }

    /// What a manifest that is there still names is there, too, all the way down.
    async fn note_below(&self, node: &Node) -> Result<(), Error> {
        let mut level = node.children.clone();
        while let Some(digest) = level.pop() {
            if self
                .remote
                .catalog
                .holds(&self.name, &digest)
                .is_some_and(|known| known.manifest)
            {
                let child = self.node(&digest).await?;
                level.extend(child.children.iter().cloned());
                self.note(&child);
            }
        }
        Ok(())
    }

    /// The same for a manifest of an index.
    pub(super) async fn confirmed_child(&self, node: &Node) -> Result<bool, Error> {
        let known = self.remote.catalog.holds(&self.name, &node.digest);
        let reference = Reference::Digest(node.digest.clone());
        if !known.is_some_and(|known| known.committed && known.manifest)
            || !self.head_says(&node.digest, &reference).await?
        {
            return Ok(false);
        }
        self.note(node);
        Ok(true)
    }

    /// Whether a `HEAD` of `reference` finds the manifest `digest`. What it does not find is
    /// withdrawn.
    async fn head_says(&self, digest: &Digest, reference: &Reference) -> Result<bool, Error> {
        let remote = &self.remote;
        let _lane = remote.lanes.requests.acquire().await;
        remote.counts.heads.add(1);
        let (flow, accept) = (self.errand.flow, media::ACCEPT_NATIVE);
        let head = self
            .registry
            .manifest_head(flow, &self.name, reference, accept);
        match head.await {
            Ok(head) => Ok(head.digest.as_ref() == Some(digest)),
            Err(registry::Error::NotFound { .. }) => {
                remote.catalog.withdraw(&self.name, digest);
                Ok(false)
            }
            Err(error) => Err(self.refusal(&format!("manifest {reference}"), error)),
        }
    }

    /// Has the errand's own manifest there.
    pub(super) async fn root(&self) -> Result<(), Error> {
        let node = self.node(&self.errand.digest).await?;
        if self.has_manifest(&node.digest) {
            // Only the tag is missing.
        } else if self.wants_children(&node) {
            self.fill(&node).await?;
        } else {
            return self.put_index(&node).await;
        }
        match node.is_part && !self.has_manifest(&node.digest) {
            true => self.put_part(&node).await,
            false => self.put_root(&node).await,
        }
    }

    /// Puts the errand's own manifest, under its tag unless that has moved meanwhile.
    pub(super) async fn put_root(&self, node: &Node) -> Result<(), Error> {
        let Some(errand) = self.remote.errand(self.id) else {
            return Ok(());
        };
        let Some(tag) = errand.tag.clone() else {
            // The tag's own errand puts it, once; but where mounts wait for a manifest, they do so
            // for this one.
            let waited_for = self.remote.mounting.now() == Mounts::Committed;
            return match !waited_for && self.remote.leaves_to_tag(&errand) {
                true => Ok(()),
                false => self.put_child(node).await,
            };
        };
        let turn = self.remote.turns.take(&self.name, tag.as_str()).await;
        // Looked at again, now that nobody else can put it there.
        let moved = self.remote.errand(self.id).and_then(|errand| errand.tag) != Some(tag.clone());
        if moved {
            drop(turn);
            return self.put_child(node).await;
        }
        let reference = Reference::Tag(tag.clone());
        let put = self.put(node, &reference).await?;
        self.refer(node, &put).await?;
        self.note_root(node, Some(&tag));
        Ok(())
    }

    /// Puts a manifest by its digest, unless it is there by now.
    pub(super) async fn put_child(&self, node: &Node) -> Result<(), Error> {
        let _turn = self
            .remote
            .turns
            .take(&self.name, node.digest.as_str())
            .await;
        if self.has_manifest(&node.digest) {
            return Ok(());
        }
        let reference = Reference::Digest(node.digest.clone());
        let put = self.put(node, &reference).await?;
        self.refer(node, &put).await?;
        self.note(node);
        Ok(())
    }

    /// Puts a manifest. Where the target says that something is missing, that is looked for once,
    /// brought again, and the manifest put again.
    async fn put(&self, node: &Node, reference: &Reference) -> Result<PutManifest, Error> {
        let asked = Instant::now();
        let mut put = self.put_once(node, reference).await;
        match put {
            Err(registry::Error::BlobUnknown(lacking)) => {
                self.remote.counts.retries.add(1);
                self.heal(node, &lacking).await?;
                put = self.put_once(node, reference).await;
            }
            Err(error) if self.created(&error, asked).await? => {
                put = self.put_once(node, reference).await;
            }
            other => put = other,
        }
        put.map_err(|error| self.refusal(&format!("manifest {reference}"), error))
    }

    /// Puts a manifest, and counts it.
    pub(super) async fn put_once(
        &self,
        node: &Node,
        reference: &Reference,
    ) -> Result<PutManifest, registry::Error> {
        let remote = &self.remote;
        let _lane = remote.lanes.requests.acquire().await;
        let manifest = NewManifest {
            media_type: &node.manifest.media_type,
            bytes: node.manifest.bytes.clone(),
        };
        let flow = self.errand.flow;
        let put = self
            .registry
            .manifest_put(flow, &self.name, reference, manifest)
            .await?;
        remote.counts.manifests.add(1);
        super::lock(&self.tally).manifests += 1;
        remote.took();
        Ok(put)
    }

    /// What the catalog holds of `node` was wrong: all that the target lacks, or that it may lack,
    /// is asked for and brought again.
    async fn heal(&self, node: &Node, lacking: &[Digest]) -> Result<(), Error> {
        let named = node.named();
        let said = named.iter().any(|digest| lacking.contains(digest));
        for digest in &named {
            if !said || lacking.contains(digest) {
                self.remote.catalog.withdraw(&self.name, digest);
            }
        }
        for (digest, _) in &node.blobs {
            let suspect = self.remote.catalog.holds(&self.name, digest).is_none();
            if suspect && !self.confirmed_blob(digest).await? {
                self.forget_blob(digest);
            }
        }
        self.fill(node).await
    }

    /// The errand's manifest is there, or what stands for a part of it, with all that is wanted of it.
    pub(super) fn note_root(&self, node: &Node, tag: Option<&Tag>) {
        let catalog = &self.remote.catalog;
        match node.is_part {
            // Known, but not as one that has all.
            true => catalog.note(&self.name, &node.digest),
            false => self.note(node),
        }
        let Some(tag) = tag else { return };
        let is_whole = !node.is_part && node.digest == self.errand.digest;
        let part = self.part.known(&self.errand.digest).filter(|_| !is_whole);
        catalog.note_part(&self.name, tag, (&node.digest, part.as_ref()));
    }

    /// The manifest is there, with all that it names.
    fn note(&self, node: &Node) {
        let catalog = &self.remote.catalog;
        catalog.note_manifest(&self.name, &node.digest, &node.named());
        self.remote.committed(&self.errand.repository, &node.digest);
    }
}
