use std::fs::File;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use tempfile::TempPath;
use tokio::time::Instant;
use tokio::time::timeout;

use super::Blob;
use super::Error;
use super::Kind;
use super::Store;
use super::disk::Disk;
use super::durable;
use super::error::At as _;
use super::error::is_full;
use super::index::Reservation;
use super::links;
use super::seal;
use super::seal::Stamp;
use super::shelf::Look;
use super::shelf::Shelf;
use super::spool::Spool;
use crate::ledger::Deposit;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Repository;

/// How long a writer waits for room that readers and other writers hold. Short, for a client
/// waits as well, and what can't be stored can still be passed on.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often to look whether a reader has let go of a blob: nothing tells.
const LOOK: Duration = Duration::from_millis(100);

/// A blob that is being written: `commit` publishes it, a drop leaves nothing.
#[derive(Debug)]
pub struct Writer {
    place: Place,
    file: Arc<File>,
    deposit: Option<Deposit>,
}

/// Where a file is written.
#[derive(Debug)]
enum Place {
    Shelf(Named),
    Spool(Arc<Spool>),
}

/// A file that gets its name once it is whole.
#[derive(Debug)]
struct Named {
    shelf: Arc<Shelf>,
    // Before the room is given back, the file is gone.
    temp: TempPath,
    room: Reservation,
}

impl Writer {
    /// What is written was kept of bodies that have accounts: the commit says in `deposit` what
    /// becomes of it. So does a drop, as abandoned, unless somebody has said why.
    pub fn account_for(&mut self, deposit: Deposit) {
        self.deposit = Some(deposit);
    }

    /// The growing file, for positioned writes and reads.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What can make room on the disk while this is written.
    pub fn relief(&self) -> Relief {
        match &self.place {
            Place::Shelf(named) => Relief(Some(Arc::clone(&named.shelf))),
            Place::Spool(_) => Relief(None),
        }
    }

    /// Sees to it that there is room for `bytes` altogether, of a blob whose length was not known.
    ///
    /// Waits a few seconds, at most, while all room is being read or written.
    ///
    /// # Errors
    /// As [`Store::writer`].
    pub async fn expect(&mut self, bytes: u64) -> Result<(), Error> {
        let named = match &mut self.place {
            Place::Shelf(named) => named,
            Place::Spool(spool) => return take(spool, &self.file, bytes).await,
        };
        let more = bytes.saturating_sub(named.room.bytes());
        if more == 0 || named.room.stretch(more) {
            return Ok(());
        }
        named.room.absorb(promise(&named.shelf, more).await?);
        let shelf = Arc::clone(&named.shelf);
        super::blocking(move || {
            shelf.shrink();
            shelf.make_room(more)
        })
        .await
    }

    /// Publishes the file as `digest`, which the caller has verified, and links it into
    /// `repositories`. Durable when this returns: file synced, renamed, folder synced. Once it was
    /// polled, a drop of the future does not undo it.
    ///
    /// A blob larger than `max_size` is linked and readable, but not kept: as if it were evicted
    /// at once.
    ///
    /// # Errors
    /// When the disk refuses; nothing is published then.
    pub async fn commit(self, digest: &Digest, repositories: &[Repository]) -> Result<Blob, Error> {
        let (digest, repositories) = (digest.clone(), repositories.to_vec());
        super::blocking(move || self.publish(&digest, &repositories)).await
    }

    fn publish(self, digest: &Digest, repositories: &[Repository]) -> Result<Blob, Error> {
        let (file, deposit) = (self.file, self.deposit);
        match self.place {
            Place::Shelf(named) => named.publish(file, deposit, (digest, repositories)),
            Place::Spool(spool) => {
                let blob = spool.publish(file, digest, repositories)?;
                deposit.iter().for_each(|it| it.commit(blob.size));
                Ok(blob)
            }
        }
    }
}

impl Named {
    fn publish(
        self,
        file: Arc<File>,
        deposit: Option<Deposit>,
        (digest, repositories): (&Digest, &[Repository]),
    ) -> Result<Blob, Error> {
        // What is named first is dropped last: the room is given back when the file is gone.
        let Self { room, shelf, temp } = self;
        let discard = |reason| deposit.iter().for_each(|it| it.discard(reason));
        shelf.stay()?;
        shelf.make_room(0)?;
        let digests = std::slice::from_ref(digest);
        for repository in repositories {
            let folder = shelf.layout.repository(repository);
            links::open_blobs(&shelf.layout, &folder, digests)?;
        }
        let size = file.metadata().at(&temp)?.len();
        if !shelf.index.can_hold(size) {
            tracing::warn!(%digest, size, "a blob larger than [store] max_size is not kept");
            discard(Reason::Oversized);
            let stamp = Stamp::of(&file.metadata().at(&temp)?);
            let stored = SystemTime::now();
            return Ok(Blob {
                file,
                size,
                stored,
                stamp,
            });
        }
        if let Look::Right(blob) = shelf.look(digest)? {
            discard(Reason::Duplicate);
            return Ok(blob);
        }
        // Before the sync, which makes it durable with the content.
        seal::put(&file, digest).at(&temp)?;
        file.sync_data().map_err(|source| Error::Unsynced {
            path: temp.to_path_buf(),
            source: Arc::new(source),
        })?;
        let blob = shelf.publish(&file, temp, digest, room)?;
        deposit.iter().for_each(|it| it.commit(blob.size));
        shelf.shrink();
        Ok(blob)
    }
}

/// Makes room on a full disk, for somebody who writes.
#[derive(Clone, Debug)]
pub struct Relief(Option<Arc<Shelf>>);

impl Relief {
    /// Whether a write of `bytes` that failed is worth another try: the disk is full, and the least
    /// recently used was evicted for it. Blocks.
    pub fn helps(&self, failure: &io::Error, bytes: u64) -> bool {
        let shelf = self.0.as_ref().filter(|_| is_full(failure));
        shelf.is_some_and(|shelf| shelf.evict(bytes.max(LEAST_RELIEF)) > 0)
    }
}

/// What is evicted at a time from a full disk, at least, in bytes.
const LEAST_RELIEF: u64 = 4 << 20;

impl Store {
    /// A writer for a blob of about `expected` bytes: room is made for them. Where `expected` is
    /// not known, see [`Writer::expect`].
    ///
    /// Waits a few seconds, at most, while all room is being read or written.
    ///
    /// # Errors
    /// [`Error::Full`] when there is no room within `max_size`; [`Error::DiskFull`] when the disk
    /// has none; [`Error::Io`] when it refuses; [`Error::Gone`] when it is not there.
    pub async fn writer(&self, expected: Option<u64>) -> Result<Writer, Error> {
        let expected = expected.unwrap_or(0);
        match &self.0 {
            Kind::Kept(kept) => on_shelf(&kept.shelf, expected).await,
            Kind::Spool(spool) => in_spool(spool, expected).await,
        }
    }
}

async fn on_shelf(shelf: &Arc<Shelf>, expected: u64) -> Result<Writer, Error> {
    let room = promise(shelf, expected).await?;
    let shelf = Arc::clone(shelf);
    super::blocking(move || {
        shelf.stay()?;
        shelf.shrink();
        shelf.make_room(expected)?;
        let tmp = shelf.layout.tmp();
        let (file, temp) = durable::temp(&tmp).at(&tmp)?.into_parts();
        Ok(Writer {
            place: Place::Shelf(Named { shelf, temp, room }),
            file: Arc::new(file),
            deposit: None,
        })
    })
    .await
}

async fn in_spool(spool: &Arc<Spool>, expected: u64) -> Result<Writer, Error> {
    let maker = Arc::clone(spool);
    let file = super::blocking(move || maker.file().map(Arc::new)).await?;
    take(spool, &file, expected).await?;
    Ok(Writer {
        place: Place::Spool(Arc::clone(spool)),
        file,
        deposit: None,
    })
}

/// Room for `bytes` altogether for a file of the spool, as soon as there is.
async fn take(spool: &Arc<Spool>, file: &Arc<File>, bytes: u64) -> Result<(), Error> {
    let max_size = spool.max_size().unwrap_or(u64::MAX);
    let deadline = Instant::now() + PATIENCE;
    while !spool.take(file, bytes) {
        if bytes > max_size || Instant::now() >= deadline {
            return Err(Error::Full {
                path: spool.folder().to_path_buf(),
                wanted: bytes,
                max_size,
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    let spool = Arc::clone(spool);
    super::blocking(move || spool.check_disk(bytes)).await
}

/// Room for `bytes` within `max_size`, as soon as there is.
async fn promise(shelf: &Arc<Shelf>, bytes: u64) -> Result<Reservation, Error> {
    let index = &shelf.index;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut changed = pin!(index.changed.notified());
        changed.as_mut().enable();
        let on_disk = if index.usage().indexed {
            0
        } else {
            used(shelf).await
        };
        if let Some(room) = index.reserve(bytes, on_disk) {
            return Ok(room);
        }
        if Instant::now() >= deadline {
            return Err(Error::Full {
                path: shelf.layout.root().to_path_buf(),
                wanted: bytes,
                max_size: index.max_size().unwrap_or(u64::MAX),
            });
        }
        let _ = timeout(LOOK, changed).await;
    }
}

/// No less than what is stored: all that the disk holds, in bytes.
async fn used(shelf: &Arc<Shelf>) -> u64 {
    let shelf = Arc::clone(shelf);
    let disk = super::blocking(move || Ok(Disk::of(shelf.layout.root()))).await;
    disk.ok().flatten().map_or(u64::MAX, |disk| disk.used)
}
