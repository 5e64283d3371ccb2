//! The embedded content-addressable store, in CNCF Distribution's on-disk layout.
//!
//! Files are the database: each appears whole by a rename, or not at all, and a `registry:2` can
//! serve the folder. Two things are kept apart: a link lets a repository open a digest
//! (permission), a blob's file holds the content (presence). Evictions and repairs take only
//! content away, which is then fetched again.
//!
//! All that is ours alone is in `<path>/tidegate`: the lock of the process that serves, and files
//! that are not published yet. The media type of a manifest is in a file beside its link.
//!
//! [`inspect`], [`verify`], [`gc`] and [`remove`] look at a store from outside. They work beside a
//! process that serves from it: it treats what vanished as not stored, and its readers keep what
//! they have open.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

mod check;
mod disk;
mod durable;
mod error;
pub mod gc;
mod home;
mod index;
pub mod inspect;
mod layout;
mod links;
mod lock;
mod manifests;
pub mod remove;
mod scan;
mod seal;
mod shelf;
pub mod verify;
mod walk;
mod writer;

pub use error::Error;
pub use index::Evictions;
pub use index::Usage;
pub use writer::Relief;
pub use writer::Writer;

use error::At as _;
use manifests::Sent;
use seal::Stamp;
use shelf::Look;
use shelf::Shelf;

/// Where and how much to store.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder. It is made where it is missing.
    pub path: PathBuf,
    /// The most that blobs may take, in bytes; `None` for no limit.
    pub max_size: Option<u64>,
}

/// The embedded store. Share it as an `Arc`.
#[derive(Debug)]
pub struct Store {
    shelf: Arc<Shelf>,
    /// Held by who hashes a blob, one for each leading hex digit: whoever else wants that blob
    /// waits, and finds it hashed.
    checks: [tokio::sync::Mutex<()>; 16],
}

/// A committed blob, open for reading: it stays readable, whatever happens to its name, until
/// this is dropped, and it is not evicted as long.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The file, at an offset of no meaning: read it with positioned reads only. Holding this
    /// alone keeps the blob from being evicted.
    pub file: Arc<File>,
    /// Its length, in bytes.
    pub size: u64,
    /// When it was committed.
    pub stored: SystemTime,
    stamp: Stamp,
}

/// A stored manifest.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Byte for byte as the upstream sent it.
    pub bytes: Bytes,
    /// As the upstream called it.
    pub media_type: Arc<str>,
    /// When it was committed.
    pub stored: SystemTime,
}

/// What a tag pointed to, when last heard.
#[derive(Clone, Debug)]
pub struct TagRecord {
    /// The manifest.
    pub digest: Digest,
    /// When the upstream last confirmed it.
    pub confirmed: SystemTime,
}

/// How far a long job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done, in the job's unit.
    pub done: u64,
    /// All there is to do, in the same unit.
    pub total: u64,
}

/// Each method does its file work in one hop on the blocking pool, which goes on where the future
/// is dropped.
impl Store {
    /// Opens the store, making it where there is none, and removes what a crash left half-written.
    /// What is stored is counted in the background: see [`Usage::indexed`].
    ///
    /// # Errors
    /// When the folder can't be made, read or written, or when another process serves from it.
    pub async fn open(config: Config) -> Result<Arc<Self>, Error> {
        blocking(move || {
            let shelf = Shelf::open(&config)?;
            let checks = Default::default();
            Ok(Arc::new(Self { shelf, checks }))
        })
        .await
    }

    /// The most that blobs may take together, in bytes; `None` for no limit.
    pub fn max_size(&self) -> Option<u64> {
        self.shelf.index.max_size()
    }

    /// How much is stored now.
    pub fn usage(&self) -> Usage {
        self.shelf.index.usage()
    }

    /// How much was evicted, since the start.
    pub fn evictions(&self) -> Evictions {
        self.shelf.index.evictions()
    }

    /// Waits until all that was stored before the start is counted.
    pub async fn indexed(&self) {
        loop {
            let mut changed = pin!(self.shelf.index.changed.notified());
            changed.as_mut().enable();
            if self.usage().indexed {
                return;
            }
            changed.await;
        }
    }

    /// The blob, if it is stored and linked to `repository`. Counts as a use. One whose file was
    /// altered since it was stored is hashed first, which takes as long as reading it; where it is
    /// wrong it is removed, and counts as not stored.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Blob>, Error> {
        let folder = self.shelf.layout.repository(repository).layer(digest);
        let wanted = digest.clone();
        let looked = self.with(move |shelf| match links::opens(&folder, &wanted)? {
            true => shelf.look(&wanted),
            false => Ok(Look::Absent),
        });
        self.settle(digest, looked.await?).await
    }

    /// The blob, if it is stored, whoever may open it; as [`Store::blob`] in all else. For callers
    /// that have just heard from the upstream that the repository has it.
    pub async fn blob_of_any(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let looked = self.look(digest).await?;
        self.settle(digest, looked).await
    }

    /// What a look found, once it is known whether that is right.
    async fn settle(&self, digest: &Digest, looked: Look) -> Result<Option<Blob>, Error> {
        match looked {
            Look::Absent => return Ok(None),
            Look::Right(blob) => return Ok(Some(blob)),
            Look::Doubtful(_) => {}
        }
        let number = usize::from_str_radix(&digest.hex()[..1], 16).unwrap_or_default();
        let _check = self.checks[number].lock().await;
        for _ in 0..CHECKS {
            match self.look(digest).await? {
                Look::Absent => break,
                Look::Right(blob) => return Ok(Some(blob)),
                Look::Doubtful(doubt) => {
                    let digest = digest.clone();
                    self.with(move |shelf| shelf.check(&digest, &doubt)).await?;
                }
            }
        }
        Ok(None)
    }

    async fn look(&self, digest: &Digest) -> Result<Look, Error> {
        let digest = digest.clone();
        self.with(move |shelf| shelf.look(&digest)).await
    }

    /// Whether `repository` may open the blob, stored or not.
    pub async fn is_linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let folder = self.shelf.layout.repository(repository).layer(digest);
        let digest = digest.clone();
        blocking(move || links::opens(&folder, &digest)).await
    }

    /// Lets `repository` open the blobs from now on, whether they are stored yet or not. For callers
    /// that have just heard from the upstream that the repository has them.
    pub async fn link_blobs(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> Result<(), Error> {
        let folder = self.shelf.layout.repository(repository);
        let digests = digests.to_vec();
        self.with(move |shelf| {
            shelf.stay()?;
            links::open_blobs(&shelf.layout, &folder, &digests)
        })
        .await
    }

    /// The manifest, if it is stored and linked to `repository`. Counts as a use. One whose bytes
    /// are not what its digest says counts as not stored.
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.with(move |shelf| manifests::get(shelf, &repository, &digest))
            .await
    }

    /// Stores a manifest whose digest the caller has verified, and links it to `repository`. The
    /// blobs that it names are noted, for [`gc`] and for a registry that serves the folder, but not
    /// opened by that: whoever writes a manifest may name what is not theirs. The manifests that an
    /// index names are not even noted: the registry may not hold them all. Durable when this
    /// returns.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let repository = repository.clone();
        let sent = Sent {
            digest: digest.clone(),
            media_type: media_type.to_owned(),
            bytes,
        };
        self.with(move |shelf| {
            shelf.stay()?;
            shelf.make_room(sent.bytes.len() as u64)?;
            manifests::put(shelf, &repository, &sent)
        })
        .await
    }

    /// Forgets that `repository` has the manifest. What the manifest names stays linked until
    /// [`gc`] runs.
    pub async fn unlink_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), Error> {
        let folder = self.shelf.layout.repository(repository).revision(digest);
        self.with(move |shelf| {
            durable::detach(&shelf.layout.tmp(), &folder).at(&folder)?;
            Ok(())
        })
        .await
    }

    /// What the tag pointed to when last heard.
    pub async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRecord>, Error> {
        let folder = self.shelf.layout.repository(repository).tag(tag);
        blocking(move || links::tag(&folder)).await
    }

    /// The tag points to `digest`, confirmed now. Durable when this returns, but for the time of a
    /// tag that did not move.
    pub async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        let (repository, tag, digest) = (repository.clone(), tag.clone(), digest.clone());
        self.with(move |shelf| {
            shelf.stay()?;
            shelf.make_room(0)?;
            links::put_tag(&shelf.layout, &repository, &tag, &digest)
        })
        .await
    }

    /// The tag is gone.
    pub async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        let folder = self.shelf.layout.repository(repository).tag(tag);
        self.with(move |shelf| links::remove_tag(&shelf.layout, &folder).map(drop))
            .await
    }

    /// The tags of `repository` that are stored, sorted as bytes.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let folder = self.shelf.layout.repository(repository);
        blocking(move || links::tags(&folder)).await
    }

    /// All repositories of an upstream that have a manifest, sorted as bytes.
    pub async fn repositories(&self, upstream: &UpstreamName) -> Result<Vec<Name>, Error> {
        let component = upstream.path_component();
        self.with(move |shelf| manifests::repositories(&shelf.layout, &component))
            .await
    }

    /// Whether the store can take writes now: a file is written, synced and removed. Where the disk
    /// is full, the least recently used goes for it; where the folder was removed, a new store is
    /// begun.
    ///
    /// # Errors
    /// When it can't; the error says why, and what to do.
    pub async fn probe(&self) -> Result<(), Error> {
        self.with(move |shelf| {
            shelf.stay()?;
            shelf.make_room(0)?;
            let tmp = shelf.layout.tmp();
            let mut probe = durable::temp(&tmp).at(&tmp)?;
            probe.write_all(&[0; 4096]).at(&tmp)?;
            probe.as_file().sync_all().at(&tmp)?;
            probe.close().at(&tmp)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shelf) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shelf = Arc::clone(&self.shelf);
        blocking(move || work(&shelf)).await
    }
}

impl Blob {
    /// Whether nobody has altered the file since it was opened, as far as its mtime tells. What was
    /// read before is right where this is so afterwards.
    pub fn is_unaltered(&self) -> bool {
        let now = self.file.metadata();
        now.is_ok_and(|now| Stamp::of(&now).has_content_of(&self.stamp))
    }

    /// The file can't be read, or not all of it: it is hashed before it is served again, and goes
    /// where that is no better.
    pub fn doubt(&self) {
        // Refused on a disk that is read-only: then nothing can be healed either.
        let _ = seal::remove(&self.file);
    }
}

/// How often a blob is looked at again that is altered whenever it has been hashed.
const CHECKS: usize = 5;

/// Runs `work` on the blocking pool, to its end even where the future is dropped.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Stopped),
        },
    }
}
