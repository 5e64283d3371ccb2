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
    /// Told when room is given back and when the index is complete.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Digest, Entry>,
    order: BTreeSet<Rank>,
    bytes: u64,
    reserved: u64,
    complete: bool,
}

#[derive(Debug)]
struct Entry {
    size: u64,
    last: bool,
    used: SystemTime,
    persisted: SystemTime,
    open: Weak<File>,
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

/// Room that was promised to a writer: given back by a drop.
#[derive(Debug)]
pub(super) struct Reservation {
    index: Arc<Index>,
    bytes: u64,
}

impl Index {
    pub(super) fn new(max_size: Option<u64>) -> Self {
        Self {
            state: Mutex::default(),
            max_size,
            changed: Notify::new(),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            blobs: state.entries.len() as u64,
            bytes: state.bytes,
            reserved: state.reserved,
            indexed: state.complete,
        }
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
        let promised = std::mem::take(&mut room.bytes);
        let mut state = self.state();
        state.reserved -= promised;
        state.used(digest, seen, file);
    }

    /// A manifest is stored: evicted last, whatever its size.
    pub(super) fn prefer(&self, digest: &Digest) {
        let mut state = self.state();
        if let Some(mut entry) = state.remove(digest) {
            entry.last = true;
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
        self.state().complete = true;
        self.changed.notify_waiters();
    }

    /// Promises room, where evictions can make it. A writer that is alone may go beyond the limit:
    /// otherwise a few slow readers could keep everybody else from writing. Until the index is
    /// complete all is promised, and evicted afterwards: a start does not hold up pulls.
    pub(super) fn reserve(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.state();
        if let Some(max_size) = self.max_size
            && state.complete
        {
            let beyond = |total: u64| total.saturating_sub(max_size);
            let alone = state.reserved == 0 && state.can_free(beyond(state.bytes));
            if !alone && !state.can_free(beyond(state.bytes + state.reserved + bytes)) {
                return None;
            }
        }
        state.reserved += bytes;
        drop(state);
        Some(self.reservation(bytes))
    }

    /// Promises nothing.
    pub(super) fn reserve_nothing(self: &Arc<Self>) -> Reservation {
        self.reservation(0)
    }

    fn reservation(self: &Arc<Self>, bytes: u64) -> Reservation {
        Reservation {
            index: Arc::clone(self),
            bytes,
        }
    }

    /// What must be evicted next, while there is more than there should be.
    pub(super) fn victim(&self) -> Option<Digest> {
        let state = self.state();
        let full = state.bytes + state.reserved > self.max_size?;
        let mut free = state.order.iter().filter(|rank| !state.is_pinned(&rank.2));
        (full && state.complete)
            .then(|| free.next())?
            .map(|rank| rank.2.clone())
    }

    /// Takes a blob out, to be evicted, unless somebody began to read it since.
    pub(super) fn take(&self, digest: &Digest) -> bool {
        let mut state = self.state();
        !state.is_pinned(digest) && state.remove(digest).is_some()
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
        let stale = now
            .duration_since(entry.persisted)
            .is_ok_and(|age| age > PERSIST);
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

    /// Whether `bytes` are left when all is evicted that can be.
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
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.index.state().reserved -= self.bytes;
        self.index.changed.notify_waiters();
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
        std::iter::from_fn(|| index.victim().filter(|digest| index.take(digest))).collect()
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
        assert!(!index.take(&digest(0)));
        assert_eq!(victims(&index), [digest(1)]);
        assert!(index.open(&digest(0)).is_some());
        drop(clone);
        assert_eq!(victims(&index), [digest(0)]);
    }

    #[test]
    fn promises_no_more_than_there_is_but_to_one() {
        let index = index(10, &[4, 4]);
        drop(index.reserve(100).expect("nothing is known yet"));
        index.complete();
        let file = file();
        index.used(&digest(0), seen(4, 0), &file);
        let first = index.reserve(6).unwrap();
        assert!(index.reserve(1).is_none());
        assert_eq!(victims(&index), [digest(1)]);
        drop(first);
        let alone = index.reserve(9).unwrap();
        assert!(index.reserve(1).is_none());
        drop(alone);
        assert_eq!(index.usage().reserved, 0);
        index.found(digest(2), seen(7, 0));
        let pin = super::tests::file();
        index.used(&digest(2), seen(7, 0), &pin);
        assert!(index.reserve(1).is_none(), "one too many");
        index.forget(&digest(2));
        drop(file);
        drop((index.reserve(5).unwrap(), index.reserve(5).unwrap()));
    }
}
