//! What is stored, how large it is and when it was last used: in memory only, for the files are
//! the truth. A file that vanished is noticed when it is opened, and costs nothing but a line here
//! until then.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::SystemTime;

use tokio::sync::Notify;

mod reservation;

pub(super) use reservation::Reservation;

use super::seal::Stamp;
use crate::oci::Digest;

/// What is this small is evicted last: it frees next to nothing, and is a manifest or a config,
/// without which what is large is of no use.
const SMALL: u64 = 64 << 10;

/// A use is written to disk when the last one there is older than this.
const PERSIST: Duration = Duration::from_secs(3600);

/// The index. All its methods take microseconds.
#[derive(Debug)]
pub(super) struct Index {
    state: Mutex<State>,
    max_size: Option<u64>,
    evictions: Mutex<Evictions>,
    /// Told when room is given back and when the index is complete.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Digest, Entry>,
    order: BTreeSet<Rank>,
    bytes: u64,
    reserved: u64,
    /// Promised to the one writer that may go beyond the limit.
    extra: u64,
    /// What such writers have stored while the index was not complete, and not been evicted for.
    over: u64,
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    last: bool,
    used: SystemTime,
    persisted: SystemTime,
    open: Weak<File>,
    /// The file as it was last looked into, and whether it was right.
    checked: Option<(Stamp, bool)>,
}

/// The order of eviction, first to last.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(bool, SystemTime, Digest);

/// What a file on disk says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Its length, in bytes.
    pub(super) size: u64,
    /// The last use that is written down there.
    pub(super) used: SystemTime,
}

/// What is in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Blobs and manifests that are stored.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Room promised to writers, in bytes.
    pub reserved: u64,
    /// Whether all that was stored before the start is counted yet.
    pub indexed: bool,
}

/// What was evicted, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Blobs and manifests.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
}

impl Index {
    pub(super) fn new(max_size: Option<u64>) -> Self {
        Self {
            state: Mutex::default(),
            max_size,
            evictions: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            blobs: state.entries.len() as u64,
            bytes: state.bytes,
            reserved: state.reserved + state.extra,
            indexed: state.complete,
        }
    }

    pub(super) fn max_size(&self) -> Option<u64> {
        self.max_size
    }

    /// Whether a blob of `size` bytes can be kept at all.
    pub(super) fn can_hold(&self, size: u64) -> bool {
        self.max_size.is_none_or(|max_size| size <= max_size)
    }

    /// A blob that is there was found by the scan at the start.
    pub(super) fn found(&self, digest: Digest, seen: Seen) {
        let mut state = self.state();
        if !state.entries.contains_key(&digest) {
            state.insert(digest, Entry::new(seen));
        }
    }

    /// A blob is used: pinned as long as `file` is held. Whether this use should be written to
    /// disk.
    pub(super) fn used(&self, digest: &Digest, seen: Seen, file: &Arc<File>) -> bool {
        self.state().used(digest, seen, file)
    }

    /// A blob takes the room that was promised for it.
    pub(super) fn settle(
        &self,
        mut room: Reservation,
        digest: &Digest,
        seen: Seen,
        file: &Arc<File>,
    ) {
        let (bytes, extra) = room.take();
        let mut state = self.state();
        state.reserved -= bytes;
        state.extra -= extra;
        if !state.complete {
            state.over += extra;
        }
        state.used(digest, seen, file);
    }

    /// Whether the blob is there, as far as is known.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.state().entries.contains_key(digest)
    }

    /// The blob's file as it was last looked into, and whether it was right.
    pub(super) fn checked(&self, digest: &Digest) -> Option<(Stamp, bool)> {
        self.state().entries.get(digest)?.checked
    }

    /// The blob's file as it was when it was last known to be right, where the next use need not be
    /// written to disk.
    pub(super) fn checked_and_written(&self, digest: &Digest) -> Option<Stamp> {
        let state = self.state();
        let entry = state.entries.get(digest)?;
        let (stamp, right) = entry.checked?;
        (right && !entry.is_stale(SystemTime::now())).then_some(stamp)
    }

    /// Remembers whether the blob is right, as long as its file stays as it is.
    pub(super) fn note(&self, digest: &Digest, stamp: Stamp, right: bool) {
        if let Some(entry) = self.state().entries.get_mut(digest) {
            entry.checked = Some((stamp, right));
        }
    }

    /// A manifest is stored: evicted last, whatever its size.
    pub(super) fn prefer(&self, digest: &Digest) {
        let mut state = self.state();
        if let Some(mut entry) = state.remove(digest) {
            entry.last = true;
            state.insert(digest.clone(), entry);
        }
    }

    /// The blob is evicted before others, until it is used again.
    pub(super) fn cool(&self, digest: &Digest) {
        let mut state = self.state();
        if let Some(mut entry) = state.remove(digest) {
            entry.used = SystemTime::UNIX_EPOCH;
            state.insert(digest.clone(), entry);
        }
    }

    /// The file of a blob that somebody is reading.
    pub(super) fn open(&self, digest: &Digest) -> Option<Arc<File>> {
        self.state().entries.get(digest)?.open.upgrade()
    }

    /// A blob is not there any more.
    pub(super) fn forget(&self, digest: &Digest) {
        self.state().remove(digest);
        self.changed.notify_waiters();
    }

    /// All that was stored before the start is found.
    pub(super) fn complete(&self) {
        let mut state = self.state();
        state.complete = true;
        state.over = 0;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nothing is known any more: the folder is another one.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        let (reserved, extra) = (state.reserved, state.extra);
        *state = State {
            reserved,
            extra,
            ..State::default()
        };
    }

    /// What must be evicted next, while there is more than there should be.
    pub(super) fn victim(&self) -> Option<Digest> {
        let state = self.state();
        let max_size = self.max_size?;
        let full = match state.complete {
            true => state.bytes + state.reserved > max_size,
            false => state.over > 0,
        };
        full.then(|| state.oldest()).flatten()
    }

    /// What is evicted first, whether there is too much or not, and its length in bytes.
    pub(super) fn oldest(&self) -> Option<(Digest, u64)> {
        let state = self.state();
        let digest = state.oldest()?;
        let size = state.entries.get(&digest)?.size;
        Some((digest, size))
    }

    /// Whether evictions can make `bytes` of room.
    pub(super) fn can_free(&self, bytes: u64) -> bool {
        self.state().can_free(bytes)
    }

    /// Whether nobody reads the blob.
    pub(super) fn is_free(&self, digest: &Digest) -> bool {
        let state = self.state();
        state.entries.contains_key(digest) && !state.is_pinned(digest)
    }

    /// A blob was evicted.
    pub(super) fn evicted(&self, digest: &Digest) {
        let mut state = self.state();
        let size = state.remove(digest).map_or(0, |entry| entry.size);
        state.over = state.over.saturating_sub(size);
        drop(state);
        let mut evictions = self.evictions_now();
        evictions.blobs += 1;
        evictions.bytes += size;
    }

    pub(super) fn evictions(&self) -> Evictions {
        *self.evictions_now()
    }

    fn evictions_now(&self) -> MutexGuard<'_, Evictions> {
        let evictions = self.evictions.lock();
        evictions.unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn used(&mut self, digest: &Digest, seen: Seen, file: &Arc<File>) -> bool {
        let now = SystemTime::now();
        let mut entry = self.remove(digest).unwrap_or_else(|| Entry::new(seen));
        entry.size = seen.size;
        entry.used = now;
        entry.last |= seen.size <= SMALL;
        entry.open = Arc::downgrade(file);
        let stale = entry.is_stale(now);
        if stale {
            entry.persisted = now;
        }
        self.insert(digest.clone(), entry);
        stale
    }

    fn insert(&mut self, digest: Digest, entry: Entry) {
        self.bytes += entry.size;
        self.order
            .insert(Rank(entry.last, entry.used, digest.clone()));
        self.entries.insert(digest, entry);
    }

    fn remove(&mut self, digest: &Digest) -> Option<Entry> {
        let entry = self.entries.remove(digest)?;
        self.bytes -= entry.size;
        self.order
            .remove(&Rank(entry.last, entry.used, digest.clone()));
        Some(entry)
    }

    fn is_pinned(&self, digest: &Digest) -> bool {
        self.entries
            .get(digest)
            .is_some_and(|entry| entry.open.strong_count() > 0)
    }

    /// Whether a writer of `bytes` keeps all within the limit.
    fn fits(&self, max_size: Option<u64>, bytes: u64, on_disk: u64) -> bool {
        let Some(max_size) = max_size else {
            return true;
        };
        let promised = self.reserved.saturating_add(bytes);
        if self.complete {
            let total = promised.saturating_add(self.bytes);
            self.can_free(total.saturating_sub(max_size))
        } else {
            promised.saturating_add(on_disk) <= max_size
        }
    }

    /// Whether all but the one writer that may go beyond the limit is within it, or will be by
    /// evictions.
    fn may_exceed(&self, max_size: Option<u64>) -> bool {
        let beyond = match (max_size, self.complete) {
            (Some(max_size), true) => (self.bytes + self.reserved).saturating_sub(max_size),
            _ => self.over,
        };
        self.can_free(beyond)
    }

    fn oldest(&self) -> Option<Digest> {
        let mut free = self.order.iter().filter(|rank| !self.is_pinned(&rank.2));
        free.next().map(|rank| rank.2.clone())
    }

    /// Whether `bytes` can be made free by evictions.
    fn can_free(&self, bytes: u64) -> bool {
        let mut left = bytes;
        let mut free = self.order.iter();
        while left > 0 {
            let Some(rank) = free.next() else {
                return false;
            };
            if let Some(entry) = self.entries.get(&rank.2)
                && entry.open.strong_count() == 0
            {
                left = left.saturating_sub(entry.size);
            }
        }
        true
    }
}

impl Entry {
    fn new(seen: Seen) -> Self {
        Self {
            size: seen.size,
            last: seen.size <= SMALL,
            used: seen.used,
            persisted: seen.used,
            open: Weak::new(),
            checked: None,
        }
    }

    /// Whether a use is to be written to disk.
    fn is_stale(&self, now: SystemTime) -> bool {
        let age = now.duration_since(self.persisted);
        age.is_ok_and(|age| age > PERSIST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u32) -> Digest {
        Digest::of(&n.to_be_bytes())
    }

    fn seen(size: u64, used: u64) -> Seen {
        Seen {
            size,
            used: SystemTime::UNIX_EPOCH + Duration::from_secs(used),
        }
    }

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    fn victims(index: &Index) -> Vec<Digest> {
        std::iter::from_fn(|| index.victim().inspect(|digest| index.evicted(digest))).collect()
    }

    fn index(max_size: u64, sizes: &[u64]) -> Arc<Index> {
        let index = Arc::new(Index::new(Some(max_size)));
        for (n, size) in (0..).zip(sizes) {
            index.found(digest(n), seen(*size, 100 + u64::from(n)));
        }
        index
    }

    #[test]
    fn evicts_the_least_recently_used_and_small_ones_last() {
        let (large, small) = (SMALL + 1, SMALL);
        let index = index(0, &[small, large, large, large]);
        assert_eq!(index.victim(), None, "nothing goes before all is known");
        index.complete();
        assert!(index.used(&digest(1), seen(large, 0), &file()));
        assert!(
            !index.used(&digest(1), seen(large, 0), &file()),
            "once an hour"
        );
        index.prefer(&digest(2));
        assert_eq!(
            victims(&index),
            [digest(3), digest(1), digest(0), digest(2)]
        );
        let left = index.usage();
        assert_eq!((left.blobs, left.bytes), (0, 0));
    }

    #[test]
    fn never_evicts_what_is_read() {
        let index = index(0, &[1, 1]);
        index.complete();
        let file = file();
        let clone = Arc::clone(&file);
        index.used(&digest(0), seen(1, 0), &file);
        drop(file);
        assert!(!index.is_free(&digest(0)));
        assert_eq!(victims(&index), [digest(1)]);
        assert!(index.open(&digest(0)).is_some());
        drop(clone);
        assert_eq!(victims(&index), [digest(0)]);
    }

    #[test]
    fn promises_no_more_than_there_is_but_to_one() {
        let index = index(10, &[4, 4]);
        index.complete();
        let file = file();
        index.used(&digest(0), seen(4, 0), &file);
        let first = index.reserve(6, 0).unwrap();
        let mut beyond = index.reserve(3, 0).expect("one may go beyond");
        assert!(index.reserve(1, 0).is_none(), "but no two");
        assert!(beyond.stretch(2) && beyond.bytes() == 5);
        assert_eq!(index.usage().reserved, 11);
        assert_eq!(victims(&index), [digest(1)], "for the first one only");
        drop(beyond);
        let mut first = first;
        assert!(!first.stretch(1));
        first.absorb(index.reserve(1, 0).expect("again one"));
        assert!(first.stretch(1), "now it is this one that goes beyond");
        drop(first);
        assert_eq!(index.usage().reserved, 0);
        index.found(digest(2), seen(7, 0));
        let pin = super::tests::file();
        index.used(&digest(2), seen(7, 0), &pin);
        assert!(index.reserve(1, 0).is_none(), "there is too much already");
        index.forget(&digest(2));
        drop(file);
        drop((index.reserve(5, 0).unwrap(), index.reserve(5, 0).unwrap()));
    }

    #[test]
    fn before_all_is_known_the_disk_bounds_what_is_promised() {
        let index = index(10, &[4]);
        let fits = index.reserve(3, 7).expect("no more than 7 can be stored");
        let beyond = index.reserve(4, 7).expect("one may go beyond");
        assert!(index.reserve(1, 7).is_none());
        let pin = file();
        index.settle(beyond, &digest(1), seen(4, 0), &pin);
        assert_eq!(
            victims(&index),
            [digest(0)],
            "something goes for what was beyond"
        );
        drop(index.reserve(9, 7).expect("so another one may"));
        index.complete();
        drop(fits);
        assert_eq!(index.usage().reserved, 0);
        assert_eq!(victims(&index), []);
    }
}
