use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::task::JoinHandle;

use super::Error;
use super::breaker::is_outage;
use super::growing::Growing;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Registry;

/// Where the bytes of a growing blob come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) registry: Arc<Registry>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) flow: FlowId,
    pub(super) growing: Arc<Growing>,
}

/// How many bytes are gathered before they are written: with what is being written meanwhile, the
/// bound on a segment's memory.
const BATCH: usize = 128 << 10;
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
        let name = &self.repository.name;
        let fetched = self
            .registry
            .blob_get(self.flow, name, &self.digest, range)
            .await;
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
            failure: None,
        };
        let mut writing: Option<JoinHandle<io::Result<bool>>> = None;
        loop {
            let batch = intake.batch().await;
            if let Some(writing) = writing.take()
                && !written(writing).await?
            {
                return Ok(());
            }
            let batch = batch.map_err(|error| self.error(error))?;
            let growing = self.growing.clone();
            writing = Some(tokio::task::spawn_blocking(move || {
                growing.write(segment, &batch)
            }));
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

async fn written(writing: JoinHandle<io::Result<bool>>) -> Result<bool, Error> {
    let written = writing.await.map_err(io::Error::other).flatten();
    written.map_err(|error| Error::Write(Arc::new(error)))
}

/// A body, read in batches.
struct Intake {
    body: registry::Body,
    /// How many bytes of it are not wanted.
    skip: u64,
    /// What ended it, while the batch before that is still to be written.
    failure: Option<registry::Error>,
}

impl Intake {
    /// What has come, up to [`BATCH`]; waits for the first chunk only.
    async fn batch(&mut self) -> Result<Vec<Bytes>, registry::Error> {
        let mut batch = Vec::new();
        let mut gathered = 0;
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        while gathered < BATCH {
            let next = match gathered {
                0 => Some(self.body.chunk().await),
                _ => self.body.chunk().now_or_never(),
            };
            let Some(next) = next else { break };
            match next.unwrap_or_else(|| Err(registry::Error::Unreachable(ENDED.into()))) {
                Ok(chunk) => {
                    let chunk = self.wanted(chunk);
                    gathered += chunk.len();
                    batch.push(chunk);
                }
                Err(failure) if gathered == 0 => return Err(failure),
                Err(failure) => {
                    self.failure = Some(failure);
                    break;
                }
            }
        }
        Ok(batch)
    }

    fn wanted(&mut self, mut chunk: Bytes) -> Bytes {
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        self.skip -= skipped as u64;
        chunk.split_off(skipped)
    }
}

const ENDED: &str = "the body ended before the blob did";

fn is_resumable(error: &Error) -> bool {
    matches!(error, Error::Upstream { error, .. } if is_outage(error))
}
