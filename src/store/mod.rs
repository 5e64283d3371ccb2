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
//! [`inspect`], [`verify`], [`gc`], [`remove`] and [`carry`] look at a store from outside. They work beside a
//! process that serves from it: it treats what vanished as not stored, and its readers keep what
//! they have open.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

pub mod carry;
mod check;
mod content;
mod disk;
mod durable;
mod error;
pub mod gc;
mod glance;
mod home;
mod index;
pub mod inspect;
mod kept;
mod layout;
mod links;
mod lock;
mod manifests;
pub mod remove;
mod scan;
mod seal;
mod shelf;
mod spool;
pub mod verify;
mod walk;
mod writer;

pub use content::Blob;
pub use content::Lookup;
pub use content::StoredManifest;
pub use content::TagRecord;
pub use error::Error;
pub use index::Evictions;
pub use index::Usage;
pub use writer::Relief;
pub use writer::Writer;

use kept::Kept;
use spool::Spool;

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
pub struct Store(Kind);

#[derive(Debug)]
enum Kind {
    Kept(Box<Kept>),
    Spool(Arc<Spool>),
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
        let kept = Kept::open(config).await?;
        Ok(Arc::new(Self(Kind::Kept(Box::new(kept)))))
    }

    /// A store that keeps nothing: what is being fetched is in files without a name, in a folder of
    /// its own below [`Config::path`], and goes when its last reader ends. Manifests, tags and
    /// permissions are in memory. `max_size` bounds what is being written and read.
    ///
    /// # Errors
    /// When the folder can't be made or emptied.
    pub async fn spool(config: Config) -> Result<Arc<Self>, Error> {
        let spool = blocking(move || Spool::open(&config)).await?;
        Ok(Arc::new(Self(Kind::Spool(Arc::new(spool)))))
    }

    /// The most that blobs may take together, in bytes; `None` for no limit.
    pub fn max_size(&self) -> Option<u64> {
        match &self.0 {
            Kind::Kept(kept) => kept.max_size(),
            Kind::Spool(spool) => spool.max_size(),
        }
    }

    /// How much is stored now.
    pub fn usage(&self) -> Usage {
        match &self.0 {
            Kind::Kept(kept) => kept.usage(),
            Kind::Spool(spool) => spool.usage(),
        }
    }

    /// How much was evicted, since the start.
    pub fn evictions(&self) -> Evictions {
        match &self.0 {
            Kind::Kept(kept) => kept.evictions(),
            Kind::Spool(_) => Evictions::default(),
        }
    }

    /// Waits until all that was stored before the start is counted.
    pub async fn indexed(&self) {
        if let Kind::Kept(kept) = &self.0 {
            kept.indexed().await;
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
        match &self.0 {
            Kind::Kept(kept) => kept.blob(repository, digest).await,
            Kind::Spool(spool) => Ok(spool
                .blob(digest)
                .filter(|_| spool.is_opened(repository, digest))),
        }
    }

    /// As [`Store::blob`]; where that finds nothing, whether others have the blob, too.
    pub async fn look_up(&self, repository: &Repository, digest: &Digest) -> Result<Lookup, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.look_up(repository, digest).await,
            Kind::Spool(spool) => Ok(spool.look_up(repository, digest)),
        }
    }

    /// The blob, if it is stored, whoever may open it; as [`Store::blob`] in all else. For callers
    /// that have just heard from the upstream that the repository has it.
    pub async fn blob_of_any(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.blob_of_any(digest).await,
            Kind::Spool(spool) => Ok(spool.blob(digest)),
        }
    }

    /// Where nothing is kept: the blob stays without a reader, until [`Store::let_go`] or its room
    /// is wanted. `was_read` says whether a client has had it.
    pub fn linger(&self, blob: &Blob, was_read: bool) {
        if let Kind::Spool(spool) = &self.0 {
            spool.linger(&blob.file, was_read);
        }
    }

    /// Lets go of what lingers: of all, or only of what clients have read.
    pub fn let_go(&self, unread_too: bool) {
        if let Kind::Spool(spool) = &self.0 {
            spool.let_go(unread_too);
        }
    }

    /// Whether it keeps what it is given.
    pub fn keeps(&self) -> bool {
        matches!(self.0, Kind::Kept(_))
    }

    /// Whether `repository` may open the blob, stored or not.
    pub async fn is_linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.is_linked(repository, digest).await,
            Kind::Spool(spool) => Ok(spool.is_opened(repository, digest)),
        }
    }

    /// Whether any repository of `upstream` may open the blob, stored or not. It looks at each of them.
    pub async fn is_linked_anywhere(
        &self,
        upstream: &UpstreamName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.is_linked_anywhere(upstream, digest).await,
            Kind::Spool(spool) => Ok(spool.is_opened_anywhere(upstream, digest)),
        }
    }

    /// The blob goes before others where room is wanted, until somebody uses it again: nobody here is
    /// known to want it.
    pub fn let_cool(&self, digest: &Digest) {
        if let Kind::Kept(kept) = &self.0 {
            kept.shelf.index.cool(digest);
        }
    }

    /// Lets `repository` open the blobs from now on, whether they are stored yet or not. For callers
    /// that have just heard from the upstream that the repository has them.
    pub async fn link_blobs(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> Result<(), Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.link_blobs(repository, digests).await,
            Kind::Spool(spool) => {
                spool.let_open(repository, digests);
                Ok(())
            }
        }
    }

    /// The manifest, if it is stored and linked to `repository`. Counts as a use. One whose bytes
    /// are not what its digest says counts as not stored.
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.manifest(repository, digest).await,
            Kind::Spool(spool) => Ok(spool.manifest(repository, digest)),
        }
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
        match &self.0 {
            Kind::Kept(kept) => {
                kept.put_manifest(repository, digest, media_type, bytes)
                    .await
            }
            Kind::Spool(spool) => {
                let manifest = StoredManifest {
                    bytes,
                    media_type: media_type.into(),
                    stored: SystemTime::now(),
                };
                spool.put_manifest(repository, digest, manifest);
                Ok(())
            }
        }
    }

    /// Forgets that `repository` has the manifest. What the manifest names stays linked until
    /// [`gc`] runs.
    pub async fn unlink_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.unlink_manifest(repository, digest).await,
            Kind::Spool(spool) => {
                spool.unlink_manifest(repository, digest);
                Ok(())
            }
        }
    }

    /// What the tag pointed to when last heard.
    pub async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRecord>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.tag(repository, tag).await,
            Kind::Spool(spool) => Ok(spool.tag(repository, tag)),
        }
    }

    /// The tag points to `digest`, confirmed now. Durable when this returns, but for the time of a
    /// tag that did not move.
    pub async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.put_tag(repository, tag, digest).await,
            Kind::Spool(spool) => {
                spool.put_tag(repository, tag, digest);
                Ok(())
            }
        }
    }

    /// The tag is gone.
    pub async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.remove_tag(repository, tag).await,
            Kind::Spool(spool) => {
                spool.remove_tag(repository, tag);
                Ok(())
            }
        }
    }

    /// The tags of `repository` that are stored, sorted as bytes.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.tags(repository).await,
            Kind::Spool(spool) => Ok(spool.tags(repository)),
        }
    }

    /// What refers to the manifests of a repository, by their digests; nothing where the store keeps
    /// nothing. All its manifests are read.
    pub async fn subjects(
        &self,
        repository: &Repository,
    ) -> Result<HashMap<Digest, Vec<Digest>>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.subjects(repository).await,
            Kind::Spool(_) => Ok(HashMap::new()),
        }
    }

    /// All repositories of an upstream that have a manifest, sorted as bytes.
    pub async fn repositories(&self, upstream: &UpstreamName) -> Result<Vec<Name>, Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.repositories(upstream).await,
            Kind::Spool(spool) => Ok(spool.repositories(upstream)),
        }
    }

    /// Whether the store can take writes now: a file is written, synced and removed. Where the disk
    /// is full, the least recently used goes for it; where the folder was removed, a new store is
    /// begun.
    ///
    /// # Errors
    /// When it can't; the error says why, and what to do.
    pub async fn probe(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Kept(kept) => kept.probe().await,
            Kind::Spool(spool) => {
                let spool = Arc::clone(spool);
                blocking(move || spool.probe()).await
            }
        }
    }
}

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
