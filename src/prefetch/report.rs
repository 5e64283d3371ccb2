use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::Error as _;

/// What one run of one set has done. As JSON it is stable: keys are added, never taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The set's name.
    pub set: Arc<str>,
    /// Whether nothing was changed: it says what would have been brought.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began. As JSON: RFC 3339, UTC.
    #[serde(with = "text")]
    pub begun: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What became of the set's images.
    pub images: Counts,
    /// What crossed the network for it.
    pub traffic: Traffic,
    /// What changed, and what failed; all of it where that was asked for ([`Tell::All`]).
    ///
    /// [`Tell::All`]: super::Tell::All
    #[serde(default)]
    pub items: Vec<Item>,
    /// How many items more there were than a report may have.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All is where it is to be.
    #[default]
    Done,
    /// Some of it failed; the items say which.
    Partly,
    /// All of it failed.
    Nothing,
    /// It was stopped before its end.
    Interrupted,
}

/// How many images came to what. Each tag, and each image that is named by its digest alone, is
/// counted once, however many destinations it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// There already, everywhere.
    pub unchanged: u64,
    /// Brought to at least one destination, and failed at none.
    pub copied: u64,
    /// Not brought to all destinations.
    pub failed: u64,
    /// Never begun, or broken off: the run was stopped.
    pub skipped: u64,
    /// Gone at the source, and still where they were brought to.
    pub gone: u64,
    /// Gone at the source, and removed where they were brought to.
    pub pruned: u64,
    /// Sources and repositories that could not be asked.
    pub unasked: u64,
    /// Signatures and whatever else refers to an image, that were brought.
    pub referrers: u64,
}

/// What crossed the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Requests at sources, tokens and redirects among them.
    pub source_requests: u64,
    /// Requests at targets.
    pub target_requests: u64,
    /// Requests that were answered by 429.
    pub throttled: u64,
    /// Bytes that sources sent.
    pub fetched_bytes: u64,
    /// Bytes that targets were sent.
    pub uploaded_bytes: u64,
    /// Blobs that were uploaded.
    pub uploads: u64,
    /// Blobs that targets took from other repositories of theirs.
    pub mounts: u64,
    /// Blobs that were in the store, or at a target, already.
    pub known: u64,
}

/// What became of one image; or of a source that could not be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// `<upstream>/<name>:<tag>`, or `@<digest>` in the tag's place; or what could not be asked.
    pub image: String,
    /// What became of it.
    pub outcome: ItemOutcome,
    /// The image that it refers to, where it came as a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Its digest at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The digest that the tag had before, where it has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Bytes that the source sent for it.
    #[serde(default)]
    pub fetched_bytes: u64,
    /// What became of it at each destination.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<Delivery>,
    /// Why it failed, or what else is to be said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemOutcome {
    /// It was there already.
    #[default]
    Unchanged,
    /// It was brought.
    Copied,
    /// It was not brought.
    Failed,
    /// The run was stopped before.
    Skipped,
    /// It is gone at the source, and still there.
    Gone,
    /// It is gone at the source, and was removed.
    Pruned,
}

/// What became of an image at one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `store`, or the target's name.
    pub to: String,
    /// What became of it there.
    pub outcome: ItemOutcome,
    /// Blobs that were uploaded, or stored.
    #[serde(default)]
    pub uploads: u64,
    /// Their bytes.
    #[serde(default)]
    pub upload_bytes: u64,
    /// Blobs that were mounted.
    #[serde(default)]
    pub mounts: u64,
    /// The digest that the tag has there, where it is not the source's: an index that was trimmed
    /// to the platforms that are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is written as text.
mod text {
    use super::*;

    pub(super) fn serialize<T: Display, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(it)
    }

    pub(super) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
