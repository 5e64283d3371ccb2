//! The embedded content-addressable store, in CNCF Distribution's on-disk layout.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;

use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

mod error;
pub use error::Error;

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
pub struct Store {}

/// A committed blob, open for reading: it stays readable, whatever happens to its name, until
/// this is dropped, and it is not evicted as long.
#[derive(Clone, Debug)]
pub struct Blob {
    /// The file, at an offset of no meaning: read it with positioned reads only.
    pub file: Arc<File>,
    /// Its length, in bytes.
    pub size: u64,
    /// When it was committed.
    pub stored: SystemTime,
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

/// A blob that is being written: `commit` publishes it, a drop leaves nothing.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// The growing file, for positioned writes and reads.
    pub fn file(&self) -> &Arc<File> {
        todo!()
    }

    /// Publishes the file as `digest`, which the caller has verified, and links it into
    /// `repositories`. Durable when this returns: file synced, renamed, folder synced.
    ///
    /// # Errors
    /// When the disk refuses; nothing is published then.
    pub async fn commit(self, digest: &Digest, repositories: &[Repository]) -> Result<Blob, Error> {
        let _ = (digest, repositories);
        todo!()
    }
}

impl Store {
    /// Opens the store, making it where there is none, and removes what a crash left half-written.
    ///
    /// # Errors
    /// When the folder can't be made, read or written, or when another process serves from it.
    pub async fn open(config: Config) -> Result<Arc<Self>, Error> {
        let _ = config;
        todo!()
    }

    /// The blob, if it is stored and linked to `repository`. Counts as a use.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Blob>, Error> {
        let _ = (repository, digest);
        todo!()
    }

    /// The blob, if it is stored, whoever may open it. For callers that have just heard from the
    /// upstream that the repository has it. Counts as a use.
    pub async fn blob_of_any(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let _ = digest;
        todo!()
    }

    /// Whether `repository` may open the blob, stored or not.
    pub async fn is_linked(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let _ = (repository, digest);
        todo!()
    }

    /// Lets `repository` open the blobs from now on, whether they are stored yet or not.
    pub async fn link_blobs(
        &self,
        repository: &Repository,
        digests: &[Digest],
    ) -> Result<(), Error> {
        let _ = (repository, digests);
        todo!()
    }

    /// A writer for a blob of about `expected` bytes: room is made for them.
    pub async fn writer(&self, expected: Option<u64>) -> Result<Writer, Error> {
        let _ = expected;
        todo!()
    }

    /// The manifest, if it is stored and linked to `repository`. Counts as a use.
    pub async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        let _ = (repository, digest);
        todo!()
    }

    /// Stores a manifest whose digest the caller has verified, and links it to `repository`.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<(), Error> {
        let _ = (repository, digest, media_type, bytes);
        todo!()
    }

    /// Forgets that `repository` has the manifest.
    pub async fn unlink_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _ = (repository, digest);
        todo!()
    }

    /// What the tag pointed to when last heard.
    pub async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRecord>, Error> {
        let _ = (repository, tag);
        todo!()
    }

    /// The tag points to `digest`, confirmed now.
    pub async fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        let _ = (repository, tag, digest);
        todo!()
    }

    /// The tag is gone.
    pub async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        let _ = (repository, tag);
        todo!()
    }

    /// The tags of `repository` that are stored, sorted as bytes.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let _ = repository;
        todo!()
    }

    /// All repositories of an upstream that have a manifest, sorted as bytes.
    pub async fn repositories(&self, upstream: &UpstreamName) -> Result<Vec<Name>, Error> {
        let _ = upstream;
        todo!()
    }

    /// Whether the store can take writes now: a file is written, synced and removed.
    pub async fn probe(&self) -> Result<(), Error> {
        let _ = Duration::ZERO;
        todo!()
    }
}
