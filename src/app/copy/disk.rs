use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;

use crate::layout;
use crate::layout::Chunks;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry::Content;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Supply;

/// What holds manifests and blobs on disk. Its methods block.
pub(super) trait Shelf: fmt::Debug + Send + Sync + 'static {
    /// A manifest; `None` where it is not there.
    fn manifest(&self, digest: &Digest) -> Result<Option<layout::Manifest>, layout::Error>;
    /// A blob; `None` where it is not there.
    fn blob(&self, digest: &Digest) -> Result<Option<layout::Blob>, layout::Error>;
}

impl Shelf for layout::Source {
    fn manifest(&self, digest: &Digest) -> Result<Option<layout::Manifest>, layout::Error> {
        self.manifest(digest)
    }

    fn blob(&self, digest: &Digest) -> Result<Option<layout::Blob>, layout::Error> {
        self.blob(digest)
    }
}

/// Gives errands what is on disk. Repositories mean nothing to it.
#[derive(Debug)]
pub(super) struct Disk<S>(pub(super) Arc<S>);

impl<S: Shelf> Disk<S> {
    async fn look<T: Send + 'static>(
        &self,
        digest: &Digest,
        work: impl FnOnce(&S, &Digest) -> Result<Option<T>, layout::Error> + Send + 'static,
    ) -> Result<T, Missing> {
        let (shelf, wanted) = (self.0.clone(), digest.clone());
        let found = tokio::task::spawn_blocking(move || work(&shelf, &wanted)).await;
        match found {
            Ok(Ok(Some(found))) => Ok(found),
            Ok(Ok(None)) => Err(Missing::Gone(format!("{digest} is not there"))),
            Ok(Err(error)) => Err(Missing::Gone(error.to_string())),
            Err(error) => Err(Missing::Later(error.to_string())),
        }
    }
}

impl<S: Shelf> Supply for Disk<S> {
    fn manifest<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        async move {
            let found = self.look(digest, S::manifest).await?;
            Ok(Manifest {
                media_type: found.media_type,
                bytes: found.bytes,
            })
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let found = self.look(digest, S::blob).await?;
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
