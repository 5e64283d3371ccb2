use super::Manifest;
use super::Pace;
use crate::oci;
use crate::oci::Digest;

/// A manifest of an errand, and what it names.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
    /// Its config, layers and other blobs, each once, with their lengths in bytes.
    pub(super) blobs: Vec<(Digest, u64)>,
    /// Its manifests, each once; those that are wanted.
    pub(super) children: Vec<Digest>,
    /// Whether it names manifests that are not wanted.
    pub(super) is_part: bool,
    /// What it refers to.
    pub(super) subject: Option<Digest>,
    /// How much of a hurry its blobs are in.
    pub(super) pace: Pace,
}

impl Node {
    pub(super) fn new(digest: Digest, manifest: Manifest, pace: Pace) -> Self {
        let named = oci::Manifest::parse(&manifest.bytes);
        let mut children = Vec::with_capacity(named.manifests.len());
        for child in named.manifests {
            if !children.contains(&child) {
                children.push(child);
            }
        }
        Self {
            digest,
            manifest,
            blobs: named.blobs.into_iter().zip(named.sizes).collect(),
            children,
            is_part: false,
            subject: named.subject,
            pace,
        }
    }

    /// All that has to be in the repository before it.
    pub(super) fn named(&self) -> Vec<Digest> {
        let blobs = self.blobs.iter().map(|(digest, _)| digest);
        blobs.chain(&self.children).cloned().collect()
    }
}
