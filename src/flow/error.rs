use std::time::Duration;

use crate::ledger::Reason;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::registry;
use crate::store;

/// Why an [`super::Ask`] was not served, by what the asker can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such upstream is configured; nobody was asked.
    #[error("'{0}' is not a configured upstream")]
    UnknownUpstream(String),
    /// The configuration of the upstream denies this repository; nobody was asked.
    #[error("{0} is not allowed here")]
    Denied(Repository),
    /// It is for nobody but its own asker: nobody fetches it for others.
    #[error(
        "{0}: its upstream is asked with the clients' own credentials, so nothing is fetched from it \
         for others"
    )]
    Passthrough(String),
    /// The upstream has no such manifest.
    #[error("{0} has no manifest {1}")]
    NoManifest(Repository, String),
    /// The upstream has no such blob.
    #[error("{0} has no blob {1}")]
    NoBlob(Repository, String),
    /// The upstream has no such repository, or no such list.
    #[error("{0} is not known to its registry ({1})")]
    NoRepository(Repository, String),
    /// The range is beyond the content's end.
    #[error("the range is beyond the end of {size} bytes")]
    Unsatisfiable {
        /// The content's length, in bytes.
        size: u64,
    },
    /// The upstream did not give it.
    #[error("{repository}: the upstream {error}")]
    Upstream {
        /// From where it was wanted.
        repository: Repository,
        /// What came instead.
        error: registry::Error,
    },
    /// The upstream did not let the caller in at all.
    #[error("{upstream} {error}")]
    Ping {
        /// Which upstream.
        upstream: UpstreamName,
        /// What it said.
        error: registry::Error,
    },
    /// What the upstream gave is not what its digest says.
    #[error("{repository}: {reference} came with other content than its digest says ({got})")]
    Corrupt {
        /// From where it was wanted.
        repository: Repository,
        /// What was wanted.
        reference: String,
        /// What came.
        got: String,
    },
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] store::Error),
    /// What was being stored could not be read again.
    #[error("the store could not be read: {0}")]
    Read(std::sync::Arc<std::io::Error>),
    /// What came could not be stored.
    #[error("the store could not be written: {0}")]
    Write(std::sync::Arc<std::io::Error>),
    /// The proxy is shutting down, or a fill was given up because everybody had left.
    #[error("given up: {0}")]
    GivenUp(&'static str),
}

impl Error {
    /// Whether it is the disk's fault: the upstream may give what is wanted all the same.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::Store(_) | Self::Read(_) | Self::Write(_))
    }

    /// Whether what came is not what was promised.
    pub(super) fn is_mismatch(&self) -> bool {
        use registry::Error::Wrong;
        matches!(
            self,
            Self::Corrupt { .. }
                | Self::Upstream {
                    error: Wrong(_),
                    ..
                }
        )
    }

    /// Why what was fetched until then is thrown away.
    pub(super) fn reason(&self) -> Reason {
        match self {
            error if error.is_local() => Reason::Unstorable,
            error if error.is_mismatch() => Reason::Mismatch,
            Self::GivenUp(_) => Reason::Abandoned,
            _ => Reason::Incomplete,
        }
    }

    /// How long the asker should wait before it asks again, where the upstream said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Upstream {
                error: registry::Error::Throttled { retry_after },
                ..
            } => *retry_after,
            _ => None,
        }
    }
}
