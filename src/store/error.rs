use std::io;
use std::path::Path;
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
        source: Arc<io::Error>,
    },
    /// Another process has the store open.
    #[error(
        "{path}: another tidegate serves from this store, or collects its garbage: stop it, wait \
         for it, or set another [store] path", path = path.display()
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// All that could be evicted is being read, or is room that other writers were promised. What
    /// is wanted can still be passed on unstored.
    #[error(
        "{path}: no room for {wanted} bytes within [store] max_size of {max_size} bytes: all of it \
         is being read or written; raise max_size", path = path.display()
    )]
    Full {
        /// The store's folder.
        path: PathBuf,
        /// The room that was asked for, in bytes.
        wanted: u64,
        /// The limit, in bytes.
        max_size: u64,
    },
    /// The disk has no room, and nothing stored could go for it. What is wanted can still be passed
    /// on unstored.
    #[error(
        "{path}: the disk is full: {wanted} bytes are wanted, {free} are free, and nothing that is \
         stored can go for them; make room on it, or set another [store] path", path = path.display()
    )]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
        /// The room that was asked for, in bytes.
        wanted: u64,
        /// What the disk has, in bytes.
        free: u64,
    },
    /// The folder is gone, and so is the disk that it was on: to begin a new store in its place
    /// would fill another disk.
    #[error(
        "{path}: the store's folder is gone, and so is the disk that it was on: mount it again, or \
         start tidegate again to begin a new store here", path = path.display()
    )]
    Gone {
        /// The store's folder.
        path: PathBuf,
    },
    /// The disk took what was written, but did not keep it.
    #[error("{path}: the disk did not keep what was written: {source}", path = path.display())]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// There is nothing to look at.
    #[error("{path}: there is no store here: check [store] path", path = path.display())]
    NoStore {
        /// The folder that was taken for a store.
        path: PathBuf,
    },
    /// The process is shutting down, so the work was not begun.
    #[error("the store is shutting down")]
    Stopped,
}

/// Says which file or folder an I/O error is about.
pub(super) trait At<T> {
    /// The same result, with `path` in its error.
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source: Arc::new(source),
        })
    }
}

/// `None` for what does not exist.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that there is no such file or folder.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Whether an error says that a disk, or a quota on it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
