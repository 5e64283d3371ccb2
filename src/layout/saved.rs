//! `manifest.json` of a docker-archive: an image's config and its layers, without any manifest. One
//! is made of it: docker's, over the layers as they are in the file.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use super::Error;
use super::LONGEST;
use super::blob::Span;
use super::files::Files;
use super::packing::Packing;
use super::source::Image;
use super::source::Manifest;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::media;

/// The name of the file.
pub(super) const FILE: &str = "manifest.json";

/// The media type of docker's configs, and the beginning of that of its layers.
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// One image (docker's image spec v1.2, "Combined Image JSON + Filesystem Changeset Format").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Config {
    /// The digests of the layers before compression (image spec, config.md, "rootfs").
    pub(super) fn diff_ids(bytes: &[u8]) -> Result<Vec<Digest>, String> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("its config is not an image's: {error}"))?;
        let ids = config.rootfs.diff_ids.iter().map(|id| id.parse());
        ids.collect::<Result<_, crate::oci::DigestError>>()
            .map_err(|error| error.to_string())
    }
}

/// What is made of a docker-archive, and where the blobs are.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) images: Vec<Image>,
    pub(super) manifests: HashMap<Digest, Manifest>,
    pub(super) blobs: HashMap<Digest, Span>,
}

impl Made {
    /// Of the archive at `path`, whose `manifest.json` is `list`.
    pub(super) fn of(list: &[u8], files: &Files, path: &Path) -> Result<Self, Error> {
        let list: Vec<Saved> = serde_json::from_slice(list)
            .map_err(|error| Error::wrong(path, format!("its {FILE}: {error}")))?;
        let mut made = Self::default();
        for saved in list {
            made.add(saved, files, path)?;
        }
        Ok(made)
    }

    fn add(&mut self, saved: Saved, files: &Files, path: &Path) -> Result<(), Error> {
        let wrong = |why: String| Error::wrong(path, why);
        let find = |name: &str| {
            let found = files.find(name, path)?;
            found.ok_or_else(|| wrong(format!("{name:.200} is not in it; was it copied whole?")))
        };
        let span = find(&saved.config)?;
        let config = span.whole(LONGEST, path)?;
        let diff_ids = Config::diff_ids(&config).map_err(wrong)?;
        if diff_ids.len() != saved.layers.len() {
            let (said, there) = (diff_ids.len(), saved.layers.len());
            return Err(wrong(format!("{there} layers where the config has {said}")));
        }
        let digest = Digest::of(&config);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::DOCKER_MANIFEST,
            "config": {"mediaType": CONFIG, "size": config.len(), "digest": digest.as_str()},
            "layers": [],
        });
        self.blobs.insert(digest, span);
        let mut layers = Vec::new();
        for (name, diff_id) in saved.layers.iter().zip(diff_ids) {
            let span = find(name)?;
            // What is not compressed has to have this digest, which is seen when it is read.
            let (digest, media_type) = match span.packing(path)? {
                Packing::None => (diff_id, LAYER.to_owned()),
                Packing::Gzip => (span.digest(path)?, format!("{LAYER}.gzip")),
                Packing::Zstd => (span.digest(path)?, format!("{LAYER}.zstd")),
            };
            let (size, text) = (span.size, digest.as_str());
            layers.push(json!({"mediaType": media_type, "size": size, "digest": text}));
            self.blobs.insert(digest, span);
        }
        manifest["layers"] = Value::Array(layers);
        self.enter(manifest.to_string().into(), saved.repo_tags);
        Ok(())
    }

    fn enter(&mut self, bytes: Bytes, names: Option<Vec<String>>) {
        let digest = Digest::of(&bytes);
        let media_type = media::DOCKER_MANIFEST.into();
        self.images.push(Image {
            names: names.unwrap_or_default(),
            descriptor: Descriptor {
                media_type,
                digest: digest.clone(),
                size: bytes.len() as u64,
            },
        });
        let media_type = media::DOCKER_MANIFEST.into();
        self.manifests
            .insert(digest, Manifest { media_type, bytes });
    }
}
