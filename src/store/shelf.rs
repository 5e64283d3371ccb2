//! The open store itself: blobs are opened, published and evicted here. All of it blocks, so it is
//! called on the blocking pool only.

use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::SystemTime;

use tempfile::TempPath;

use super::Blob;
use super::Config;
use super::Error;
use super::disk::Disk;
use super::durable;
use super::error::At as _;
use super::error::found;
use super::home::Home;
use super::index::Index;
use super::index::Reservation;
use super::index::Seen;
use super::layout::Layout;
use super::seal;
use super::seal::Stamp;
use crate::oci::Digest;

/// SHA-256 of nothing: the one blob that may be empty.
const NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What the disk must have free for small files and folders, in bytes.
const SPARE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) layout: Layout,
    pub(super) index: Arc<Index>,
    pub(super) turns: Arc<Turns>,
    home: Mutex<Home>,
}

/// What is found where a blob should be.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing, or nothing that can be right.
    Absent,
    /// The blob, as it was when it was last known to be right.
    Right(Blob),
    /// A file that somebody may have altered.
    Doubtful(Doubt),
}

/// A file that must be hashed before it is served.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    pub(super) file: Arc<File>,
    pub(super) stamp: Stamp,
}

/// One lock for each two leading hex digits of digests. Whoever opens, publishes or evicts a blob
/// holds its lock meanwhile, so that files and index change together. The index's own lock comes
/// second, and nothing is waited for below that.
#[derive(Debug)]
pub(super) struct Turns(Vec<Mutex<()>>);

impl Turns {
    fn new() -> Self {
        Self((0..256).map(|_| Mutex::new(())).collect())
    }

    pub(super) fn of(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.turn(digest)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock, where nobody holds it.
    pub(super) fn try_of(&self, digest: &Digest) -> Option<MutexGuard<'_, ()>> {
        self.turn(digest).try_lock().ok()
    }

    fn turn(&self, digest: &Digest) -> &Mutex<()> {
        &self.0[usize::from_str_radix(&digest.hex()[..2], 16).unwrap_or_default()]
    }
}

impl Shelf {
    pub(super) fn open(config: &Config) -> Result<Arc<Self>, Error> {
        let layout = Layout::new(&config.path);
        let index = Arc::new(Index::new(config.max_size));
        let turns = Arc::new(Turns::new());
        let home = Home::enter(&layout, &index, &turns)?.into();
        Ok(Arc::new(Self {
            layout,
            index,
            turns,
            home,
        }))
    }

    /// Sees to it that the folder is there, before something is written: where somebody removed it,
    /// a new store is begun in its place.
    pub(super) fn stay(&self) -> Result<(), Error> {
        let mut home = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        let (root, tmp) = (self.layout.root(), self.layout.tmp());
        if home.is_in_place(&self.layout) {
            return durable::make_folders(&tmp).at(&tmp);
        }
        let path = root.to_path_buf();
        if !home.may_return(&self.layout) {
            return Err(Error::Gone { path });
        }
        self.index.clear();
        *home = Home::enter(&self.layout, &self.index, &self.turns)?;
        tracing::warn!(path = %root.display(), "the store's folder was gone: another one is begun");
        Ok(())
    }

    /// Opens a stored blob, pins it and counts the use, unless somebody may have altered it.
    pub(super) fn look(&self, digest: &Digest) -> Result<Look, Error> {
        let _turn = self.turns.of(digest);
        let path = self.layout.blob(digest);
        let Some((file, metadata)) = self.file(digest).at(&path)? else {
            self.index.forget(digest);
            return Ok(Look::Absent);
        };
        let stamp = Stamp::of(&metadata);
        let right = match self.index.checked(digest) {
            Some((checked, right)) => (checked == stamp).then_some(right),
            None => seal::holds(&metadata, digest).then_some(true),
        };
        Ok(match right {
            Some(true) => Look::Right(self.lend(digest, file, &metadata).at(&path)?),
            Some(false) => Look::Absent,
            None => Look::Doubtful(Doubt { file, stamp }),
        })
    }

    fn lend(&self, digest: &Digest, file: Arc<File>, metadata: &Metadata) -> io::Result<Blob> {
        let mut stamp = Stamp::of(metadata);
        if self.index.used(digest, seen(metadata), &file) {
            write_use(&file);
            let after = Stamp::of(&file.metadata()?);
            if after.has_content_of(&stamp) {
                stamp = after;
            }
        }
        self.index.note(digest, stamp, true);
        Ok(Blob {
            size: metadata.len(),
            stored: metadata.modified()?,
            file,
            stamp,
        })
    }

    /// The blob's file, shared with those who read it already.
    fn file(&self, digest: &Digest) -> io::Result<Option<(Arc<File>, Metadata)>> {
        if let Some(file) = self.index.open(digest) {
            let metadata = file.metadata()?;
            if is_there(&metadata, digest) {
                return Ok(Some((file, metadata)));
            }
        }
        let Some(file) = found(File::open(self.layout.blob(digest)))? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(is_whole(&metadata, digest).then(|| (Arc::new(file), metadata)))
    }

    /// The content of a stored blob, read at once; counts as a use. Where somebody may have altered
    /// it, it is hashed first: not for large ones.
    pub(super) fn content(&self, digest: &Digest) -> Result<Option<(Vec<u8>, SystemTime)>, Error> {
        let mut look = self.look(digest)?;
        if let Look::Doubtful(doubt) = &look {
            self.check(digest, doubt)?;
            look = self.look(digest)?;
        }
        let Look::Right(blob) = look else {
            return Ok(None);
        };
        let mut content = vec![0; usize::try_from(blob.size).unwrap_or(usize::MAX)];
        let path = self.layout.blob(digest);
        blob.file.read_exact_at(&mut content, 0).at(&path)?;
        Ok(Some((content, blob.stored)))
    }

    /// Publishes a synced and sealed file as a blob, in the room that was promised for it, and makes its name
    /// durable.
    pub(super) fn publish(
        &self,
        file: &Arc<File>,
        temp: TempPath,
        digest: &Digest,
        room: Reservation,
    ) -> Result<Blob, Error> {
        let path = self.layout.blob(digest);
        let (blob, placed) = {
            let _turn = self.turns.of(digest);
            let placed = durable::place(temp, &path).at(&path)?;
            let metadata = file.metadata().at(&path)?;
            self.index.settle(room, digest, seen(&metadata), file);
            let blob = self.lend(digest, Arc::clone(file), &metadata).at(&path)?;
            (blob, placed)
        };
        if let Err(error) = placed.sync().at(&path) {
            self.discard(digest)?;
            return Err(error);
        }
        Ok(blob)
    }

    /// Evicts until all that is stored or promised is within `max_size`, or nothing is left that
    /// may be evicted.
    pub(super) fn shrink(&self) {
        shrink(&self.layout, &self.index, &self.turns);
    }

    /// Sees to it that the disk has room for `bytes`, and for what comes with them: evicts where it
    /// has not.
    ///
    /// # Errors
    /// [`Error::DiskFull`] where evictions can't make that room; nothing is evicted then.
    pub(super) fn make_room(&self, bytes: u64) -> Result<(), Error> {
        let wanted = bytes.saturating_add(SPARE);
        let free = Disk::of(self.layout.root()).map_or(wanted, |disk| disk.free);
        let lacking = wanted.saturating_sub(free);
        if lacking == 0 || self.index.can_free(lacking) && self.evict(lacking) >= lacking {
            return Ok(());
        }
        let path = self.layout.root().to_path_buf();
        Err(Error::DiskFull { path, wanted, free })
    }

    /// Evicts the least recently used, whatever `max_size` says, until `bytes` are free or nothing
    /// is left that may go. Returns how many bytes went.
    pub(super) fn evict(&self, bytes: u64) -> u64 {
        let mut freed = 0;
        while freed < bytes
            && let Some((digest, size)) = self.index.oldest()
        {
            match remove_free(&self.layout, &self.index, &self.turns, &digest) {
                Removal::Done => freed += size,
                Removal::InUse => {}
                Removal::Failed => break,
            }
        }
        if freed > 0 {
            tracing::warn!(
                bytes = freed,
                "the disk is full: the least recently used was evicted"
            );
        }
        freed
    }

    /// Removes a blob whoever reads it.
    pub(super) fn discard(&self, digest: &Digest) -> Result<(), Error> {
        let _turn = self.turns.of(digest);
        self.index.forget(digest);
        let path = self.layout.blob(digest);
        durable::remove(&path).at(&path).map(drop)
    }
}

/// [`Shelf::shrink`], for the scan as well.
pub(super) fn shrink(layout: &Layout, index: &Index, turns: &Turns) {
    while let Some(digest) = index.victim() {
        if let Removal::Failed = remove_free(layout, index, turns, &digest) {
            break;
        }
    }
    index.changed.notify_waiters();
}

enum Removal {
    Done,
    /// Somebody began to read it.
    InUse,
    Failed,
}

/// Removes a blob that nobody reads.
fn remove_free(layout: &Layout, index: &Index, turns: &Turns, digest: &Digest) -> Removal {
    let _turn = turns.of(digest);
    if !index.is_free(digest) {
        return Removal::InUse;
    }
    let path = layout.blob(digest);
    if let Err(error) = durable::remove(&path).at(&path) {
        tracing::warn!(%digest, %error, "a blob could not be evicted");
        return Removal::Failed;
    }
    index.evicted(digest);
    // What is not empty stays: a folder holds nothing that is needed.
    let _ = fs::remove_dir(layout.blob_folder(digest));
    tracing::debug!(%digest, "evicted");
    Removal::Done
}

/// What a blob's file says. The last use is written down as its atime, which reads may move too.
pub(super) fn seen(metadata: &Metadata) -> Seen {
    let times = [metadata.accessed(), metadata.modified()];
    Seen {
        size: metadata.len(),
        used: times
            .into_iter()
            .flatten()
            .max()
            .unwrap_or(SystemTime::UNIX_EPOCH),
    }
}

/// Whether an open file still has a name, and can be a blob.
pub(super) fn is_there(metadata: &Metadata, digest: &Digest) -> bool {
    metadata.nlink() > 0 && is_whole(metadata, digest)
}

/// Whether a file can be a blob: an empty one is what is left of a power cut.
pub(super) fn is_whole(metadata: &Metadata, digest: &Digest) -> bool {
    metadata.is_file() && (metadata.len() > 0 || digest.as_str() == NOTHING)
}

/// Writes a use down, for the eviction after the next start. Where that is refused, the order of
/// eviction is only less good.
fn write_use(file: &File) {
    let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
}
