//! Tables of bytes that change at once for whoever reads, and on disk soon after, by a thread that
//! writes all that waits in one transaction.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread::JoinHandle;

use moka::sync::Cache;
use tokio::sync::watch;

use super::Error;
use super::file::Batch;
use super::file::File;
use super::file::Key;
use super::file::Trouble;
use super::file::Value;

/// What is kept in memory of what was looked up lately, in bytes.
const CACHE: u64 = 4 << 20;
/// What an entry of that takes beside its key and its value, about.
const ENTRY: usize = 128;
/// So many changes may wait for a disk that fails; further ones that can be done without are dropped.
const MOST_WAITING: usize = 200_000;
/// So many keys are looked at together for what is too old.
const AT_A_TIME: usize = 4096;

/// The tables, and the thread that writes them. Its drop waits until all is written.
#[derive(Debug)]
pub(super) struct Book {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What readers, those who change and the thread share.
pub(super) struct Shared {
    pub(super) file: File,
    changes: Mutex<Changes>,
    /// Told of whatever the thread may wait for.
    bell: Condvar,
    /// Held by who changes what it has read before.
    changing: Mutex<()>,
    /// Held while the file is written to, by whoever does.
    committing: Mutex<()>,
    cache: Cache<Key, Option<Value>>,
    progress: watch::Sender<Progress>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// What the file does not have yet. What is here is newer than what the file or the cache has.
#[derive(Debug, Default)]
struct Changes {
    pending: Batch,
    /// Of the transaction that is under way.
    writing: Arc<Batch>,
    /// How many changes there were.
    said: u64,
    /// How often the file has changed.
    commits: u64,
    /// Somebody waits for the disk.
    is_urgent: bool,
    is_ending: bool,
    /// A reader has found that the file is damaged.
    damage: Option<String>,
}

/// How far the thread is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// Of [`Changes::said`].
    written: u64,
    /// How many times it has failed to write.
    failures: u64,
    /// Why, the last time.
    why: Option<Error>,
}

mod writer;

impl Book {
    /// The tables of `file`, written by a thread that calls `sweep` now and then.
    pub(super) fn open(
        file: File,
        sweep: impl Fn(&Shared) + Send + 'static,
    ) -> Result<Self, Error> {
        let weigh = |key: &Key, value: &Option<Value>| {
            let value = value.as_ref().map_or(0, |value| value.len());
            u32::try_from(key.bytes.len() + value + ENTRY).unwrap_or(u32::MAX)
        };
        let shared = Arc::new(Shared {
            file,
            changes: Mutex::default(),
            bell: Condvar::new(),
            changing: Mutex::default(),
            committing: Mutex::default(),
            cache: Cache::builder().weigher(weigh).max_capacity(CACHE).build(),
            progress: watch::Sender::new(Progress::default()),
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new()
            .name("targets".to_owned())
            .spawn(move || writer::run(&own, &sweep))
            .map_err(|error| shared.file.error(Trouble::Disk(error.to_string())))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }
}

impl std::ops::Deref for Book {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        self.shared.changes().is_ending = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// What `key` holds.
    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        let commits = {
            let changes = self.changes();
            if let Some(changed) = changes.of(key) {
                return changed.clone();
            }
            changes.commits
        };
        if let Some(value) = self.cache.get(key) {
            return value;
        }
        let value = self.told(self.file.get(key))?;
        let changes = self.changes();
        // Else it may be out of date already.
        if changes.commits == commits && changes.of(key).is_none() {
            self.cache.insert(key.clone(), value.clone());
        }
        value
    }

    /// What those keys of `table` hold that begin with `prefix`, in order; `most` of them.
    pub(super) fn starting(
        &self,
        table: &Arc<str>,
        prefix: &[u8],
        most: usize,
    ) -> Vec<(Box<[u8]>, Value)> {
        // First these: what is written in between is then in the file.
        let changed = self.changes().starting(table, prefix);
        let mut all: BTreeMap<Box<[u8]>, Value> = BTreeMap::new();
        let read = self
            .file
            .scan(table, Bound::Included(prefix), |key, value| {
                let is_in = key.starts_with(prefix) && all.len() < most;
                if is_in && !changed.contains_key(key) {
                    all.insert(key.into(), value.into());
                }
                is_in
            });
        self.told(read);
        let there = changed
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        all.extend(there);
        all.into_iter().take(most).collect()
    }

    /// How many keys `table` has on disk.
    pub(super) fn len(&self, table: &str) -> u64 {
        self.told(self.file.len(table)).unwrap_or(0)
    }

    /// Changes keys together, by what they held before. Whoever else does waits meanwhile.
    pub(super) fn change<T>(&self, what: impl FnOnce(&Changing<'_>) -> T) -> T {
        let _changing = lock(&self.changing);
        what(&Changing(self))
    }

    /// Whether so much waits for the disk that it is better to forget than to note.
    pub(super) fn is_full(&self) -> bool {
        self.changes().pending.len() >= MOST_WAITING
    }

    /// Removes all of `table` that `unwanted` says: how many keys the file had of that.
    pub(super) fn remove(
        &self,
        table: &Arc<str>,
        mut unwanted: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64, Error> {
        let _changing = lock(&self.changing);
        let _committing = lock(&self.committing);
        let mut dropped = 0;
        self.changes().pending.retain(|key, value| {
            let value = value.as_deref().unwrap_or_default();
            let goes = key.table == *table && unwanted(&key.bytes, value);
            dropped += u64::from(goes);
            !goes
        });
        let removed = self.file.remove(table, &mut unwanted);
        self.forget_lookups();
        removed
            .map(|on_disk| on_disk.max(dropped))
            .map_err(|trouble| self.file.error(trouble))
    }

    /// Drops those keys of `table` whose value is `too_old`, a few thousand in one transaction: how
    /// many. What can't be read or written is left for another time.
    pub(super) fn expire(&self, table: &Arc<str>, too_old: impl Fn(&[u8]) -> bool) -> u64 {
        let mut dropped = 0;
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut seen = 0;
            let (mut last, mut old) = (None, Vec::new());
            // What is noted again meanwhile is written after it.
            let committing = lock(&self.committing);
            let read = self.file.scan(table, start, |key, value| {
                seen += 1;
                last = Some(key.into());
                if too_old(value) {
                    old.push(key.into());
                }
                seen < AT_A_TIME
            });
            if self.told(read).is_none() {
                return dropped;
            }
            dropped += self.drop_old(table, old, &committing);
            after = last;
            if seen < AT_A_TIME {
                return dropped;
            }
        }
    }

    /// Drops `keys`, but for those that have been noted again.
    fn drop_old(
        &self,
        table: &Arc<str>,
        keys: Vec<Box<[u8]>>,
        _committing: &MutexGuard<'_, ()>,
    ) -> u64 {
        let of_table = |bytes| Key {
            table: table.clone(),
            bytes,
        };
        let mut batch: Batch = keys.into_iter().map(|key| (of_table(key), None)).collect();
        {
            let changes = self.changes();
            batch.retain(|key, _| changes.of(key).is_none());
        }
        if batch.is_empty() || self.told(self.file.write(&batch)).is_none() {
            return 0;
        }
        let mut changes = self.changes();
        changes.commits += 1;
        for key in batch.keys().filter(|key| changes.of(key).is_none()) {
            self.cache.invalidate(key);
        }
        batch.len() as u64
    }

    fn forget_lookups(&self) {
        let mut changes = self.changes();
        changes.commits += 1;
        self.cache.invalidate_all();
    }

    /// Waits until all that was said so far is on disk.
    pub(super) async fn synced(&self) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let failures = progress.borrow().failures;
        let said = {
            let mut changes = self.changes();
            changes.is_urgent = true;
            changes.said
        };
        self.bell.notify_all();
        let is_over =
            |progress: &Progress| progress.written >= said || progress.failures > failures;
        match progress.wait_for(is_over).await {
            Ok(progress) if progress.written >= said => Ok(()),
            Ok(progress) => Err(progress.why.clone().unwrap_or_else(|| self.gone())),
            Err(_) => Err(self.gone()),
        }
    }

    fn gone(&self) -> Error {
        self.file
            .error(Trouble::Disk("nobody writes it any more".to_owned()))
    }

    /// A reader goes on without what the file can't tell.
    fn told<T>(&self, read: Result<T, Trouble>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(Trouble::Damaged(why)) => {
                self.changes().damage.get_or_insert(why);
                self.bell.notify_all();
                None
            }
            Err(trouble) => {
                tracing::debug!("{}", self.file.error(trouble));
                None
            }
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        lock(&self.changes)
    }
}

/// What is open to who changes keys.
#[derive(Debug)]
pub(super) struct Changing<'b>(&'b Shared);

impl Changing<'_> {
    /// What `key` holds.
    pub(super) fn get(&self, key: &Key) -> Option<Value> {
        self.0.get(key)
    }

    /// `key` holds `value` from now on; nothing where that is `None`.
    pub(super) fn put(&self, key: Key, value: Option<Value>) {
        let mut changes = self.0.changes();
        self.0.cache.insert(key.clone(), value.clone());
        changes.pending.insert(key, value);
        changes.said += 1;
        drop(changes);
        self.0.bell.notify_all();
    }
}

impl Changes {
    fn of(&self, key: &Key) -> Option<&Option<Value>> {
        self.pending.get(key).or_else(|| self.writing.get(key))
    }

    fn starting(&self, table: &Arc<str>, prefix: &[u8]) -> BTreeMap<Box<[u8]>, Option<Value>> {
        let start = Key {
            table: table.clone(),
            bytes: prefix.into(),
        };
        let newest_last = [&*self.writing, &self.pending];
        let is_in = |key: &Key| key.table == *table && key.bytes.starts_with(prefix);
        newest_last
            .into_iter()
            .flat_map(|batch| batch.range(&start..).take_while(|(key, _)| is_in(key)))
            .map(|(key, value)| (key.bytes.clone(), value.clone()))
            .collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
