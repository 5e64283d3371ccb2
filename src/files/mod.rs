//! Files that are read again when they change: certificates, users, tokens.
//!
//! What was read last stays until something new can be read in its place, so that a file that is
//! half written, or gone, takes nothing away from anybody.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::TryLockError;
use std::time::Duration;
use std::time::Instant;

use arc_swap::ArcSwap;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What some files say, and keeps saying what they say.
pub struct Followed<T> {
    what: &'static str,
    paths: Vec<PathBuf>,
    read: Box<dyn Fn() -> io::Result<Arc<T>> + Send + Sync>,
    held: ArcSwap<T>,
    look: Mutex<Look>,
}

#[derive(Debug)]
struct Look {
    // What the files were when they were last read, whether they could be used or not.
    stamps: Vec<Stamp>,
    at: Instant,
}

/// Changes when a file is written, replaced, or its link turned; `None` where there is no file.
type Stamp = Option<(u64, u64, i64, i64)>;

impl<T> Followed<T> {
    /// Reads `paths` by means of `read`; `what` is what they hold, for the log.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn new<R>(what: &'static str, paths: Vec<PathBuf>, read: R) -> io::Result<Self>
    where
        R: Fn() -> io::Result<Arc<T>> + Send + Sync + 'static,
    {
        let stamps = stamps(&paths);
        let held = ArcSwap::new(read()?);
        let at = Instant::now();
        Ok(Self {
            what,
            paths,
            read: Box::new(read),
            held,
            look: Mutex::new(Look { stamps, at }),
        })
    }

    /// What the files say: read again where one has changed. Files that can't be used change
    /// nothing, and are logged once. It blocks for a look at small files, once a second at most.
    pub fn current(&self) -> Arc<T> {
        // Whoever comes while another looks takes what there is.
        let look = match self.look.try_lock() {
            Ok(look) => Some(look),
            Err(TryLockError::Poisoned(look)) => Some(look.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        if let Some(mut look) = look
            && look.at.elapsed() >= LOOK_EVERY
        {
            look.at = Instant::now();
            let stamps = stamps(&self.paths);
            if stamps != look.stamps {
                look.stamps = stamps;
                self.read_again();
            }
        }
        self.held.load_full()
    }

    fn read_again(&self) {
        match (self.read)() {
            Ok(new) => {
                self.held.store(new);
                tracing::info!(files = ?self.paths, "took the new {}", self.what);
            }
            Err(error) => tracing::error!("keeping the old {}: {error}", self.what),
        }
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    paths.iter().map(stamp).collect()
}

/// A file that holds what can't be used.
pub fn unusable(path: &Path, problem: &str) -> io::Error {
    let text = format!("{}: {problem}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}
