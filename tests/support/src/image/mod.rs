//! Images, made without any tool: config, layers, manifests, indexes and referrers.

mod builder;
mod corpus;
mod layer;
mod layout;
mod push;
mod release;

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;

use crate::digest::digest_of;

pub use builder::ImageBuilder;
pub use corpus::Corpus;
pub use corpus::Extent;
pub use corpus::Shelf;
pub use push::Push;
pub use push::PushError;
pub use release::Release;

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// An image (or another artifact): its root, which is a manifest or an index, and all below it.
#[derive(Clone, Debug)]
pub struct Image {
    /// What a tag names.
    pub root: Part,
    /// The manifests below the root, where it is an index.
    pub manifests: Vec<Part>,
    /// Configs and layers, each once.
    pub blobs: Vec<Part>,
}

/// A manifest or a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// `sha256:<hex>`.
    pub digest: String,
    /// The media type, as descriptors give it.
    pub media_type: String,
    /// The content.
    pub bytes: Bytes,
}

impl Part {
    pub(crate) fn new(media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: digest_of(&bytes),
            media_type: media_type.to_owned(),
            bytes,
        }
    }

    /// The OCI descriptor.
    pub fn descriptor(&self) -> Value {
        let size = self.bytes.len();
        json!({"mediaType": self.media_type, "digest": self.digest, "size": size})
    }

    /// The content as JSON.
    ///
    /// # Panics
    /// Where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }
}

impl Image {
    /// The digest that a tag names.
    pub fn digest(&self) -> &str {
        &self.root.digest
    }

    /// The manifest of a platform such as `linux/amd64`; the root itself where it is no index.
    pub fn manifest(&self, platform: &str) -> Option<&Part> {
        if self.manifests.is_empty() {
            return Some(&self.root);
        }
        let index = self.root.json();
        let entry = index["manifests"].as_array()?.iter().find(|entry| {
            let part = |key: &str| {
                entry["platform"][key]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            format!("{}/{}", part("os"), part("architecture")) == platform
        })?;
        self.manifests
            .iter()
            .find(|manifest| manifest.digest == entry["digest"])
    }

    /// The digests of a platform's layers, in order.
    pub fn layers(&self, platform: &str) -> Vec<String> {
        let manifest = self.manifest(platform).map(Part::json).unwrap_or_default();
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        layers
            .iter()
            .filter_map(|layer| layer["digest"].as_str().map(str::to_owned))
            .collect()
    }

    /// The length of all blobs and manifests, in bytes.
    pub fn size(&self) -> u64 {
        let parts = self.blobs.iter().chain(&self.manifests).chain([&self.root]);
        parts.map(|part| part.bytes.len() as u64).sum()
    }

    /// An artifact that refers to this image (its `subject`), with `payload` as its only layer, as
    /// signatures and SBOMs are (image spec, manifest.md, `subject` and `artifactType`).
    pub fn referrer(&self, artifact_type: &str, payload: impl Into<Bytes>) -> Image {
        let config = Part::new(OCI_EMPTY, "{}");
        let layer = Part::new(artifact_type, payload);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": config.descriptor(),
            "layers": [layer.descriptor()],
            "subject": self.root.descriptor(),
        });
        let root = Part::new(OCI_MANIFEST, manifest.to_string());
        Image {
            root,
            manifests: Vec::new(),
            blobs: vec![config, layer],
        }
    }
}
