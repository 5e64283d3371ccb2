//! How an image is set up.

use bytes::Bytes;
use serde_json::Value;
use serde_json::json;

use crate::image::Image;
use crate::image::OCI_INDEX;
use crate::image::OCI_MANIFEST;
use crate::image::Part;
use crate::image::layer::File;
use crate::image::layer::files;
use crate::image::layer::pack;

/// An image that isn't built yet. The same settings always give the same bytes.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    seed: u64,
    base: (u64, usize),
    layers: usize,
    layer_size: usize,
    platforms: Vec<String>,
    index: bool,
    types: Types,
    files: Vec<File>,
    settings: Value,
}

/// The media types of one family.
#[derive(Clone, Copy, Debug)]
struct Types {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

const OCI: Types = Types {
    index: OCI_INDEX,
    manifest: OCI_MANIFEST,
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
};

const DOCKER: Types = Types {
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
};

impl ImageBuilder {
    /// An OCI image for linux/amd64 with two layers of about 20 kB; another seed, other bytes.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            base: (0, 0),
            layers: 2,
            layer_size: 20_000,
            platforms: vec!["linux/amd64".to_owned()],
            index: false,
            types: OCI,
            files: Vec::new(),
            settings: json!({}),
        }
    }

    /// This many layers of its own, for each platform.
    pub fn layers(mut self, layers: usize) -> Self {
        self.layers = layers;
        self
    }

    /// About so many bytes of files a layer; half of them don't compress.
    pub fn layer_size(mut self, bytes: usize) -> Self {
        self.layer_size = bytes;
        self
    }

    /// Below its own layers, `layers` that depend on `seed` alone: images with the same base share
    /// those blobs, and so do all platforms.
    pub fn base(mut self, seed: u64, layers: usize) -> Self {
        self.base = (seed, layers);
        self
    }

    /// An index with one manifest for each platform, such as `linux/arm64`.
    pub fn platforms(mut self, platforms: &[&str]) -> Self {
        self.platforms = platforms.iter().map(ToString::to_string).collect();
        self.index = true;
        self
    }

    /// Docker's media types in place of OCI's.
    pub fn docker(mut self) -> Self {
        self.types = DOCKER;
        self
    }

    /// Puts a file into the last layer.
    pub fn file(mut self, path: &str, bytes: impl Into<Bytes>, mode: u32) -> Self {
        self.files.push(File {
            path: path.to_owned(),
            bytes: bytes.into(),
            mode,
        });
        self
    }

    /// The `config` object of the image's configuration, such as `{"Cmd": ["/app"]}`.
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// The image.
    pub fn build(self) -> Image {
        let mut blobs = Vec::new();
        let manifests: Vec<Part> = (0..self.platforms.len())
            .map(|platform| self.manifest(platform, &mut blobs))
            .collect();
        let mut seen = std::collections::HashSet::new();
        blobs.retain(|blob: &Part| seen.insert(blob.digest.clone()));
        if !self.index {
            let mut manifests = manifests;
            return Image {
                root: manifests.remove(0),
                manifests,
                blobs,
            };
        }
        let entries = manifests
            .iter()
            .zip(&self.platforms)
            .map(|(manifest, platform)| {
                let (os, architecture) = split(platform);
                let mut entry = manifest.descriptor();
                entry["platform"] = json!({"os": os, "architecture": architecture});
                entry
            });
        let entries: Vec<Value> = entries.collect();
        let media_type = self.types.index;
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        Image {
            root: Part::new(media_type, index.to_string()),
            manifests,
            blobs,
        }
    }

    fn manifest(&self, platform: usize, blobs: &mut Vec<Part>) -> Part {
        let (os, architecture) = split(&self.platforms[platform]);
        let (base_seed, base_layers) = self.base;
        let base = (0..base_layers).map(|at| files(base_seed ^ (at as u64 + 1) << 32, 20_000));
        let base = base.chain((0..self.layers).map(|at| {
            let seed = (self.seed << 16) ^ ((platform as u64 + 1) << 8) ^ (at as u64 + 1);
            files(seed, self.layer_size)
        }));
        let mut layers: Vec<Vec<File>> = base.collect();
        if let Some(last) = layers.last_mut() {
            last.extend(self.files.clone());
        }
        let packed: Vec<_> = layers.iter().map(|files| pack(files)).collect();
        let diff_ids: Vec<&str> = packed.iter().map(|layer| layer.diff_id.as_str()).collect();
        let history = packed
            .iter()
            .map(|_| json!({"created_by": "fake-registry"}));
        let config = json!({
            "created": "2025-01-01T00:00:00Z",
            "architecture": architecture,
            "os": os,
            "config": self.settings,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history.collect::<Vec<Value>>(),
        });
        let config = Part::new(self.types.config, config.to_string());
        let parts = packed
            .into_iter()
            .map(|layer| Part::new(self.types.layer, layer.bytes));
        let parts: Vec<Part> = parts.collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.types.manifest,
            "config": config.descriptor(),
            "layers": parts.iter().map(Part::descriptor).collect::<Vec<Value>>(),
        });
        blobs.push(config);
        blobs.extend(parts);
        Part::new(self.types.manifest, manifest.to_string())
    }
}

fn split(platform: &str) -> (&str, &str) {
    platform.split_once('/').unwrap_or(("linux", platform))
}
