//! The open store itself: blobs are opened, published and evicted here. All of it blocks, so it is
//! called on the blocking pool only.

use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::fs::Metadata;
use std::io;
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
use super::durable;
use super::error::At as _;
use super::error::found;
use super::index::Index;
use super::index::Reservation;
use super::index::Seen;
use super::layout::Layout;
use super::lock::Lock;
use super::scan::Scan;
use crate::oci::Digest;

/// SHA-256 of nothing: the one blob that may be empty.
const NOTHING: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) layout: Layout,
    pub(super) index: Arc<Index>,
    turns: Arc<Turns>,
    _scan: Scan,
    _lock: Lock,
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
        let number = usize::from_str_radix(&digest.hex()[..2], 16).unwrap_or_default();
        self.0[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    pub(super) fn open(config: &Config) -> Result<Arc<Self>, Error> {
        let layout = Layout::new(&config.path);
        let Some(lock) = Lock::take(&layout)? else {
            return Err(Error::Locked {
                path: config.path.clone(),
            });
        };
        for folder in [layout.blobs(), layout.repositories()] {
            durable::make_folders(&folder).at(&folder)?;
        }
        for (_, leftover) in super::walk::entries(&layout.tmp())? {
            durable::remove(&leftover).at(&leftover)?;
        }
        let index = Arc::new(Index::new(config.max_size));
        let turns = Arc::new(Turns::new());
        let scan = Scan::start(&layout, &index, &turns)?;
        Ok(Arc::new(Self {
            layout,
            index,
            turns,
            _scan: scan,
            _lock: lock,
        }))
    }

    /// Opens a stored blob, pins it and counts the use.
    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let _turn = self.turns.of(digest);
        let path = self.layout.blob(digest);
        let Some((file, metadata)) = self.file(digest).at(&path)? else {
            self.index.forget(digest);
            return Ok(None);
        };
        if self.index.used(digest, seen(&metadata), &file) {
            write_use(&file);
        }
        Ok(Some(Blob {
            file,
            size: metadata.len(),
            stored: metadata.modified().at(&path)?,
        }))
    }

    /// The blob's file, shared with those who read it already.
    fn file(&self, digest: &Digest) -> io::Result<Option<(Arc<File>, Metadata)>> {
        if let Some(file) = self.index.open(digest) {
            let metadata = file.metadata()?;
            if metadata.nlink() > 0 && is_whole(&metadata, digest) {
                return Ok(Some((file, metadata)));
            }
        }
        let Some(file) = found(File::open(self.layout.blob(digest)))? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(is_whole(&metadata, digest).then(|| (Arc::new(file), metadata)))
    }

    /// The content of a stored blob, read at once; counts as a use.
    pub(super) fn content(&self, digest: &Digest) -> Result<Option<(Vec<u8>, SystemTime)>, Error> {
        let Some(blob) = self.blob(digest)? else {
            return Ok(None);
        };
        let mut content = vec![0; usize::try_from(blob.size).unwrap_or(usize::MAX)];
        std::os::unix::fs::FileExt::read_exact_at(&*blob.file, &mut content, 0)
            .at(&self.layout.blob(digest))?;
        Ok(Some((content, blob.stored)))
    }

    /// Publishes a synced file as a blob, in the room that was promised for it, and makes its name
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
            let blob = Blob {
                file: Arc::clone(file),
                size: metadata.len(),
                stored: metadata.modified().at(&path)?,
            };
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

    /// Removes a blob whoever reads it.
    fn discard(&self, digest: &Digest) -> Result<(), Error> {
        let _turn = self.turns.of(digest);
        self.index.forget(digest);
        let path = self.layout.blob(digest);
        durable::remove(&path).at(&path).map(drop)
    }
}

/// [`Shelf::shrink`], for the scan as well.
pub(super) fn shrink(layout: &Layout, index: &Index, turns: &Turns) {
    while let Some(digest) = index.victim() {
        let _turn = turns.of(&digest);
        if !index.take(&digest) {
            continue;
        }
        let path = layout.blob(&digest);
        if let Err(error) = durable::remove(&path).at(&path) {
            tracing::warn!(%digest, %error, "a blob could not be evicted");
            continue;
        }
        // What is not empty stays: a folder holds nothing that is needed.
        let _ = fs::remove_dir(layout.blob_folder(&digest));
        tracing::debug!(%digest, "evicted");
    }
    index.changed.notify_waiters();
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

/// Whether a file can be a blob: an empty one is what is left of a power cut.
pub(super) fn is_whole(metadata: &Metadata, digest: &Digest) -> bool {
    metadata.is_file() && (metadata.len() > 0 || digest.as_str() == NOTHING)
}

/// Writes a use down, for the eviction after the next start. Where that is refused, the order of
/// eviction is only less good.
fn write_use(file: &File) {
    let _ = file.set_times(FileTimes::new().set_accessed(SystemTime::now()));
}
