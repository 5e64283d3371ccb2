use crate::flow;
use crate::layout;
use crate::oci::UpstreamName;
use crate::registry;
use crate::store;
use crate::target;

/// Why an image was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was asked can't be done; another command can.
    #[error("{0}")]
    Usage(String),
    /// The source does not give something.
    #[error("{what}: {why}")]
    Source {
        /// What.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// The source's registry does not give something.
    #[error(transparent)]
    Flow(flow::Error),
    /// There can be no client for a registry.
    #[error("{name}: {error}")]
    Registry {
        /// Which.
        name: UpstreamName,
        /// Why.
        error: registry::Error,
    },
    /// The target does not take it.
    #[error(transparent)]
    Target(target::Error),
    /// An image on disk can't be read or written.
    #[error(transparent)]
    Disk(#[from] layout::Error),
    /// There is no room for what is on its way.
    #[error("the folder for temporary files (set TMPDIR for another): {0}")]
    Spool(store::Error),
    /// The store can't be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
}
