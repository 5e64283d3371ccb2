use std::time::Instant;

use serde::Serialize;

use super::plan::Plan;
use crate::target::Mirrored;

/// What was copied.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// As it was written out in full.
    pub source: String,
    /// As it was written out in full.
    pub target: String,
    /// The digest of the image at its source; at the target too, but in a docker-archive.
    pub digest: String,
    /// In a docker-archive: the digest of the config, which docker calls the image's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// How many manifests it has, those of its referrers among them.
    pub manifests: u64,
    /// How many blobs.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// How many manifests refer to it.
    pub referrers: u64,
    /// Blobs that had to be written or uploaded.
    pub uploads: u64,
    /// Their length, in bytes.
    pub upload_bytes: u64,
    /// Blobs that the target took from another of its repositories.
    pub mounts: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What refers to the image and could not be copied, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Report {
    /// What is known before anything was copied.
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            digest: plan.root.descriptor.digest.to_string(),
            manifests: plan.manifests.len() as u64,
            blobs: plan.blobs.len() as u64,
            bytes: plan.size(),
            referrers: plan.others.len() as u64,
            ..Self::default()
        }
    }

    pub(super) fn count(&mut self, mirrored: Mirrored) {
        self.uploads += mirrored.uploads;
        self.upload_bytes += mirrored.upload_bytes;
        self.mounts += mirrored.mounts;
    }

    /// It was begun at `begun`, and is done.
    pub(super) fn took(&mut self, begun: Instant) {
        self.seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    }
}
