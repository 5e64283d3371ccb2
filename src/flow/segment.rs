use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::Error;
use super::askers::Askers;
use super::breaker::is_outage;
use super::flight::Share;
use super::growing::Growing;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry;
use crate::registry::FetchedBlob;

/// Where the bytes of a growing blob come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) askers: Arc<Askers>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) flow: FlowId,
    pub(super) growing: Arc<Growing>,
    /// What may be gathered while a batch is written: with that batch, the bound on memory.
    pub(super) share: Share,
}

/// How often a segment is resumed without having got a byte.
const RESUMES: u32 = 4;
/// The pause before the first of those; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

impl Source {
    /// Fetches one segment to its end, resuming where the connection breaks. `fetched` is its
    /// answer, where one is there already.
    ///
    /// # Errors
    /// When the upstream can't or won't deliver the rest, or the disk refuses.
    pub(super) async fn fetch(
        self: Arc<Self>,
        segment: u64,
        mut fetched: Option<FetchedBlob>,
    ) -> Result<(), Error> {
        let mut failures = 0;
        loop {
            let before = self.position(segment);
            let outcome = match fetched.take() {
                Some(fetched) => self.pump(segment, fetched).await,
                None => self.reopen(segment).await,
            };
            let Err(error) = outcome else { break };
            failures = if self.position(segment) > before {
                1
            } else {
                failures + 1
            };
            if failures > RESUMES || !is_resumable(&error) {
                return Err(error);
            }
            tracing::warn!(
                repository = %self.repository, digest = %self.digest, at = self.position(segment),
                "the transfer broke off, resuming: {error}"
            );
            tokio::time::sleep(PAUSE * 2_u32.pow(failures - 1)).await;
        }
        self.growing.coverage(|coverage| coverage.close(segment));
        Ok(())
    }

    async fn reopen(&self, segment: u64) -> Result<(), Error> {
        let Some(rest) = self.growing.coverage(|coverage| coverage.segment(segment)) else {
            return Ok(());
        };
        if rest.at >= rest.end {
            return Ok(());
        }
        let end = if rest.end == self.growing.size() {
            u64::MAX
        } else {
            rest.end
        };
        let range = (rest.at > 0 || end != u64::MAX).then_some(rest.at..end);
        let fetched = self.askers.blob_get(self.flow, &self.digest, range).await;
        let fetched = fetched.map_err(|error| self.error(error))?;
        if fetched.offset < rest.at
            && self
                .growing
                .coverage(|coverage| coverage.give_back(segment))
        {
            return Ok(());
        }
        self.pump(segment, fetched).await
    }

    /// Writes a body as it comes, until the segment ends. While one batch is written and hashed,
    /// the next one is gathered.
    async fn pump(&self, segment: u64, fetched: FetchedBlob) -> Result<(), Error> {
        let size = self.growing.size();
        if fetched.total.is_some_and(|total| total != size) {
            let why = format!("its size changed from {size} to {:?} bytes", fetched.total);
            return Err(self.error(registry::Error::Wrong(why)));
        }
        let skip = self.position(segment).saturating_sub(fetched.offset);
        let mut intake = Intake {
            body: fetched.body,
            skip,
            room: self.share.bytes(),
            batch: Vec::new(),
            failure: None,
        };
        let mut writing: Option<Writing> = None;
        loop {
            tokio::select! {
                goes_on = written(&mut writing) => {
                    writing = None;
                    if !goes_on? {
                        return Ok(());
                    }
                }
                () = intake.gather(), if intake.has_room() => {}
            }
            if writing.is_some() {
                continue;
            }
            let batch = std::mem::take(&mut intake.batch);
            intake.room = self.share.bytes();
            if !batch.is_empty() {
                let growing = self.growing.clone();
                let write = move || growing.write(segment, &batch);
                writing = Some(tokio::task::spawn_blocking(write));
            } else if let Some(failure) = intake.failure.take() {
                return Err(self.error(failure));
            }
        }
    }

    fn position(&self, segment: u64) -> u64 {
        let segment = self.growing.coverage(|coverage| coverage.segment(segment));
        segment.map_or(u64::MAX, |segment| segment.at)
    }

    fn error(&self, error: registry::Error) -> Error {
        Error::Upstream {
            repository: self.repository.clone(),
            error,
        }
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
    batch: Vec<Bytes>,
    /// What ended the body.
    failure: Option<registry::Error>,
}

impl Intake {
    fn has_room(&self) -> bool {
        self.room > 0 && self.failure.is_none()
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
        let chunk = chunk.split_off(skipped);
        self.room = self.room.saturating_sub(chunk.len());
        if !chunk.is_empty() {
            self.batch.push(chunk);
        }
    }
}

const ENDED: &str = "the body ended before the blob did";

fn is_resumable(error: &Error) -> bool {
    matches!(error, Error::Upstream { error, .. } if is_outage(error))
}
