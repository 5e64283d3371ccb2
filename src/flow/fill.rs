use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Error;
use super::OnDisconnect;
use super::coverage::Coverage;
use super::coverage::Segment;
use super::flight::Landing;
use super::flight::Opened;
use super::growing::Growing;
use super::passed::ENDLESS;
use super::passed::longest_unknown;
use super::segment::Source;
use super::supplier::Supplier;
use super::upstream::Trouble;
use crate::ledger::Deposit;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Reason;
use crate::ledger::Subject;
use crate::oci::Hasher;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Registry;
use crate::store;
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
    pub(super) trouble: Arc<Trouble>,
    /// Takes the upstream's answer where the store doesn't, for who began the fill.
    pub(super) leftover: Leftover,
}

/// An upstream's answer that nobody has read from.
pub(super) type Leftover = Arc<Mutex<Option<FetchedBlob>>>;

impl Fill {
    /// Runs to the commit, or to a failure that the followers and the log are told. Not tied to
    /// any client: spawn it.
    pub(super) async fn run(self) {
        if let Err(error) = self.fetch().await {
            self.supplier().count(&error);
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
        let supplier = self.supplier();
        let name = &supplier.repository.name;
        let fetched = self.registry.blob_get(self.flow, name, digest, None).await;
        let fetched = fetched.map_err(|error| supplier.error(error))?;
        let size = match fetched.total {
            None => self.ask_size().await,
            size => size,
        };
        let mut writer = match self.store.writer(size).await {
            Ok(writer) => writer,
            Err(error) => {
                let mut leftover = self.leftover.lock().unwrap_or_else(PoisonError::into_inner);
                *leftover = Some(fetched);
                return Err(error.into());
            }
        };
        let deposit = fetched.body.account().deposit(self.subject());
        writer.account_for(deposit.clone());
        let filled = match size {
            Some(size) if size > 0 => self.grow(fetched, size, (writer, &deposit)).await,
            // An empty answer would be complete before its digest is known.
            Some(_) | None => self.spool(fetched, (writer, &deposit)).await,
        };
        filled.inspect_err(|error| deposit.discard(error.reason()))
    }

    /// A registry that doesn't say how long a blob is while it sends it may say so when asked.
    async fn ask_size(&self) -> Option<u64> {
        let name = &self.landing.repository().name;
        let digest = self.landing.digest();
        let size = self.registry.blob_head(self.flow, name, digest).await;
        size.ok().flatten().filter(|size| *size > 0)
    }

    /// The usual way: followers read while the file grows.
    async fn grow(
        &self,
        fetched: FetchedBlob,
        size: u64,
        (writer, deposit): (Writer, &Deposit),
    ) -> Result<(), Error> {
        let (growing, splits) = Growing::new(&writer, self.landing.digest(), size);
        let growing = Arc::new(growing);
        let source = Arc::new(Source {
            supplier: self.supplier(),
            growing: growing.clone(),
            share: self.landing.share(),
            deposit: deposit.clone(),
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
        match self.commit(writer).await {
            Ok(blob) => growing.commit(blob),
            Err(error) => {
                if let Error::Store(store::Error::Unsynced { .. }) = error {
                    growing.revoke(error.clone());
                }
                return Err(error);
            }
        }
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
            Err(self.supplier().corrupt(&got))
        }
    }

    /// For an upstream that doesn't say how long a blob is: nobody can be promised a length before
    /// the end, so they wait for it.
    async fn spool(
        &self,
        mut fetched: FetchedBlob,
        (mut writer, deposit): (Writer, &Deposit),
    ) -> Result<(), Error> {
        let supplier = self.supplier();
        let mut hasher = Hasher::new(supplier.digest.algorithm());
        let most = longest_unknown(&self.store);
        let mut at = 0;
        while let Some(chunk) = fetched.body.chunk().await {
            let chunk = chunk.map_err(|error| supplier.error(error))?;
            hasher.update(&chunk);
            let length = chunk.len() as u64;
            let mut unspent = fetched.body.account().unspent();
            unspent.add(chunk.len());
            if at + length > most {
                unspent.spend_all(Fate::Discarded(Reason::Mismatch));
                return Err(supplier.error(registry::Error::Wrong(ENDLESS.into())));
            }
            let room = writer.expect((at + length).next_multiple_of(STEP)).await;
            room.inspect_err(|_| unspent.spend_all(UNSTORABLE))?;
            let (file, relief, deposit) = (writer.file().clone(), writer.relief(), deposit.clone());
            let write = move || {
                while let Err(failure) = file.write_all_at(&chunk, at) {
                    if !relief.helps(&failure, length) {
                        unspent.spend_all(UNSTORABLE);
                        return Err(failure);
                    }
                }
                unspent.keep(&deposit, length);
                Ok(())
            };
            let written = tokio::task::spawn_blocking(write).await;
            let written = written.map_err(std::io::Error::other).flatten();
            written.map_err(|error| Error::Write(Arc::new(error)))?;
            at += length;
        }
        let got = hasher.finish();
        if got != supplier.digest {
            return Err(supplier.corrupt(&got));
        }
        let blob = self.commit(writer).await?;
        self.landing.open(Ok(Opened::Stored(blob)));
        Ok(())
    }

    async fn commit(&self, writer: Writer) -> Result<crate::store::Blob, Error> {
        let repositories = std::slice::from_ref(self.landing.repository());
        Ok(writer.commit(self.landing.digest(), repositories).await?)
    }

    fn subject(&self) -> Subject {
        Subject {
            flow: self.flow,
            repository: self.landing.repository().clone(),
            digest: self.landing.digest().clone(),
        }
    }

    fn supplier(&self) -> Supplier {
        Supplier {
            askers: self.landing.askers(),
            repository: self.landing.repository().clone(),
            digest: self.landing.digest().clone(),
            flow: self.flow,
            trouble: self.trouble.clone(),
        }
    }
}

/// The disk or the store did not take them.
const UNSTORABLE: Fate = Fate::Discarded(Reason::Unstorable);
/// How much room is asked for at a time, for a blob whose length is not known, in bytes.
const STEP: u64 = 4 << 20;
