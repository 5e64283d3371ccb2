use std::collections::HashMap;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;

use super::Blob;
use super::Config;
use super::Error;
use super::Evictions;
use super::Lookup;
use super::StoredManifest;
use super::TagRecord;
use super::Usage;
use super::blocking;
use super::durable;
use super::error::At as _;
use super::links;
use super::manifests;
use super::manifests::Sent;
use super::shelf::Look;
use super::shelf::Shelf;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;

/// A store that keeps what it is given: [`super::Store`]'s methods are these.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) shelf: Arc<Shelf>,
    /// Held by who hashes a blob, one for each leading hex digit: whoever else wants that blob
    /// waits, and finds it hashed.
    checks: [tokio::sync::Mutex<()>; 16],
}

/// How often a blob is looked at again that is altered whenever it has been hashed.
const CHECKS: usize = 5;

/// What these promise is said of [`super::Store`]'s.
impl Kept {
    pub(super) async fn open(config: Config) -> Result<Self, Error> {
        blocking(move || {
            let shelf = Shelf::open(&config)?;
            let checks = Default::default();
            Ok(Self { shelf, checks })
        })
        .await
    }

    pub(super) fn max_size(&self) -> Option<u64> {
        self.shelf.index.max_size()
    }

    pub(super) fn usage(&self) -> Usage {
        self.shelf.index.usage()
    }

    pub(super) fn evictions(&self) -> Evictions {
        self.shelf.index.evictions()
    }

    pub(super) async fn indexed(&self) {
        loop {
            let mut changed = pin!(self.shelf.index.changed.notified());
            changed.as_mut().enable();
            if self.usage().indexed {
                return;
            }
            changed.await;
        }
    }

    pub(super) async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Blob>, Error> {
        let folder = self.shelf.layout.repository(repository).layer(digest);
        if let Some(blob) = self.shelf.glance(&folder, digest) {
            return Ok(Some(blob));
        }
        let wanted = digest.clone();
        let looked = self.with(move |shelf| match links::opens(&folder, &wanted)? {
            true => shelf.look(&wanted),
            false => Ok(Look::Absent),
        });
        self.settle(digest, looked.await?).await
    }

    pub(super) async fn look_up(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Lookup, Error> {
        let folder = self.shelf.layout.repository(repository).layer(digest);
        if let Some(blob) = self.shelf.glance(&folder, digest) {
            return Ok(Lookup::Open(blob));
        }
        let wanted = digest.clone();
        let looked =
            self.with(move |shelf| Ok((links::opens(&folder, &wanted)?, shelf.look(&wanted)?)));
        let (is_open, looked) = looked.await?;
        Ok(match self.settle(digest, looked).await? {
            Some(blob) if is_open => Lookup::Open(blob),
            Some(_) => Lookup::Held,
            None => Lookup::Absent,
        })
    }

    pub(super) async fn blob_of_any(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        if self.shelf.lacks(digest) {
            return Ok(None);
        }
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

    pub(super) async fn is_linked(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let folder = self.shelf.layout.repository(repository).layer(digest);
        let digest = digest.clone();
        blocking(move || links::opens(&folder, &digest)).await
    }

    pub(super) async fn link_blobs(
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

    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<StoredManifest>, Error> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.with(move |shelf| manifests::get(shelf, &repository, &digest))
            .await
    }

    pub(super) async fn put_manifest(
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

    pub(super) async fn unlink_manifest(
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

    pub(super) async fn tag(
        &self,
        repository: &Repository,
        tag: &Tag,
    ) -> Result<Option<TagRecord>, Error> {
        let folder = self.shelf.layout.repository(repository).tag(tag);
        blocking(move || links::tag(&folder)).await
    }

    pub(super) async fn put_tag(
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

    pub(super) async fn remove_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        let folder = self.shelf.layout.repository(repository).tag(tag);
        self.with(move |shelf| links::remove_tag(&shelf.layout, &folder).map(drop))
            .await
    }

    pub(super) async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let folder = self.shelf.layout.repository(repository);
        blocking(move || links::tags(&folder)).await
    }

    pub(super) async fn subjects(
        &self,
        repository: &Repository,
    ) -> Result<HashMap<Digest, Vec<Digest>>, Error> {
        let repository = repository.clone();
        self.with(move |shelf| manifests::subjects(&shelf.layout, &repository))
            .await
    }

    pub(super) async fn repositories(&self, upstream: &UpstreamName) -> Result<Vec<Name>, Error> {
        let component = upstream.path_component();
        self.with(move |shelf| manifests::repositories(&shelf.layout, &component))
            .await
    }

    pub(super) async fn is_linked_anywhere(
        &self,
        upstream: &UpstreamName,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let (component, digest) = (upstream.path_component(), digest.clone());
        self.with(move |shelf| links::any_opens(&shelf.layout, &component, &digest))
            .await
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
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
