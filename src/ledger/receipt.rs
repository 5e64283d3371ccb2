use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::Ledger;

/// Who talks to whom in an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leg {
    /// A client asks, we answer.
    Client,
    /// We ask an upstream.
    Upstream,
    /// We ask a target.
    Target,
    /// Measured traffic passes through.
    Tap,
}

/// What an exchange does, in the terms of the distribution spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// `GET /v2/`.
    Ping,
    /// A token server's answer.
    Token,
    /// `HEAD` of a manifest.
    ManifestHead,
    /// `GET` of a manifest.
    ManifestGet,
    /// `PUT` of a manifest.
    ManifestPut,
    /// `HEAD` of a blob.
    BlobHead,
    /// `GET` of a blob.
    BlobGet,
    /// `POST` of an upload that tries to mount.
    BlobMount,
    /// `POST` of an upload.
    UploadStart,
    /// `PATCH` of an upload.
    UploadChunk,
    /// `PUT` of an upload.
    UploadFinish,
    /// A list of tags.
    TagList,
    /// A list of referrers.
    Referrers,
    /// A list of repositories.
    Catalog,
    /// A deletion.
    Delete,
    /// The target of a redirect.
    Redirect,
    /// Anything else.
    Other,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// With all that was promised.
    Complete,
    /// Whoever received it went away.
    Cancelled,
    /// We broke it off, for it could not be completed rightly.
    Reset,
    /// The other side or the network broke it.
    Failed,
}

/// Where the answer to a client came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From what we hold.
    Hit,
    /// From a fill that somebody else had started.
    Joined,
    /// From a fill, or a request, that this one started.
    Filled,
    /// From what we hold, though it could not be confirmed.
    Stale,
    /// From the upstream, unstored.
    Bypassed,
}

/// The HTTP version of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// Joins the exchanges that belong to one cause. Unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId(u64);

/// One HTTP exchange, as it went.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// When it started.
    pub ts: SystemTime,
    /// From its start to its end.
    pub duration: Duration,
    /// From its start to the first body byte; `None` where there was none.
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
    pub user: Option<Arc<str>>,
    /// The repository's name; empty where none was concerned.
    pub repository: Arc<str>,
    /// A tag or a digest; empty where none was concerned.
    pub reference: Arc<str>,
    /// What it did.
    pub action: Action,
    /// The HTTP method.
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
}

/// A receipt that is still being written: sealed by [`Draft::seal`], or, as cancelled, by a drop.
#[derive(Debug)]
pub struct Draft {
    /// What is known so far.
    pub receipt: Receipt,
    started: Instant,
    ledger: Ledger,
    sealed: bool,
}

impl FlowId {
    /// The next one.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Draft {
    /// A receipt for an exchange that starts now.
    pub fn begin(ledger: &Ledger, leg: Leg, flow: FlowId, method: http::Method) -> Self {
        let receipt = Receipt {
            ts: SystemTime::now(),
            duration: Duration::ZERO,
            ttfb: None,
            leg,
            flow,
            registry: Arc::default(),
            host: Arc::default(),
            user: None,
            repository: Arc::default(),
            reference: Arc::default(),
            action: Action::Other,
            method,
            status: 0,
            protocol: Protocol::H1,
            request_bytes: 0,
            response_bytes: 0,
            end: End::Cancelled,
            origin: None,
        };
        Self {
            receipt,
            started: Instant::now(),
            ledger: ledger.clone(),
            sealed: false,
        }
    }

    /// Counts `bytes` of the response's body; the first ones set the time to first byte.
    pub fn count(&mut self, bytes: usize) {
        if self.receipt.ttfb.is_none() {
            self.receipt.ttfb = Some(self.started.elapsed());
        }
        self.receipt.response_bytes += bytes as u64;
    }

    /// Enters the receipt with the given end.
    pub fn seal(mut self, end: End) {
        self.close(end);
    }

    fn close(&mut self, end: End) {
        if !self.sealed {
            self.sealed = true;
            self.receipt.end = end;
            self.receipt.duration = self.started.elapsed();
            self.ledger.record(&self.receipt);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.close(End::Cancelled);
    }
}

impl From<http::Version> for Protocol {
    fn from(version: http::Version) -> Self {
        if version == http::Version::HTTP_2 {
            Self::H2
        } else {
            Self::H1
        }
    }
}

macro_rules! names {
    ($type:ident { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// The name in logs and journals.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
names!(Leg { Client => "client", Upstream => "upstream", Target => "target", Tap => "tap" });
names!(End {
    Complete => "complete", Cancelled => "cancelled", Reset => "reset", Failed => "failed",
});
names!(Origin {
    Hit => "hit", Joined => "joined", Filled => "filled", Stale => "stale", Bypassed => "bypassed",
});
names!(Protocol { H1 => "h1", H2 => "h2" });
names!(Action {
    Ping => "ping", Token => "token", ManifestHead => "manifest-head",
    ManifestGet => "manifest-get", ManifestPut => "manifest-put", BlobHead => "blob-head",
    BlobGet => "blob-get", BlobMount => "blob-mount", UploadStart => "upload-start",
    UploadChunk => "upload-chunk", UploadFinish => "upload-finish", TagList => "tag-list",
    Referrers => "referrers", Catalog => "catalog", Delete => "delete", Redirect => "redirect",
    Other => "other",
});
