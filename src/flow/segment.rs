use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Error;
use super::flight::Share;
use super::growing::Growing;
use super::supplier::ENDED;
use super::supplier::Resumes;
use super::supplier::Supplier;
use crate::ledger::Deposit;
use crate::ledger::Fate;
use crate::ledger::Reason;
use crate::ledger::Unspent;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Found;

/// Where the bytes of a growing blob come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) supplier: Supplier,
    pub(super) growing: Arc<Growing>,
    /// What may be gathered while a batch is written: with that batch, the bound on memory.
    pub(super) share: Share,
    /// Where it is counted what the file is given.
    pub(super) deposit: Deposit,
    /// Where the blob was last found, for further ranges.
    pub(super) found: Mutex<Option<Found>>,
    /// Told when a further range is given as it was asked for.
    pub(super) answered: Notify,
    /// Whether one ever was.
    pub(super) is_shared_out: AtomicBool,
}

/// How a segment ended that is not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it came.
    Whole,
    /// It could not be asked for now without holding up others.
    Postponed,
    /// The upstream refused it, or could not be reached.
    Refused,
    /// The upstream ignored that only a part was asked for.
    Ignored,
}

/// The longest pause that an upstream may ask for, of a fill that could have done with one request.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The least that one of several segments may gather, in bytes.
const LEAST: usize = 16 << 10;
/// With less than this for a batch, in bytes, a fill does not gather the next one while it writes.
const SCARCE: usize = 64 << 10;
/// A batch as long as this, in bytes, is written at once. A shorter one waits for more: whatever its
/// length, it wakes the thread that writes it, the fill, and all followers.
const WORTHWHILE: usize = 256 << 10;
/// But no longer than this, and not at all where it is the first.
const SOON: Duration = Duration::from_millis(2);

impl Source {
    /// Fetches one segment to its end, resuming where the connection breaks: at the same place,
    /// then, where that brings nothing, at the next one. `fetched` is its answer, where one is
    /// there already.
    ///
    /// # Errors
    /// When the upstream can't or won't deliver the rest, or the disk refuses.
    pub(super) async fn fetch(
        self: Arc<Self>,
        segment: u64,
        mut fetched: Option<FetchedBlob>,
    ) -> Result<Ended, Error> {
        let mut resumes = Resumes::default();
        loop {
            let begun = self.position(segment);
            let outcome = match fetched.take() {
                Some(fetched) => self.pump(segment, fetched).await,
                None => self.reopen(segment, &resumes).await,
            };
            let Err(error) = outcome else { break };
            self.sit_out(&error).await;
            let way = (begun, self.position(segment));
            self.supplier.resume(&mut resumes, way, error).await?;
        }
        self.growing.coverage(|coverage| coverage.close(segment));
        Ok(Ended::Whole)
    }

    /// Fetches one segment to its end, if that can be asked for now; what is refused is left to
    /// others. Where the connection breaks later, it is resumed as any.
    ///
    /// # Errors
    /// As [`Source::fetch`]'s, once the upstream has begun to give it.
    pub(super) async fn further(self: Arc<Self>, segment: u64) -> Result<Ended, Error> {
        let ended = match self.ask_further(segment).await {
            Ok(Some(fetched)) if fetched.offset == self.position(segment) => {
                self.is_shared_out.store(true, Ordering::Relaxed);
                self.answered.notify_one();
                self.learn(&fetched.found);
                return self.fetch(segment, Some(fetched)).await;
            }
            Ok(Some(_)) => {
                self.growing.coverage(|coverage| coverage.ignore(segment));
                Ended::Ignored
            }
            Ok(None) => Ended::Postponed,
            Err(error) => {
                let Supplier {
                    repository, digest, ..
                } = &self.supplier;
                tracing::debug!(%repository, %digest, "no further range of it: {error}");
                Ended::Refused
            }
        };
        self.growing.coverage(|coverage| coverage.fail(segment));
        Ok(ended)
    }

    async fn ask_further(&self, segment: u64) -> Result<Option<FetchedBlob>, Error> {
        let found = self.found().clone();
        let segment = self.growing.coverage(|coverage| coverage.ask(segment));
        let (Some(found), Some(rest)) = (found, segment) else {
            return Ok(None);
        };
        let size = self.growing.size();
        self.supplier.further(&found, rest.at..rest.end, size).await
    }

    /// Where ranges have taken the place of the first request, an upstream that pauses us is waited
    /// for: that request would have gone on.
    async fn sit_out(&self, error: &Error) {
        let throttled = match error {
            Error::Upstream { error, .. } => error,
            _ => return,
        };
        if let registry::Error::Throttled {
            retry_after: Some(pause),
        } = throttled
            && *pause <= LONGEST_PAUSE
            && self.is_shared_out.load(Ordering::Relaxed)
        {
            tokio::time::sleep(*pause).await;
        }
    }

    /// Takes note of where the blob is.
    pub(super) fn learn(&self, found: &Found) {
        *self.found() = Some(found.clone());
    }

    fn found(&self) -> MutexGuard<'_, Option<Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reopen(&self, segment: u64, resumes: &Resumes) -> Result<(), Error> {
        let Some(rest) = self.growing.coverage(|coverage| coverage.ask(segment)) else {
            return Ok(());
        };
        if rest.at >= rest.end {
            return Ok(());
        }
        let size = self.growing.size();
        let part = rest.at..rest.end;
        let fetched = self.supplier.open(part, size, resumes.place()).await?;
        if fetched.offset < rest.at
            && self
                .growing
                .coverage(|coverage| coverage.give_back(segment))
        {
            return Ok(());
        }
        if fetched.offset < rest.at {
            self.growing.coverage(|coverage| coverage.ignore(segment));
        }
        self.pump(segment, fetched).await
    }

    /// Writes a body as it comes, until the segment ends. While one batch is written and hashed,
    /// the next one is gathered.
    async fn pump(&self, segment: u64, fetched: FetchedBlob) -> Result<(), Error> {
        let skip = self.position(segment).saturating_sub(fetched.offset);
        let mut intake = Intake {
            batch: Batch::of(fetched.body.account().unspent()),
            body: fetched.body,
            skip,
            room: self.room(segment, 0),
            failure: None,
        };
        let mut writing: Option<Writing> = None;
        let mut has_begun = false;
        loop {
            tokio::select! {
                goes_on = written(&mut writing) => {
                    writing = None;
                    if !goes_on? {
                        intake.batch.unspent.spend_all(SURPLUS);
                        return Ok(());
                    }
                }
                () = intake.gather(), if intake.has_room() => {}
            }
            if writing.is_some() {
                continue;
            }
            if self.share.is_in_the_way() {
                self.give_way(&mut intake).await;
            }
            if has_begun {
                intake.fill_up().await;
            }
            let batch = intake.batch.take();
            self.share.pay(batch.length()).await;
            intake.room = self.room(segment, batch.length());
            if !batch.chunks.is_empty() {
                has_begun = true;
                let (growing, deposit) = (self.growing.clone(), self.deposit.clone());
                let write = move || batch.write(segment, &growing, &deposit);
                if intake.room < SCARCE {
                    // Its chunks are in memory until they are written: no others beside them.
                    intake.room = 0;
                }
                writing = Some(tokio::task::spawn_blocking(write));
            } else if let Some(failure) = intake.failure.take() {
                return Err(self.supplier.error(failure));
            }
        }
    }

    /// Clients wait for other blobs: what has come is written at a leisurely pace.
    async fn give_way(&self, intake: &mut Intake) {
        while intake.has_room() && self.share.is_in_the_way() {
            intake.gather().await;
        }
        self.share.give_way().await;
    }

    /// How many bytes may be gathered, where `pending` are about to be written: the fill's segments
    /// share what it may, and nothing is wanted beyond a segment's end.
    fn room(&self, segment: u64, pending: usize) -> usize {
        let (segments, segment) = self
            .growing
            .coverage(|coverage| (coverage.segments(), coverage.segment(segment)));
        let rest = segment.map_or(u64::MAX, |it| it.end - it.at);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let own = (self.share.bytes() / segments.max(1)).max(LEAST);
        own.min(rest.saturating_sub(pending))
    }

    fn position(&self, segment: u64) -> u64 {
        let segment = self.growing.coverage(|coverage| coverage.segment(segment));
        segment.map_or(u64::MAX, |segment| segment.at)
    }
}

type Writing = JoinHandle<io::Result<bool>>;

/// Whether the segment goes on, once what is being written is written; pending where nothing is.
async fn written(writing: &mut Option<Writing>) -> Result<bool, Error> {
    let Some(writing) = writing else {
        return std::future::pending().await;
    };
    let written = writing.await.map_err(io::Error::other).flatten();
    written.map_err(|error| Error::Write(Arc::new(error)))
}

/// A body, and what of it is gathered for the next write.
struct Intake {
    body: registry::Body,
    /// How many bytes of it are not wanted.
    skip: u64,
    /// How many bytes may still be gathered; exceeded by a part of a chunk at most.
    room: usize,
    batch: Batch,
    /// What ended the body.
    failure: Option<registry::Error>,
}

impl Intake {
    fn has_room(&self) -> bool {
        self.room > 0 && self.failure.is_none()
    }

    /// Takes in what comes soon, where something has come already, until it is worth a write.
    async fn fill_up(&mut self) {
        if self.batch.chunks.is_empty() {
            return;
        }
        let more = async {
            while self.has_room() && self.batch.length() < WORTHWHILE {
                self.gather().await;
            }
        };
        let _ = tokio::time::timeout(SOON, more).await;
    }

    /// Takes in the next chunk. Cancel-safe.
    async fn gather(&mut self) {
        match self.body.chunk().await {
            Some(Ok(chunk)) => self.take(chunk),
            Some(Err(failure)) => self.failure = Some(failure),
            None => self.failure = Some(registry::Error::Unreachable(ENDED.into())),
        }
    }

    fn take(&mut self, mut chunk: Bytes) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX);
        let skipped = skipped.min(chunk.len());
        self.skip -= skipped as u64;
        let account = self.body.account();
        account.discard(Reason::Skipped, skipped as u64);
        let chunk = chunk.split_off(skipped);
        self.room = self.room.saturating_sub(chunk.len());
        if !chunk.is_empty() {
            self.batch.unspent.add(chunk.len());
            self.batch.chunks.push(chunk);
        }
    }
}

/// What is written at once, and what is to be said of it.
struct Batch {
    chunks: Vec<Bytes>,
    unspent: Unspent,
}

/// Another request brings them, or they are beyond the blob's end.
const SURPLUS: Fate = Fate::Discarded(Reason::Surplus);

impl Batch {
    fn of(unspent: Unspent) -> Self {
        let chunks = Vec::new();
        Self { chunks, unspent }
    }

    /// In bytes.
    fn length(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    fn take(&mut self) -> Self {
        Self {
            chunks: std::mem::take(&mut self.chunks),
            unspent: self.unspent.take(),
        }
    }

    /// Writes it. Blocks on the disk.
    fn write(mut self, segment: u64, growing: &Growing, deposit: &Deposit) -> io::Result<bool> {
        match growing.write(segment, &self.chunks) {
            Ok(written) => {
                self.unspent.keep(deposit, written.bytes);
                self.unspent.spend_all(SURPLUS);
                Ok(written.goes_on)
            }
            Err(error) => {
                let reason = Reason::Unstorable;
                self.unspent.spend_all(Fate::Discarded(reason));
                Err(error)
            }
        }
    }
}
