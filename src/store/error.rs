use std::path::PathBuf;
use std::sync::Arc;

/// Why the store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: Arc<std::io::Error>,
    },
    /// Another process has the store open.
    #[error("{path}: another tidegate serves from this store", path = path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
}
