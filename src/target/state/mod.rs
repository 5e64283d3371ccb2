//! What is known of targets, and what is still owed to them, in one file for all: it survives a
//! restart, and a crash but for the last milliseconds.
//!
//! The catalog is a cache of what targets would say: without it work is done again, never wrongly.
//! The queue without its file is filled again by pulls. So a file that is damaged is moved aside and
//! begun anew, with a warning.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use std::time::SystemTime;

mod book;
mod catalog;
mod code;
mod file;
mod queue;

use book::Book;
use book::Shared;
use file::File;

pub use catalog::Catalog;
pub use catalog::Holder;
pub use catalog::Known;
pub use catalog::KnownPart;
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
pub struct State {
    book: Book,
    clock: Clock,
    targets: Arc<Mutex<HashMap<String, Target>>>,
}

/// What is remembered of a target beside the file.
#[derive(Debug, Default)]
struct Target {
    /// How long its catalog is believed; `None` where nobody has asked for it yet.
    ttl: Option<Duration>,
    withdrawals: Arc<AtomicU64>,
}

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
        let targets = Arc::new(Mutex::new(HashMap::new()));
        let (watched, time) = (targets.clone(), clock.clone());
        let sweep = move |book: &Shared| {
            sweep(book, &watched, time());
        };
        Ok(Arc::new(Self {
            book: Book::open(File::open(path)?, sweep)?,
            clock,
            targets,
        }))
    }

    /// What `target` is known to have. What was noted longer than `ttl` ago is not fresh, and is
    /// dropped after twice as long.
    pub fn catalog(self: &Arc<Self>, target: &str, ttl: Duration) -> Catalog {
        self.target(target, |known| known.ttl = Some(ttl));
        Catalog::of(self.clone(), target, ttl)
    }

    /// What is owed to `target`.
    pub fn queue(self: &Arc<Self>, target: &str) -> Queue {
        Queue::of(self.clone(), target)
    }

    /// The targets of which something is known, or to which something is owed, on disk; also such as
    /// are not configured any more.
    pub fn targets(&self) -> Vec<String> {
        let tables = self.book.file.tables().unwrap_or_default();
        let of_targets = tables.iter().filter_map(|table| {
            let (_, target) = table.split_once('/')?;
            (self.book.len(table) > 0).then(|| target.to_owned())
        });
        let names: BTreeSet<_> = of_targets.collect();
        names.into_iter().collect()
    }

    /// Forgets all of `target`, also what is owed to it: how many entries. It blocks.
    ///
    /// # Errors
    /// When the disk fails: some may be left.
    pub fn forget(self: &Arc<Self>, target: &str) -> Result<u64, Error> {
        let mut forgotten = 0;
        for table in [
            catalog::content_table(target),
            catalog::tags_table(target),
            queue::table(target),
        ] {
            forgotten += self.book.remove(&table.into(), |_, _| true)?;
        }
        Ok(forgotten)
    }

    /// Drops what is older than twice its target's `ttl`: how many entries. A thread does so every
    /// hour. It blocks.
    pub fn sweep(&self) -> u64 {
        sweep(&self.book, &self.targets, self.now())
    }

    /// Waits until all that was said so far is on disk.
    ///
    /// # Errors
    /// When it could not be written. It is tried again, so that another wait may end better.
    pub async fn synced(&self) -> Result<(), Error> {
        self.book.synced().await
    }

    fn now(&self) -> SystemTime {
        (self.clock)()
    }

    fn withdrawals(&self, target: &str) -> Arc<AtomicU64> {
        self.target(target, |known| known.withdrawals.clone())
    }

    fn target<T>(&self, target: &str, what: impl FnOnce(&mut Target) -> T) -> T {
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        what(targets.entry(target.to_owned()).or_default())
    }
}

fn sweep(book: &Shared, targets: &Mutex<HashMap<String, Target>>, now: SystemTime) -> u64 {
    let ages: Vec<(String, Duration)> = {
        let targets = targets.lock().unwrap_or_else(PoisonError::into_inner);
        let ages = targets.iter().filter_map(|(name, target)| {
            let most = target.ttl?.saturating_mul(2);
            Some((name.clone(), most))
        });
        ages.collect()
    };
    let mut dropped = 0;
    for (target, most) in ages {
        for table in [
            catalog::content_table(&target),
            catalog::tags_table(&target),
        ] {
            dropped += book.expire(&table.into(), |value| {
                catalog::is_older(value, code::seconds(now), most)
            });
        }
    }
    dropped
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("book", &self.book)
            .finish_non_exhaustive()
    }
}
