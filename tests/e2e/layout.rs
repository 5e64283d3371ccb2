//! An image as an OCI layout on disk: what a pull is compared with.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Which platforms of an image a client pulls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platforms {
    /// Each of them.
    All,
    /// The one that this machine runs.
    Own,
}

/// The blobs of an image by digest, manifests among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The digest of the image itself: of its index.
    pub(crate) digest: String,
    blobs: BTreeMap<String, Vec<u8>>,
}

/// One platform's image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The digest of the manifest.
    pub(crate) manifest: String,
    /// The digest of the config: what docker and podman call the image's id.
    pub(crate) config: String,
    /// The digests of the uncompressed layers.
    pub(crate) diff_ids: Vec<String>,
    layers: Vec<String>,
}

impl Layout {
    /// Reads the layout in `folder`, which holds one image.
    pub(crate) fn read(folder: &Path) -> Self {
        let index = std::fs::read(folder.join("index.json")).unwrap();
        let index: Value = serde_json::from_slice(&index).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{index}");
        Self {
            digest: text(&entries[0]["digest"]),
            blobs: files(&folder.join("blobs")),
        }
    }

    /// The image of this machine's platform.
    pub(crate) fn own(&self) -> Image {
        let index: Value = serde_json::from_slice(&self.blobs[&self.digest]).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["platform"]["architecture"] == architecture())
            .unwrap();
        let manifest = text(&entry["digest"]);
        let body: Value = serde_json::from_slice(&self.blobs[&manifest]).unwrap();
        let config = text(&body["config"]["digest"]);
        let settings: Value = serde_json::from_slice(&self.blobs[&config]).unwrap();
        let layers = body["layers"].as_array().unwrap();
        let diff_ids = settings["rootfs"]["diff_ids"].as_array().unwrap();
        Image {
            manifest,
            config,
            diff_ids: diff_ids.iter().map(text).collect(),
            layers: layers.iter().map(|layer| text(&layer["digest"])).collect(),
        }
    }

    /// The layout as a client that pulls `platforms` sees it.
    pub(crate) fn part(&self, platforms: Platforms) -> BTreeMap<String, Vec<u8>> {
        let mut blobs = self.blobs.clone();
        if platforms == Platforms::Own {
            let own = self.own();
            let mut wanted = BTreeSet::from_iter(own.layers);
            wanted.extend([self.digest.clone(), own.manifest, own.config]);
            blobs.retain(|digest, _| wanted.contains(digest));
        }
        blobs
    }
}

/// Fails the test unless `folder`, an OCI layout or its `blobs`, holds `expected`, byte for byte,
/// and nothing else.
pub(crate) fn assert_blobs(expected: &BTreeMap<String, Vec<u8>>, folder: &Path) {
    let inner = folder.join("blobs");
    let found = files(if inner.is_dir() { &inner } else { folder });
    let names = |blobs: &BTreeMap<String, Vec<u8>>| Vec::from_iter(blobs.keys().cloned());
    assert_eq!(names(&found), names(expected), "{}", folder.display());
    assert!(found == *expected, "{}: bytes differ", folder.display());
}

fn files(blobs: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for algorithm in std::fs::read_dir(blobs).unwrap() {
        let algorithm = algorithm.unwrap();
        let prefix = algorithm.file_name().into_string().unwrap();
        for file in std::fs::read_dir(algorithm.path()).unwrap() {
            let file = file.unwrap();
            let hex = file.file_name().into_string().unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            all.insert(format!("{prefix}:{hex}"), bytes);
        }
    }
    all
}

/// This machine's architecture, as images call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
