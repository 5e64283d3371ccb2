use std::io;
use std::path::Path;
use std::path::PathBuf;

/// Why an image on disk can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, or the right to use it.
    #[error("{}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what it should be, or not whole.
    #[error("{}: {why}", path.display())]
    Wrong {
        /// Where.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// There is no image of that name, or it is not clear which one is meant.
    #[error("{}: {why}", path.display())]
    Unnamed {
        /// Where.
        path: PathBuf,
        /// What there is instead.
        why: String,
    },
    /// The image can't be put into this form.
    #[error("{0}")]
    Unfit(String),
}

impl Error {
    pub(super) fn wrong(path: &Path, why: impl Into<String>) -> Self {
        Self::Wrong {
            path: path.to_path_buf(),
            why: why.into(),
        }
    }
}

/// Says where a system call failed.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })
    }
}
