//! The journal: what is entered, as JSON lines in a file.
//!
//! Whoever enters a record never waits: it is put into a queue of [`QUEUE`] records, and a thread of
//! the journal's own writes it. What finds the queue full is dropped, counted and told.

mod file;
mod writer;

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Connection;
use super::Receipt;
use super::Record;
use super::Sink;
use super::Window;
use file::JournalFile;
use writer::Writer;

/// How many records may wait to be written; a few MB.
const QUEUE: usize = 16 << 10;
/// How long [`Journal::close`] waits for a disk that doesn't take what is left.
const PATIENCE: Duration = Duration::from_secs(5);

/// How large a journal's files grow, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// A file that has as many bytes gets a number behind its name, and a new one is begun. `None`:
    /// never.
    pub max_size: Option<u64>,
    /// How many files are kept, the one that is being written included; 1 at least.
    pub files: usize,
}

impl Rotation {
    /// One file, however large.
    pub const NEVER: Self = Self {
        max_size: None,
        files: 1,
    };
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            max_size: Some(100 << 20),
            files: 10,
        }
    }
}

/// A [`Sink`] that writes JSON lines: [`Record`]s. A drop closes it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    queue: mpsc::Sender<Record>,
    state: Arc<State>,
    thread: Thread,
    /// Its other end goes with the thread.
    ended: Mutex<std::sync::mpsc::Receiver<Infallible>>,
}

/// What the journal and its thread know of each other.
#[derive(Debug, Default)]
struct State {
    written: AtomicU64,
    dropped: AtomicU64,
    /// The thread sleeps until it is woken.
    is_idle: AtomicBool,
    is_closing: AtomicBool,
    /// Why nothing is written, where that is so.
    problem: Mutex<Option<String>>,
}

impl Journal {
    /// Creates the file `path`, or goes on with it.
    ///
    /// # Errors
    /// When it can't be opened, is no journal, or another process writes it; the error names it.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Arc<Self>> {
        let file = JournalFile::open(path, rotation).map_err(|error| named(path, &error))?;
        let (queue, records) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        let (alive, ended) = std::sync::mpsc::sync_channel(0);
        let mut writer = Writer::new(file, records, state.clone());
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let alive: std::sync::mpsc::SyncSender<Infallible> = alive;
                writer.run();
                // The file is closed when it is heard that this has ended.
                drop(writer);
                drop(alive);
            })?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            queue,
            state,
            thread: thread.thread().clone(),
            ended: Mutex::new(ended),
        }))
    }

    /// Whether [`Journal::open`] could open `path` now. Nothing is left behind, and whoever writes
    /// it is not disturbed.
    ///
    /// # Errors
    /// When it can't be opened, or is no journal; the error names it.
    pub fn probe(path: &Path) -> io::Result<()> {
        file::probe(path).map_err(|error| named(path, &error))
    }

    /// The file that is being written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Enters `record`, after those that were entered before.
    pub fn note(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.state.dropped.fetch_add(1, Ordering::Relaxed);
        }
        let is_idle = &self.state.is_idle;
        let was_idle = is_idle.load(Ordering::SeqCst) && is_idle.swap(false, Ordering::SeqCst);
        if was_idle || self.queue.capacity() < QUEUE / 2 {
            self.thread.unpark();
        }
    }

    /// How many records were written since it was opened.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// How many records found no room since it was opened.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Why nothing is written now, where that is so.
    pub fn problem(&self) -> Option<String> {
        self.state.problem().clone()
    }

    /// Writes what was entered before, and ends. What is entered later is dropped. It blocks, for a
    /// few seconds at most, where the disk takes nothing; what is lost then is logged.
    pub fn close(&self) {
        self.state.is_closing.store(true, Ordering::SeqCst);
        self.thread.unpark();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let path = self.path.display();
            tracing::error!("the journal {path} took nothing for {PATIENCE:?}: its end is lost");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sink for Journal {
    fn exchange(&self, receipt: &Receipt) {
        self.note(Record::Exchange(receipt.clone()));
    }

    fn connection(&self, connection: &Connection) {
        self.note(Record::Connection(connection.clone()));
    }

    fn window(&self, window: &Window) {
        self.note(Record::Window(window.clone()));
    }
}

impl State {
    fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("the journal {} can't be used: {error}", path.display());
    io::Error::new(error.kind(), text)
}
