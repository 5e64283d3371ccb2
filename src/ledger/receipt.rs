use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::Serialize;

use super::format;
use super::names::{Action, Cdn, End, Leg, Origin, Protocol};

/// Joins the exchanges that belong to one cause. Unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FlowId(u64);

/// One HTTP exchange, as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// When it started. In a journal: RFC 3339, UTC, to the microsecond.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
    /// From its start to its end.
    #[serde(rename = "duration_us", with = "format::micros")]
    pub duration: Duration,
    /// From its start to the first body byte; `None` where there was none.
    #[serde(rename = "ttfb_us", with = "format::some_micros")]
    pub ttfb: Option<Duration>,
    /// Who talked to whom.
    pub leg: Leg,
    /// Its cause.
    pub flow: FlowId,
    /// The upstream's or target's name; empty where none was concerned.
    pub registry: Arc<str>,
    /// The host that was talked to; for a client's exchange, the client's address.
    pub host: Arc<str>,
    /// For a client's exchange: who had logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// The repository's name; empty where none was concerned.
    pub repository: Arc<str>,
    /// A tag or a digest; empty where none was concerned.
    pub reference: Arc<str>,
    /// What it did.
    pub action: Action,
    /// The HTTP method.
    #[serde(with = "format::method")]
    pub method: http::Method,
    /// The status code; 0 where no answer came.
    pub status: u16,
    /// The HTTP version.
    pub protocol: Protocol,
    /// Request body bytes that really crossed.
    pub request_bytes: u64,
    /// Response body bytes that really crossed.
    pub response_bytes: u64,
    /// How it ended.
    pub end: End,
    /// For a client's exchange: where the answer came from.
    pub origin: Option<Origin>,
    /// For an upload that began as a mount.
    pub mount: Option<Mount>,
    /// What a content delivery network said of it.
    pub cdn: Option<Cdn>,
    /// The answer's `Age` (RFC 9111, 5.1), in seconds.
    pub age: Option<u64>,
}

/// A blob that another repository of the same registry was to give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// The repository that has it; empty where the registry may choose.
    pub from: Arc<str>,
    /// Whether the registry mounted it: it answered 201.
    pub accepted: bool,
}

impl FlowId {
    /// The next one.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
