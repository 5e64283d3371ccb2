use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde::Serializer;

use crate::registry::Limit;

/// How a target does.
#[derive(Clone, Debug, Serialize)]
pub struct TargetState {
    /// As configured.
    pub name: Arc<str>,
    /// Where it is.
    pub url: Arc<str>,
    /// Since when it could not be reached, or had no room, and why; `None` where it does well.
    pub outage: Option<OutageState>,
    /// Whether it refuses mounts for the time being.
    pub refuses_mounts: bool,
    /// How many manifests are owed to it, those under way among them.
    pub owed: usize,
    /// How many of them are under way.
    pub under_way: usize,
    /// When an image was mirrored last.
    #[serde(serialize_with = "optional_time")]
    pub last_success: Option<SystemTime>,
    /// The first of what is owed, in the order in which it will be done.
    pub errands: Vec<ErrandState>,
    /// What was done since the start.
    pub figures: Figures,
    /// What its catalog holds.
    pub catalog: CatalogState,
    /// What is known of its limits.
    #[serde(skip)]
    pub limits: Vec<Limit>,
}

/// A target that is out.
#[derive(Clone, Debug, Serialize)]
pub struct OutageState {
    /// Since when.
    #[serde(serialize_with = "time")]
    pub since: SystemTime,
    /// What it said last.
    pub error: String,
}

/// What is owed to a target.
#[derive(Clone, Debug, Serialize)]
pub struct ErrandState {
    /// `<upstream>/<name>`.
    pub repository: String,
    /// The manifest.
    pub digest: String,
    /// The tag that is to point to it.
    pub tag: Option<String>,
    /// When it was wanted first.
    #[serde(serialize_with = "time")]
    pub since: SystemTime,
    /// Whether it is under way.
    pub under_way: bool,
    /// How often it has failed.
    pub attempts: u32,
    /// Why it failed last, or what it waits for.
    pub last_error: Option<String>,
    /// When it is tried again; `None` where that is as soon as there is room.
    #[serde(serialize_with = "optional_time")]
    pub next: Option<SystemTime>,
}

/// What a target's catalog holds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CatalogState {
    /// Blobs, manifests and tags.
    pub entries: u64,
    /// How many proved wrong since the start.
    pub withdrawals: u64,
}

/// What was done for a target, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Errands that came to a good end.
    pub errands: u64,
    /// Errands that were given up: what they are about is gone.
    pub given_up: u64,
    /// Times that an errand failed, and was put off.
    pub failures: u64,
    /// Manifests that were put.
    pub manifests: u64,
    /// Blobs that were uploaded.
    pub uploads: u64,
    /// Their bytes.
    pub upload_bytes: u64,
    /// Blobs that were mounted.
    pub mounts: u64,
    /// Mounts that the target refused.
    pub mounts_refused: u64,
    /// Blobs that were known to be there.
    pub known: u64,
    /// `HEAD`s, to be sure that something is there.
    pub heads: u64,
    /// Uploads and manifests that had to be begun again.
    pub retries: u64,
}

fn time<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::try_from(*time) {
        Ok(stamp) => serializer.collect_str(&stamp),
        Err(_) => serializer.serialize_none(),
    }
}

fn optional_time<S: Serializer>(
    value: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => time(value, serializer),
        None => serializer.serialize_none(),
    }
}
