use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::OnceLock;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;

use super::Error;
use super::Reference;
use crate::layout;
use crate::layout::Blob;
use crate::layout::Chunks;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry::Content;
use crate::store::carry::Outside;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Supply;

/// What holds manifests and blobs on disk. Its methods block.
pub(super) trait Shelf: fmt::Debug + Send + Sync + 'static {
    /// A manifest; `None` where it is not there.
    fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, Error>;
    /// A blob; `None` where it is not there.
    fn blob(&self, digest: &Digest) -> Result<Option<Blob>, Error>;
    /// What refers to a manifest.
    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Error>;
    /// What its manifests are called.
    fn names(&self) -> Result<Vec<String>, Error>;
    /// The manifest that is called so.
    fn named(&self, name: &str) -> Result<Option<Digest>, Error>;
}

impl Shelf for layout::Source {
    fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, Error> {
        Ok(self.manifest(digest)?.map(|found| Manifest {
            media_type: found.media_type,
            bytes: found.bytes,
        }))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        Ok(self.blob(digest)?)
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Error> {
        Ok(self.referrers(subject)?)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self
            .images()
            .iter()
            .flat_map(|it| it.names.clone())
            .collect())
    }

    fn named(&self, name: &str) -> Result<Option<Digest>, Error> {
        let is_meant = |image: &&layout::Image| image.names.iter().any(|own| own == name);
        let found = self.images().iter().find(is_meant);
        Ok(found.map(|image| image.descriptor.digest.clone()))
    }
}

/// A repository of a store, from outside.
#[derive(Debug)]
pub(super) struct Kept {
    store: Arc<Outside>,
    pub(super) repository: Repository,
    /// What refers to what, read when it is first asked for.
    subjects: OnceLock<HashMap<Digest, Vec<Digest>>>,
}

impl Kept {
    /// The repository of `image`.
    pub(super) fn new(store: &Arc<Outside>, image: &Reference) -> Arc<Self> {
        Arc::new(Self {
            store: store.clone(),
            repository: image.repository.clone(),
            subjects: OnceLock::new(),
        })
    }

    /// Whether all of these are stored.
    pub(super) fn has_all<'a>(
        &self,
        digests: impl IntoIterator<Item = &'a Digest>,
    ) -> Result<bool, Error> {
        Ok(self.store.has_all(digests)?)
    }
}

impl Shelf for Kept {
    fn manifest(&self, digest: &Digest) -> Result<Option<Manifest>, Error> {
        let stored = self.store.manifest(&self.repository, digest)?;
        Ok(stored.map(|stored| Manifest {
            media_type: stored.media_type,
            bytes: stored.bytes,
        }))
    }

    fn blob(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let found = self.store.blob(digest)?;
        Ok(found.map(|(file, size)| Blob::of(file, size, digest)))
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>, Error> {
        let subjects = match self.subjects.get() {
            Some(subjects) => subjects,
            None => {
                let read = self.store.subjects(&self.repository)?;
                self.subjects.get_or_init(|| read)
            }
        };
        Ok(subjects.get(subject).cloned().unwrap_or_default())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let tags = self.store.tags(&self.repository)?;
        Ok(tags.iter().map(ToString::to_string).collect())
    }

    fn named(&self, name: &str) -> Result<Option<Digest>, Error> {
        match name.parse() {
            Ok(tag) => Ok(self.store.tag(&self.repository, &tag)?),
            Err(_) => Ok(None),
        }
    }
}

/// Gives errands what is on disk. Repositories mean nothing to it.
#[derive(Debug)]
pub(super) struct Disk(pub(super) Arc<dyn Shelf>);

impl Disk {
    async fn look<T: Send + 'static>(
        &self,
        digest: &Digest,
        work: impl FnOnce(&dyn Shelf, &Digest) -> Result<Option<T>, Error> + Send + 'static,
    ) -> Result<T, Missing> {
        let (shelf, wanted) = (self.0.clone(), digest.clone());
        let found = tokio::task::spawn_blocking(move || work(&*shelf, &wanted)).await;
        match found {
            Ok(Ok(Some(found))) => Ok(found),
            Ok(Ok(None)) => Err(Missing::Gone(format!("{digest} is not there"))),
            Ok(Err(error)) => Err(Missing::Gone(error.to_string())),
            Err(error) => Err(Missing::Later(error.to_string())),
        }
    }
}

impl Supply for Disk {
    fn manifest<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        self.look(digest, |shelf, digest| shelf.manifest(digest))
            .boxed()
    }

    fn blob<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let found = self
                .look(digest, |shelf, digest| shelf.blob(digest))
                .await?;
            let size = found.size();
            let chunks = stream::unfold(Some(found.chunks()), next).boxed();
            Ok(Content { size, chunks })
        }
        .boxed()
    }
}

type Chunk = Result<bytes::Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// One chunk more, read where waiting is allowed.
async fn next(chunks: Option<Chunks>) -> Option<(Chunk, Option<Chunks>)> {
    let mut chunks = chunks?;
    let read = tokio::task::spawn_blocking(move || (chunks.next(), chunks)).await;
    match read {
        Ok((Some(Ok(chunk)), rest)) => Some((Ok(chunk), Some(rest))),
        Ok((Some(Err(error)), _)) => Some((Err(error.into()), None)),
        Ok((None, _)) => None,
        Err(error) => Some((Err(error.into()), None)),
    }
}
