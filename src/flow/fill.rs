use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Error;
use super::OnDisconnect;
use super::coverage::Coverage;
use super::coverage::Segment;
use super::flight::Landing;
use super::flight::Opened;
use super::growing::Growing;
use super::segment::Source;
use crate::ledger::FlowId;
use crate::oci::Hasher;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Registry;
use crate::store::Store;
use crate::store::Writer;

/// Brings one blob into the store, whoever comes and goes meanwhile.
///
/// Promise: what is committed has the digest that was asked for, and the followers are told either
/// that all bytes are right, or that the fill failed; never neither.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) landing: Landing,
    pub(super) registry: Arc<Registry>,
    pub(super) store: Arc<Store>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) flow: FlowId,
}

impl Fill {
    /// Runs to the commit, or to a failure that the followers and the log are told. Not tied to
    /// any client: spawn it.
    pub(super) async fn run(self) {
        if let Err(error) = self.fetch().await {
            let repository = self.landing.repository();
            tracing::warn!(%repository, digest = %self.landing.digest(), "fill failed: {error}");
            self.landing.open(Err(error));
        }
    }

    async fn fetch(&self) -> Result<(), Error> {
        let digest = self.landing.digest();
        if let Some(blob) = self.store.blob_of_any(digest).await? {
            self.landing.open(Ok(Opened::Stored(blob)));
            return Ok(());
        }
        let name = &self.landing.repository().name;
        let fetched = self.registry.blob_get(self.flow, name, digest, None).await;
        let fetched = fetched.map_err(|error| self.error(error))?;
        let writer = self.store.writer(fetched.total).await?;
        match fetched.total {
            Some(size) => self.grow(fetched, size, writer).await,
            None => self.spool(fetched, writer).await,
        }
    }

    /// The usual way: followers read while the file grows.
    async fn grow(&self, fetched: FetchedBlob, size: u64, writer: Writer) -> Result<(), Error> {
        let (growing, splits) = Growing::new(writer.file().clone(), self.landing.digest(), size);
        let growing = Arc::new(growing);
        let source = Arc::new(Source {
            askers: self.landing.askers(),
            repository: self.landing.repository().clone(),
            digest: self.landing.digest().clone(),
            flow: self.flow,
            growing: growing.clone(),
            share: self.landing.share(),
        });
        // Before anybody can read, so that no reader asks for a segment in its place.
        let first = growing.coverage(Coverage::fill_gap);
        self.landing.open(Ok(Opened::Growing(growing.clone())));
        let mut segments = JoinSet::new();
        if let Some(first) = first {
            segments.spawn(source.clone().fetch(first.id, Some(fetched)));
        }
        let verdict = tokio::select! {
            verdict = self.deliver(&source, segments, splits) => verdict,
            () = self.landing.deserted(), if self.on_disconnect == OnDisconnect::Abort => {
                Err(Error::GivenUp("everybody left"))
            }
        };
        growing.conclude(verdict.clone());
        verdict?;
        self.commit(writer).await?;
        Ok(())
    }

    /// Waits until all segments have come, those that readers split off and those that fill what
    /// others left.
    async fn deliver(
        &self,
        source: &Arc<Source>,
        mut segments: JoinSet<Result<(), Error>>,
        mut splits: mpsc::UnboundedReceiver<Segment>,
    ) -> Result<(), Error> {
        let growing = &source.growing;
        while !growing.coverage(|coverage| coverage.is_whole()) {
            if let Some(gap) = growing.coverage(Coverage::fill_gap) {
                segments.spawn(source.clone().fetch(gap.id, None));
            }
            tokio::select! {
                Some(split) = splits.recv() => {
                    segments.spawn(source.clone().fetch(split.id, None));
                }
                Some(ended) = segments.join_next() => {
                    ended.unwrap_or(Err(Error::GivenUp("a transfer was broken off")))?;
                }
            }
        }
        drop(segments);
        self.verify(growing).await
    }

    async fn verify(&self, growing: &Arc<Growing>) -> Result<(), Error> {
        let hashing = growing.clone();
        let hashed =
            tokio::task::spawn_blocking(move || hashing.catch_up().map(|()| hashing.digest()));
        let got = hashed.await.map_err(std::io::Error::other).flatten();
        let got = got.map_err(|error| Error::Read(Arc::new(error)))?;
        if got == *self.landing.digest() {
            Ok(())
        } else {
            Err(self.corrupt(got.to_string()))
        }
    }

    /// For an upstream that doesn't say how long a blob is: nobody can be promised a length before
    /// the end, so they wait for it.
    async fn spool(&self, mut fetched: FetchedBlob, writer: Writer) -> Result<(), Error> {
        let mut hasher = Hasher::new(self.landing.digest().algorithm());
        let mut at = 0;
        while let Some(chunk) = fetched.body.chunk().await {
            let chunk = chunk.map_err(|error| self.error(error))?;
            hasher.update(&chunk);
            let (file, length) = (writer.file().clone(), chunk.len() as u64);
            let write = move || std::os::unix::fs::FileExt::write_all_at(&*file, &chunk, at);
            let written = tokio::task::spawn_blocking(write).await;
            let written = written.map_err(std::io::Error::other).flatten();
            written.map_err(|error| Error::Write(Arc::new(error)))?;
            at += length;
        }
        let got = hasher.finish();
        if got != *self.landing.digest() {
            return Err(self.corrupt(got.to_string()));
        }
        let blob = self.commit(writer).await?;
        self.landing.open(Ok(Opened::Stored(blob)));
        Ok(())
    }

    async fn commit(&self, writer: Writer) -> Result<crate::store::Blob, Error> {
        let repositories = std::slice::from_ref(self.landing.repository());
        Ok(writer.commit(self.landing.digest(), repositories).await?)
    }

    fn corrupt(&self, got: String) -> Error {
        let repository = self.landing.repository().clone();
        Error::Corrupt {
            repository,
            reference: self.landing.digest().to_string(),
            got,
        }
    }

    fn error(&self, error: registry::Error) -> Error {
        let repository = self.landing.repository().clone();
        match error {
            registry::Error::NotFound { .. } => {
                Error::NoBlob(repository, self.landing.digest().to_string())
            }
            error => Error::Upstream { repository, error },
        }
    }
}
