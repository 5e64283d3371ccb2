//! What a store gives.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::seal;
use super::seal::Stamp;
use crate::oci::Digest;

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
    pub(super) stamp: Stamp,
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

/// What is stored of a blob, as one repository sees it.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The repository may open it.
    Open(Blob),
    /// It is there, for others.
    Held,
    /// It is not there.
    Absent,
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
