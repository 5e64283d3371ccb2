//! Takes images out of a store and puts them in, from outside: for places that no network reaches.
//!
//! Works beside a process that serves from it, which finds what was put in when it is asked for, and
//! counts it from then on. While it works on a store that nobody serves from, it keeps others from
//! beginning to.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::NamedTempFile;

use super::Config;
use super::Error;
use super::durable;
use super::durable::Durability;
use super::error::At as _;
use super::error::found;
use super::layout::Layout;
use super::links;
use super::lock::Lock;
use super::manifests;
use super::manifests::MEDIA_TYPE;
use super::seal;
use super::walk;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::Manifest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

/// A store, from outside. All of it blocks.
#[derive(Debug)]
pub struct Outside {
    layout: Layout,
    /// Held where nobody serves.
    _lock: Option<Lock>,
}

/// A stored manifest, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// As the upstream called it.
    pub media_type: Arc<str>,
    /// Its bytes, which have its digest.
    pub bytes: Bytes,
}

/// A blob that is being put in: `commit` publishes it, a drop leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    layout: Layout,
    temp: NamedTempFile,
    hasher: Hasher,
    digest: Digest,
}

impl Outside {
    /// A store that is there, to take from.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            layout: Layout::existing(&config.path)?,
            _lock: None,
        })
    }

    /// A store to put into, which is made where there is none.
    ///
    /// # Errors
    /// When the folder can't be written.
    pub fn enter(config: &Config) -> Result<Self, Error> {
        let layout = Layout::new(&config.path);
        let lock = Lock::take(&layout)?;
        for folder in [layout.blobs(), layout.repositories()] {
            durable::make_folders(&folder).at(&folder)?;
        }
        Ok(Self {
            layout,
            _lock: lock,
        })
    }

    /// What a tag points to.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn tag(&self, repository: &Repository, tag: &Tag) -> Result<Option<Digest>, Error> {
        let folder = self.layout.repository(repository).tag(tag);
        Ok(links::tag(&folder)?.map(|record| record.digest))
    }

    /// The tags of a repository.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        links::tags(&self.layout.repository(repository))
    }

    /// The repositories of an upstream, sorted as bytes.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn repositories(&self, upstream: &UpstreamName) -> Result<Vec<Name>, Error> {
        let folder = self.layout.repositories().join(upstream.path_component());
        let mut found = Vec::new();
        walk::below(&folder, "", &mut found)?;
        let mut names: Vec<Name> = found.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// What refers to the manifests of a repository, by their digests.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn subjects(&self, repository: &Repository) -> Result<HashMap<Digest, Vec<Digest>>, Error> {
        manifests::subjects(&self.layout, repository)
    }

    /// A manifest of a repository; `None` where it is not stored, or damaged.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Stored>, Error> {
        let folder = self.layout.repository(repository);
        let Some(content) = manifests::linked(&self.layout, &folder, digest)? else {
            return Ok(None);
        };
        Ok(Some(Stored {
            media_type: manifests::media_type(&folder, digest, &content)?,
            bytes: content.into(),
        }))
    }

    /// A stored blob's file, and its length in bytes. What is in it is not looked at.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, Error> {
        let Some(size) = walk::size(&self.layout, digest)? else {
            return Ok(None);
        };
        let path = self.layout.blob(digest);
        let file = found(File::open(&path)).at(&path)?;
        Ok(file.map(|file| (file, size)))
    }

    /// Opens a blob to `repository`, and begins to put it in; `None` where it is stored, and right.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Incoming>, Error> {
        let folder = self.layout.repository(repository);
        links::open_blobs(&self.layout, &folder, std::slice::from_ref(digest))?;
        self.incoming(digest)
    }

    /// Opens blobs that are there to `repository`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open_blobs(&self, repository: &Repository, digests: &[Digest]) -> Result<(), Error> {
        let folder = self.layout.repository(repository);
        links::open_blobs(&self.layout, &folder, digests)
    }

    /// Begins to put content in that no repository has yet; `None` where it is stored, and right.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put(&self, digest: &Digest) -> Result<Option<Incoming>, Error> {
        self.incoming(digest)
    }

    /// Those of `digests` that are not stored.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn lacking<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<Vec<Digest>, Error> {
        let mut lacking = Vec::new();
        for digest in digests {
            if walk::size(&self.layout, digest)?.is_none() {
                lacking.push(digest.clone());
            }
        }
        Ok(lacking)
    }

    fn incoming(&self, digest: &Digest) -> Result<Option<Incoming>, Error> {
        if self.is_right(digest)? {
            return Ok(None);
        }
        let tmp = self.layout.tmp();
        durable::make_folders(&tmp).at(&tmp)?;
        Ok(Some(Incoming {
            layout: self.layout.clone(),
            temp: durable::temp(&tmp).at(&tmp)?,
            hasher: Hasher::new(digest.algorithm()),
            digest: digest.clone(),
        }))
    }

    /// Whether a blob is stored and has its digest. A file without its seal is hashed.
    fn is_right(&self, digest: &Digest) -> Result<bool, Error> {
        let Some((mut file, _)) = self.blob(digest)? else {
            return Ok(false);
        };
        let path = self.layout.blob(digest);
        if seal::holds(&file.metadata().at(&path)?, digest) {
            return Ok(true);
        }
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer).at(&path)? {
                0 => return Ok(hasher.finish() == *digest),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// Puts a manifest in, whose blobs are there. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses, or the bytes have another digest.
    pub fn put_manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
        manifest: &Stored,
    ) -> Result<(), Error> {
        let folder = self.layout.repository(repository);
        let named = Manifest::parse(&manifest.bytes).blobs;
        links::name_blobs(&self.layout, &folder, &named)?;
        if let Some(mut incoming) = self.incoming(digest)? {
            incoming.write(&manifest.bytes)?;
            incoming.commit()?;
        }
        let revision = folder.revision(digest);
        durable::make_folders(&revision).at(&revision)?;
        let (tmp, path) = (self.layout.tmp(), revision.join(MEDIA_TYPE));
        let media_type = manifest.media_type.as_bytes();
        durable::put(&tmp, &path, media_type, Durability::Relaxed).at(&path)?;
        links::link(&self.layout, &revision, digest, Durability::Synced)
    }

    /// Points a tag to a manifest that is there, as if its upstream had just said so.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        links::put_tag(&self.layout, repository, tag, digest)
    }

    /// Whether all of these are stored.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn has_all<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<bool, Error> {
        for digest in digests {
            if walk::size(&self.layout, digest)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Incoming {
    /// Its next bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hasher.update(bytes);
        self.temp.write_all(bytes).at(self.temp.path())
    }

    /// Publishes it. Durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses, or it has another digest: nothing is published then.
    pub fn commit(self) -> Result<(), Error> {
        let (file, temp) = self.temp.into_parts();
        let path = self.layout.blob(&self.digest);
        let got = self.hasher.finish();
        if got != self.digest {
            let wrong = format!("what came for it has the digest {got}");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, wrong)).at(&path);
        }
        seal::put(&file, &self.digest).at(&path)?;
        file.sync_data().at(&path)?;
        durable::place(temp, &path)
            .and_then(durable::Placed::sync)
            .at(&path)
    }
}
