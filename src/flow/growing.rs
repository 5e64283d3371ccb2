use std::fs::File;
use std::io;
use std::io::IoSlice;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::Error;
use super::coverage::Coverage;
use super::coverage::Segment;
use crate::oci::Algorithm;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::store::Blob;
use crate::store::Relief;
use crate::store::Writer;

/// A blob on its way into the store: a file that grows, hashed as it grows, read by any number of
/// followers at their own pace.
///
/// Promise: the last [`HELD_BACK`] bytes are shown to nobody who reads up to the end until the
/// whole has the right digest.
#[derive(Debug)]
pub(super) struct Growing {
    file: Arc<File>,
    relief: Relief,
    size: u64,
    state: Mutex<State>,
    hash: Mutex<Hash>,
    splits: mpsc::UnboundedSender<Segment>,
}

/// How much is held back until the digest is right, in bytes.
const HELD_BACK: u64 = 64 << 10;
/// How much is hashed at a time, of what came out of order, in bytes.
const CATCH_UP: usize = 256 << 10;

#[derive(Debug)]
struct State {
    coverage: Coverage,
    verdict: Option<Result<(), Error>>,
    /// No more is shown: what is there is wrong, and the right bytes may take their place.
    is_frozen: bool,
    /// The right bytes, and up to where they are the same as those that were shown.
    replacement: Option<(Blob, u64)>,
    committed: Option<Blob>,
    waiting: Vec<Waker>,
    /// Counts the wake-ups, so that a follower knows whether its waker still waits.
    round: u64,
}

struct Hash {
    /// All before it is hashed.
    at: u64,
    hasher: Hasher,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// How many bytes of it went into the file; the others were not the segment's any more.
    pub(super) bytes: u64,
    /// Whether the segment goes on.
    pub(super) goes_on: bool,
}

/// What a follower last waited with.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<(u64, Waker)>);

impl Growing {
    /// The writer's empty file, which is to become the blob of `size` bytes. Segments that readers split off
    /// are sent to the receiver.
    pub(super) fn new(
        writer: &Writer,
        digest: &Digest,
        size: u64,
    ) -> (Self, mpsc::UnboundedReceiver<Segment>) {
        let (splits, receiver) = mpsc::unbounded_channel();
        let coverage = Coverage::new(size);
        let state = State {
            coverage,
            verdict: None,
            is_frozen: false,
            replacement: None,
            committed: None,
            waiting: Vec::new(),
            round: 0,
        };
        let hash = Hash {
            at: 0,
            hasher: Hasher::new(digest.algorithm()),
        };
        let growing = Self {
            file: writer.file().clone(),
            relief: writer.relief(),
            size,
            state: state.into(),
            hash: hash.into(),
            splits,
        };
        (growing, receiver)
    }

    /// The whole blob's size, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The file, for positioned reads of what is there.
    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What is there and what is coming.
    pub(super) fn coverage<T>(&self, look: impl FnOnce(&mut Coverage) -> T) -> T {
        look(&mut self.state().coverage)
    }

    /// Sees to it that the bytes from `start` on come soon, for a reader up to the end.
    pub(super) fn hurry(&self, start: u64) {
        if let Some(segment) = self.coverage(|coverage| coverage.split(start)) {
            // No receiver: the fill is over, and its verdict tells the reader.
            let _ = self.splits.send(segment);
        }
    }

    /// Up to where a reader at `start` who wants all up to `end` may read; waits for more where
    /// there is nothing.
    pub(super) fn poll_reach(
        &self,
        cx: &mut Context<'_>,
        waiting: &mut Waiting,
        (start, end): (u64, u64),
    ) -> Poll<Result<u64, Error>> {
        let mut state = self.state();
        let shown = match &state.verdict {
            Some(Err(error)) => return Poll::Ready(Err(error.clone())),
            Some(Ok(())) => self.size,
            None if state.is_frozen => 0,
            None if end < self.size => end,
            None => self.size.saturating_sub(HELD_BACK),
        };
        let reach = state.coverage.reach(start).min(shown).min(end);
        if reach > start {
            return Poll::Ready(Ok(reach));
        }
        let round = state.round;
        let same = |(then, waker): &(u64, Waker)| *then == round && waker.will_wake(cx.waker());
        if !waiting.0.as_ref().is_some_and(same) {
            state.waiting.push(cx.waker().clone());
            waiting.0 = Some((round, cx.waker().clone()));
        }
        Poll::Pending
    }

    /// Writes what a segment got, shows it to the followers, then hashes it where it is next.
    /// Where the disk is full, the least recently used goes for it. Blocks on the disk.
    ///
    /// # Errors
    /// When the disk refuses. The segment has claimed the bytes then, and they never come.
    pub(super) fn write(&self, segment: u64, batch: &[Bytes]) -> io::Result<Written> {
        let bytes = batch.iter().map(|chunk| chunk.len() as u64).sum();
        let claimed = self.coverage(|coverage| coverage.claim(segment, bytes));
        while let Err(failure) = write_all(&self.file, batch, &claimed) {
            if !self.relief.helps(&failure, bytes) {
                return Err(failure);
            }
        }
        self.coverage(|coverage| coverage.written(segment, claimed.clone()));
        self.wake(None);
        let mut hash = self.hash();
        if hash.at == claimed.start {
            for chunk in batch {
                let chunk = within(chunk, hash.at, claimed.end);
                hash.hasher.update(chunk);
                hash.at += chunk.len() as u64;
            }
        }
        drop(hash);
        let segment = self.coverage(|coverage| coverage.segment(segment));
        Ok(Written {
            bytes: claimed.end - claimed.start,
            goes_on: segment.is_some_and(|segment| segment.at < segment.end),
        })
    }

    /// Hashes what came out of order. Blocks on the disk.
    pub(super) fn catch_up(&self) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let mut hash = self.hash();
            let reach = self.coverage(|coverage| coverage.reach(hash.at));
            let next = CATCH_UP.min(usize::try_from(reach - hash.at).unwrap_or(CATCH_UP));
            if next == 0 {
                return Ok(());
            }
            buffer.resize(next, 0);
            self.file.read_exact_at(&mut buffer, hash.at)?;
            hash.hasher.update(&buffer);
            hash.at += next as u64;
        }
    }

    /// A hash of all before `end`; `None` where the file has not all of that. Blocks on the disk.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) fn hashed(&self, end: u64, algorithm: Algorithm) -> io::Result<Option<Hasher>> {
        if self.coverage(|coverage| coverage.reach(0)) < end {
            return Ok(None);
        }
        let hash = self.hash();
        let (mut at, mut hasher) = match hash.at <= end {
            true => (hash.at, hash.hasher.clone()),
            false => (0, Hasher::new(algorithm)),
        };
        drop(hash);
        let mut buffer = vec![0; CATCH_UP];
        while at < end {
            let next = CATCH_UP.min(usize::try_from(end - at).unwrap_or(CATCH_UP));
            self.file.read_exact_at(&mut buffer[..next], at)?;
            hasher.update(&buffer[..next]);
            at += next as u64;
        }
        Ok(Some(hasher))
    }

    /// The digest of what is there so far, in order: of the whole, once it is whole and caught up.
    pub(super) fn digest(&self) -> Digest {
        self.hash().hasher.clone().finish()
    }

    /// How it ended; `None` where it has not.
    pub(super) fn verdict(&self) -> Option<Result<(), Error>> {
        self.state().verdict.clone()
    }

    /// Tells all followers how it ended. The first verdict holds.
    pub(super) fn conclude(&self, verdict: Result<(), Error>) {
        self.wake(Some(verdict));
    }

    /// The file is a stored blob from now on.
    pub(super) fn commit(&self, blob: Blob) {
        self.state().committed = Some(blob);
    }

    /// Whether the right bytes are a stored blob, in this file or in its place.
    pub(super) fn is_stored(&self) -> bool {
        let state = self.state();
        state.committed.is_some() || state.replacement.is_some()
    }

    /// Whether nobody has altered the file since it was stored.
    pub(super) fn is_unaltered(&self) -> bool {
        let committed = self.state().committed.clone();
        committed.is_none_or(|blob| blob.is_unaltered())
    }

    /// Shows no more, until the verdict.
    pub(super) fn freeze(&self) {
        self.state().is_frozen = true;
    }

    /// The right blob is here: its bytes are those of this file up to `same` (excluded). For the
    /// followers that have read no further when they hear that this one is wrong.
    pub(super) fn replace(&self, blob: Blob, same: u64) {
        self.state().replacement = Some((blob, same));
    }

    /// What a follower that has read all before `at` can go on with.
    pub(super) fn replacement(&self, at: u64) -> Option<Blob> {
        let state = self.state();
        let (blob, same) = state.replacement.as_ref()?;
        (at <= *same && blob.size == self.size).then(|| blob.clone())
    }

    /// Takes the word back that all is right: what is in the file can't be relied on any more.
    pub(super) fn revoke(&self, error: Error) {
        self.state().verdict = Some(Err(error));
        self.wake(None);
    }

    fn wake(&self, verdict: Option<Result<(), Error>>) {
        let mut state = self.state();
        if state.verdict.is_none() {
            state.verdict = verdict;
        }
        state.round += 1;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self) -> MutexGuard<'_, Hash> {
        self.hash.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what of `batch` was claimed, by as few calls as the kernel takes: large writes get large
/// pages.
fn write_all(file: &File, batch: &[Bytes], claimed: &Range<u64>) -> io::Result<()> {
    let mut at = claimed.start;
    let chunks = batch.iter().map(|chunk| {
        let chunk = within(chunk, at, claimed.end);
        at += chunk.len() as u64;
        IoSlice::new(chunk)
    });
    let mut chunks: Vec<_> = chunks.collect();
    let (mut chunks, mut at) = (&mut chunks[..], claimed.start);
    IoSlice::advance_slices(&mut chunks, 0);
    while !chunks.is_empty() {
        let some = &chunks[..chunks.len().min(MOST_SLICES)];
        let written = match rustix::io::pwritev(file, some, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        at += written as u64;
        IoSlice::advance_slices(&mut chunks, written);
    }
    Ok(())
}

/// How many slices one call takes (`IOV_MAX`).
const MOST_SLICES: usize = 1024;

/// The part of `chunk`, which starts at `at`, that lies before `end`.
fn within(chunk: &[u8], at: u64, end: u64) -> &[u8] {
    let room = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    &chunk[..chunk.len().min(room)]
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash {{ at: {} }}", self.at)
    }
}
