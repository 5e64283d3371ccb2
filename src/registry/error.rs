use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

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
    /// The configuration can't work: a CA file that is none, plain HTTP that is not allowed.
    #[error("{0}")]
    Config(String),
}
