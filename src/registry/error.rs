use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::ledger::Reason;
use crate::oci::Digest;

/// Why a registry did not give what was asked, by what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 404: it is not there. Ask for something else.
    #[error("not found ({code})")]
    NotFound {
        /// The OCI error code, `MANIFEST_UNKNOWN` for one; empty where the answer had none.
        code: String,
    },
    /// 401 or 403, after all credentials were tried. Sign in, or ask for another repository.
    #[error("refused with {status}: {message}")]
    Refused {
        /// 401 or 403.
        status: u16,
        /// What the registry said, shortened to a line.
        message: String,
        /// Its `WWW-Authenticate` headers, where the client's own credentials were used: the client
        /// is to answer them.
        challenge: Option<Arc<[HeaderValue]>>,
    },
    /// 429, also after waiting. Ask later.
    #[error("too many requests (429)")]
    Throttled {
        /// From `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 416: the range starts beyond the blob's end.
    #[error("the range is beyond the blob's end")]
    Unsatisfiable,
    /// Another status, 5xx for one. Ask later.
    #[error("answered {status}: {message}")]
    Status {
        /// The status code.
        status: u16,
        /// What the registry said, shortened to a line.
        message: String,
    },
    /// No connection: name, route, TLS; or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("timed out: {0}")]
    TimedOut(String),
    /// An answer that breaks the protocol, or whose digest or length is not the one promised.
    #[error("a wrong answer: {0}")]
    Wrong(String),
    /// The content of an upload failed: its supply, not this registry. Get it otherwise.
    #[error("its content failed: {0}")]
    Content(String),
    /// The upload was not taken, and what was sent of its content is gone; but the next attempt is
    /// made otherwise (with fresh credentials, or in another way). Start again, with a new session
    /// and new content. Said once for each cause: what would end the same way is not said to be so.
    #[error("to be started again: {0}")]
    Restart(String),
    /// `MANIFEST_BLOB_UNKNOWN` and its kin: the manifest names what the repository has not. Put
    /// that there first.
    #[error("the repository lacks what the manifest names{}", named(.0))]
    BlobUnknown(Vec<Digest>),
    /// The registry does not take such content: too large, of an unknown type, with another digest
    /// than was said. There is no use in asking again with the same.
    #[error("not taken: {message}")]
    Invalid {
        /// 400, 413 and the like.
        status: u16,
        /// The OCI error code, `MANIFEST_INVALID` for one; empty where the answer had none.
        code: String,
        /// What the registry said, shortened to a line.
        message: String,
    },
    /// The configuration can't work: a CA file that is none, plain HTTP that is not allowed.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// Why what was sent for this outcome was sent for nothing.
    pub(super) fn waste(&self) -> Reason {
        match self {
            Self::Content(_) => Reason::Incomplete,
            Self::Unreachable(_) | Self::TimedOut(_) => Reason::Broken,
            Self::Wrong(_) => Reason::Mismatch,
            Self::Invalid { code, .. } if code == "DIGEST_INVALID" => Reason::Mismatch,
            _ => Reason::Refused,
        }
    }
}

/// What is missing, where the registry said it.
fn named(digests: &[Digest]) -> String {
    let all: Vec<_> = digests.iter().map(Digest::as_str).collect();
    match all.as_slice() {
        [] => String::new(),
        all => format!(": {}", all.join(", ")),
    }
}
