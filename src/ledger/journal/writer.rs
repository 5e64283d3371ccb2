use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::park_timeout;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use super::State;
use super::file::JournalFile;
use crate::ledger::Dropped;
use crate::ledger::Record;

/// How long records may wait for others, to be written together.
const GATHER: Duration = Duration::from_millis(100);
/// How long to wait after a write that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How long to sleep where nothing is entered. Whoever enters something wakes us.
const SLEEP: Duration = Duration::from_secs(1);
/// How often to say that records are being dropped.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The journal's thread: takes records out of the queue and writes them.
#[derive(Debug)]
pub(super) struct Writer {
    file: JournalFile,
    records: mpsc::Receiver<Record>,
    state: Arc<State>,
    /// Of those that were dropped, how many the file tells of.
    told: u64,
    /// How many the log tells of, and since when.
    said: (u64, Option<Instant>),
}

impl Writer {
    pub(super) fn new(
        file: JournalFile,
        records: mpsc::Receiver<Record>,
        state: Arc<State>,
    ) -> Self {
        Self {
            file,
            records,
            state,
            told: 0,
            said: (0, None),
        }
    }

    /// Until the journal is closed.
    pub(super) fn run(&mut self) {
        loop {
            let is_closing = self.state.is_closing.load(Ordering::SeqCst);
            if is_closing {
                self.records.close();
            }
            let written = self.write_all();
            let is_well = written.is_ok();
            self.tell(written);
            if is_closing {
                return self.say_what_is_lost();
            }
            self.rest(is_well);
        }
    }

    /// Writes what is there. Where that fails, all that is not written is kept.
    fn write_all(&mut self) -> io::Result<()> {
        self.file.follow()?;
        loop {
            self.file.make_room()?;
            let Ok(record) = self.records.try_recv() else {
                break;
            };
            self.file.add(&record);
            self.state.written.fetch_add(1, Ordering::Relaxed);
        }
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if dropped > self.told {
            self.file.add(&Record::Dropped(Dropped {
                ts: SystemTime::now(),
                records: dropped - self.told,
            }));
            self.told = dropped;
        }
        self.file.flush()
    }

    /// Says once that nothing can be written, and once that it can be again.
    fn tell(&mut self, written: io::Result<()>) {
        let path = self.file.path().display();
        let mut problem = self.state.problem();
        match (written, problem.is_some()) {
            (Ok(()), true) => {
                *problem = None;
                tracing::info!("the journal {path} is being written again");
            }
            (Err(error), is_known) => {
                if !is_known {
                    tracing::error!(
                        "the journal {path} can't be written: {error}; requests are served all the \
                         same, and what is entered is kept while there is room for it"
                    );
                }
                *problem = Some(error.to_string());
            }
            (Ok(()), false) => {}
        }
        drop(problem);
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        let (said, since) = self.said;
        if dropped > said && since.is_none_or(|since| since.elapsed() >= SAY_EVERY) {
            let more = dropped - said;
            tracing::warn!("{more} records found no room on their way to the journal {path}");
            self.said = (dropped, Some(Instant::now()));
        }
    }

    fn rest(&self, is_well: bool) {
        let is_closing = || self.state.is_closing.load(Ordering::SeqCst);
        if !is_well {
            let until = Instant::now() + RETRY;
            while !is_closing() && Instant::now() < until {
                park_timeout(until.saturating_duration_since(Instant::now()));
            }
            return;
        }
        // Whoever fills half of the queue wakes us.
        park_timeout(GATHER);
        self.state.is_idle.store(true, Ordering::SeqCst);
        if self.records.is_empty() && !is_closing() {
            park_timeout(SLEEP);
        }
        self.state.is_idle.store(false, Ordering::SeqCst);
    }

    fn say_what_is_lost(&mut self) {
        let mut lost = self.file.unwritten();
        while self.records.try_recv().is_ok() {
            lost += 1;
        }
        if lost > 0 {
            let path = self.file.path().display();
            tracing::error!("the last {lost} lines of the journal {path} are lost");
        }
    }
}
