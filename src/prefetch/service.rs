//! The prefetcher of a proxy: runs sets when they are due, or when somebody asks for it.
//!
//! `timing` says when a set is due, `entry` is what is known of one set, `records` keeps the last
//! report of each on disk. One task looks at all of it, each time that something is due or changes,
//! and once a minute at least, as clocks are set. Each run is a task of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::Notify;

use super::Progress;
use super::Report;
use super::Set;
use super::World;
use crate::target::Pace;

mod entry;
mod record;
mod state;
mod timing;

pub use record::Record;
pub use record::Records;
pub use state::Figures;
pub use state::SetState;
pub use state::Under;

use entry::Entry;
use timing::Due;

/// The prefetcher of a proxy. Share it as an `Arc`.
#[derive(Debug)]
pub struct Service {
    world: World,
    records: Records,
    zone: TimeZone,
    book: Mutex<Book>,
    /// Told when sets were changed, a run has ended, or nothing is begun any more.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    /// In the configuration's order; after them those that are gone from it, until their runs end.
    sets: Vec<Entry>,
    is_closed: bool,
}

/// What became of the wish to run a set now. Runs of a set are told apart by when they began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// It has begun.
    Started(Timestamp),
    /// A run of it, which began then, is under way, and goes on: there is never a second one
    /// beside it.
    AlreadyRunning(Timestamp),
    /// There is no such set; these are there.
    Unknown(Vec<Arc<str>>),
    /// The proxy is ending.
    Closed,
}

/// Why a run began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was due.
    Schedule,
    /// Somebody asked for it.
    Request,
}

/// How long nobody looks at the clock, at most: it may be set.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Service {
    /// Knows `sets`, and what `records` tells of their last runs; runs nothing yet. Times of the day
    /// are those of `zone`.
    pub fn new(sets: Vec<Set>, world: World, records: Records, zone: TimeZone) -> Arc<Self> {
        let service = Self {
            world,
            records,
            zone,
            book: Mutex::default(),
            changed: Notify::new(),
        };
        service.reconfigure(sets);
        Arc::new(service)
    }

    /// Runs sets when they are due, from now on until [`Service::drain`].
    pub fn start(self: &Arc<Self>) {
        let service = self.clone();
        tokio::spawn(async move {
            loop {
                let mut changed = std::pin::pin!(service.changed.notified());
                changed.as_mut().enable();
                let Some(pause) = service.look(Timestamp::now()) else {
                    return;
                };
                let _ = tokio::time::timeout(pause.min(LOOK_EVERY), changed).await;
            }
        });
    }

    /// Runs a set now, whatever its schedule and its quiet hours.
    pub fn trigger(self: &Arc<Self>, set: &str) -> Trigger {
        let mut book = self.book();
        if book.is_closed {
            return Trigger::Closed;
        }
        let configured = book.sets.iter().filter(|entry| !entry.is_gone);
        let names = configured.map(|entry| entry.set.name.clone()).collect();
        let Some(entry) = book.find(set).filter(|entry| !entry.is_gone) else {
            return Trigger::Unknown(names);
        };
        if let Some(under) = entry.under_way() {
            return Trigger::AlreadyRunning(under.begun);
        }
        let now = Timestamp::now();
        self.begin(entry, Cause::Request, now);
        Trigger::Started(now)
    }

    /// How each set does, in the configuration's order; after them those that are gone from it and
    /// are still run.
    pub fn states(&self) -> Vec<SetState> {
        self.book().sets.iter().map(Entry::state).collect()
    }

    /// Takes over new sets. A run that is under way goes on as it began; what is new holds for the
    /// next one.
    pub fn reconfigure(&self, sets: Vec<Set>) {
        let mut book = self.book();
        let before = std::mem::take(&mut book.sets).into_iter();
        let mut before: HashMap<Arc<str>, Entry> = before
            .map(|entry| (entry.set.name.clone(), entry))
            .collect();
        for set in sets {
            let set = Arc::new(set);
            let entry = match before.remove(&set.name) {
                Some(entry) => entry.with(set),
                None => Entry::new(set.clone(), self.records.read(&set.name)),
            };
            book.sets.push(entry);
        }
        let mut gone: Vec<_> = before.into_values().filter(Entry::is_running).collect();
        gone.sort_unstable_by(|a, b| a.set.name.cmp(&b.set.name));
        for mut entry in gone {
            entry.is_gone = true;
            book.sets.push(entry);
        }
        drop(book);
        self.changed.notify_waiters();
    }

    /// Begins nothing any more: runs end when what is under way has.
    pub fn drain(&self) {
        let mut book = self.book();
        book.is_closed = true;
        book.runs().for_each(Progress::stop);
        drop(book);
        self.changed.notify_waiters();
    }

    /// Breaks off what is under way. After [`Service::drain`] there is nothing else to come.
    pub fn abandon(&self) {
        self.book().runs().for_each(Progress::abandon);
    }

    /// Waits until no run is under way, and what they have done is written down. Cancel-safe.
    pub async fn settled(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.book().sets.iter().any(Entry::is_running) {
                return;
            }
            changed.await;
        }
    }

    /// Begins what is due at `now`, holds what is to be quiet, and says after how long to look
    /// again; `None` for never.
    fn look(self: &Arc<Self>, now: Timestamp) -> Option<Duration> {
        let mut book = self.book();
        if book.is_closed {
            return None;
        }
        let mut pause = LOOK_EVERY;
        for entry in &mut book.sets {
            match entry.look(now, &self.zone) {
                Due::Now => self.begin(entry, Cause::Schedule, now),
                Due::Missed => tracing::warn!(
                    set = &*entry.set.name,
                    "the run that is due is left out: the one before is still under way"
                ),
                Due::Later => {}
            }
            if let Some(next) = entry.next_look(now, &self.zone) {
                pause = pause.min(Duration::try_from(next.duration_since(now)).unwrap_or_default());
            }
        }
        Some(pause)
    }

    fn begin(self: &Arc<Self>, entry: &mut Entry, cause: Cause, now: Timestamp) {
        tracing::info!(set = &*entry.set.name, ?cause, "a prefetch begins");
        let progress = Arc::new(Progress::default());
        let under = Under {
            begun: now,
            cause,
            is_held: false,
            progress: progress.clone(),
        };
        entry.begin(under, &self.zone);
        let (service, set) = (self.clone(), entry.set.clone());
        tokio::spawn(async move {
            let mut report = service.carry_out(&set, progress, now).await;
            report.begun = now;
            service.end(&set.name, cause, report).await;
        });
    }

    /// Runs the set to the end of it. A run that breaks has failed, and no more than that.
    async fn carry_out(&self, set: &Arc<Set>, progress: Arc<Progress>, begun: Timestamp) -> Report {
        let (world, running) = (self.world.clone(), set.clone());
        let run = async move { super::run(&running, &world, Pace::Background, progress).await };
        tokio::spawn(run)
            .await
            .unwrap_or_else(|error| record::broken(set, begun, &error.to_string()))
    }

    /// Keeps what a run has done, first on disk.
    async fn end(&self, name: &Arc<str>, cause: Cause, report: Report) {
        state::tell(&report);
        let before = self.book().find(name).and_then(|entry| entry.last.clone());
        let record = Arc::new(Record::new(cause, report, before.as_deref()));
        if let Err(error) = self.records.write(record.clone()).await {
            tracing::warn!(
                set = &**name,
                "the report of a prefetch can't be kept: {error}"
            );
        }
        let mut book = self.book();
        if let Some(entry) = book.find(name) {
            entry.end(record);
        }
        book.sets
            .retain(|entry| !entry.is_gone || entry.is_running());
        drop(book);
        self.changed.notify_waiters();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn find(&mut self, set: &str) -> Option<&mut Entry> {
        self.sets.iter_mut().find(|entry| &*entry.set.name == set)
    }

    fn runs(&self) -> impl Iterator<Item = &Progress> {
        self.sets.iter().filter_map(Entry::progress)
    }
}
