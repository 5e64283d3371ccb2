use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;

use tokio::sync::Notify;
use tokio::sync::mpsc;

use super::Error;
use super::OnDisconnect;
use super::coalesce::A_MOMENT;
use super::coverage::Coverage;
use super::coverage::Segment;
use super::delivery::Delivery;
use super::fan_out::FanOut;
use super::flight::Landing;
use super::flight::Opened;
use super::growing::Growing;
use super::mirrors::Mirror;
use super::origins::Origins;
use super::parallel::Ranges;
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
    /// The same at a client's pace, where that is another one.
    pub(super) hurried: Option<Arc<Registry>>,
    /// Targets that are asked before the upstream.
    pub(super) mirrors: Arc<[Mirror]>,
    pub(super) store: Arc<Store>,
    pub(super) fan_out: Arc<FanOut>,
    pub(super) on_disconnect: OnDisconnect,
    pub(super) flow: FlowId,
    pub(super) trouble: Arc<Trouble>,
    /// Whether large blobs are asked for in ranges.
    pub(super) ranges: Ranges,
    /// Told of what came by the configured credentials; `None` where these were a client's own.
    pub(super) origins: Option<Origins>,
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
        let (fetched, ranges) = match self.mirrored().await {
            Some(fetched) => (fetched, Ranges::default()),
            None => (self.fresh().await?, self.ranges.clone()),
        };
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
            Some(size) if size > 0 => {
                let wanted = (size, ranges);
                self.grow(fetched, wanted, (writer, &deposit)).await
            }
            // An empty answer would be complete before its digest is known.
            Some(_) | None => self.spool(fetched, (writer, &deposit)).await,
        };
        filled.inspect_err(|error| deposit.discard(error.reason()))
    }

    /// The blob as a target gives it, where one does.
    async fn mirrored(&self) -> Option<FetchedBlob> {
        for mirror in &*self.mirrors {
            let fetched = mirror.blob(self.flow, self.landing.digest(), None).await;
            if let Ok(fetched) = fetched
                && fetched.total.is_some_and(|size| size > 0)
            {
                return Some(fetched);
            }
        }
        None
    }

    /// The blob as the upstream gives it.
    async fn fresh(&self) -> Result<FetchedBlob, Error> {
        let (name, digest) = (&self.landing.repository().name, self.landing.digest());
        let failed = |error| self.supplier().error(error);
        let mut fetched = pin!(self.registry.blob_get(self.flow, name, digest, None));
        let Some(hurried) = &self.hurried else {
            return fetched.await.map_err(failed);
        };
        tokio::select! {
            biased;
            fetched = &mut fetched => return fetched.map_err(failed),
            () = self.landing.wanted() => {}
        }
        // A client waits: what stands behind others is asked for at once, what is on its way comes.
        match tokio::time::timeout(A_MOMENT, fetched).await {
            Ok(fetched) => fetched.map_err(failed),
            Err(_) => {
                let fetched = hurried.blob_get(self.flow, name, digest, None).await;
                fetched.map_err(failed)
            }
        }
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
        (size, ranges): (u64, Ranges),
        (writer, deposit): (Writer, &Deposit),
    ) -> Result<(), Error> {
        let (source, splits) = self.source(self.supplier(), size, (&writer, deposit));
        let growing = &source.growing;
        // Before anybody can read, so that no reader asks for a segment in its place.
        let first = growing.coverage(Coverage::fill_gap);
        self.landing.open(Ok(Opened::Growing(growing.clone())));
        let delivery = Delivery::new(source.clone(), splits, (first, fetched), ranges);
        let verdict = tokio::select! {
            verdict = self.deliver(growing, delivery) => verdict,
            () = self.landing.deserted(), if self.on_disconnect == OnDisconnect::Abort => {
                Err(Error::GivenUp("everybody left"))
            }
        };
        if let Err(error) = &verdict
            && error.is_mismatch()
            && source.supplier.blame()
        {
            growing.freeze();
            deposit.discard(error.reason());
            let made_good = self.make_good(growing).await;
            growing.conclude(verdict);
            return made_good;
        }
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

    /// What a target gave is wrong: all of it comes from the upstream once more, into another file,
    /// where the followers go on that have not been given wrong bytes yet.
    async fn make_good(&self, wrong: &Growing) -> Result<(), Error> {
        let mut supplier = self.supplier();
        supplier.mirrors = Arc::default();
        let size = wrong.size();
        let fetched = supplier.open(0..size, size, 0).await?;
        let mut writer = self.store.writer(Some(size)).await?;
        let deposit = fetched.body.account().deposit(self.subject());
        writer.account_for(deposit.clone());
        let (source, splits) = self.source(supplier, size, (&writer, &deposit));
        let first = source.growing.coverage(Coverage::fill_gap);
        let ranges = Ranges::default();
        let delivery = Delivery::new(source.clone(), splits, (first, fetched), ranges);
        let verdict = self.deliver(&source.growing, delivery).await;
        verdict.inspect_err(|error| deposit.discard(error.reason()))?;
        let blob = self.commit(writer).await?;
        let (wrong_file, right_file) = (wrong.file().clone(), blob.file.clone());
        let compare = move || same_until(&wrong_file, &right_file, size);
        let same = tokio::task::spawn_blocking(compare).await;
        let same = same.map_err(io::Error::other).flatten();
        wrong.replace(blob, same.map_err(|error| Error::Read(Arc::new(error)))?);
        Ok(())
    }

    /// The writer's file, and from where it is filled.
    fn source(
        &self,
        supplier: Supplier,
        size: u64,
        (writer, deposit): (&Writer, &Deposit),
    ) -> (Arc<Source>, mpsc::UnboundedReceiver<Segment>) {
        let (growing, splits) = Growing::new(writer, self.landing.digest(), size);
        let source = Source {
            supplier,
            growing: Arc::new(growing),
            share: self.landing.share(),
            deposit: deposit.clone(),
            found: Mutex::default(),
            answered: Notify::new(),
            is_shared_out: AtomicBool::new(false),
        };
        (Arc::new(source), splits)
    }

    /// Waits until all has come, and is right.
    async fn deliver(&self, growing: &Arc<Growing>, delivery: Delivery) -> Result<(), Error> {
        delivery.run().await?;
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
        let blob = writer.commit(self.landing.digest(), repositories).await?;
        if let Some(origins) = &self.origins {
            let upstream = &self.landing.repository().upstream;
            origins.note(upstream, self.landing.digest());
        }
        if !self.landing.is_kept() {
            self.store.let_cool(self.landing.digest());
        }
        let was_read = self.landing.had_client();
        self.fan_out.filled(&self.store, &blob, was_read);
        Ok(blob)
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
            mirrors: self.mirrors.clone(),
            repository: self.landing.repository().clone(),
            digest: self.landing.digest().clone(),
            flow: self.flow,
            trouble: self.trouble.clone(),
        }
    }
}

/// Up to where two files of `size` bytes are the same. Blocks on the disk.
fn same_until(one: &File, other: &File, size: u64) -> io::Result<u64> {
    let (mut left, mut right) = (vec![0; COMPARED], vec![0; COMPARED]);
    let mut at = 0;
    while at < size {
        let next = COMPARED.min(usize::try_from(size - at).unwrap_or(COMPARED));
        one.read_exact_at(&mut left[..next], at)?;
        other.read_exact_at(&mut right[..next], at)?;
        let pairs = left[..next].iter().zip(&right[..next]);
        let same = pairs.take_while(|(left, right)| left == right).count();
        at += same as u64;
        if same < next {
            break;
        }
    }
    Ok(at)
}

/// How much is compared at a time, in bytes.
const COMPARED: usize = 64 << 10;
/// The disk or the store did not take them.
const UNSTORABLE: Fate = Fate::Discarded(Reason::Unstorable);
/// How much room is asked for at a time, for a blob whose length is not known, in bytes.
const STEP: u64 = 4 << 20;
