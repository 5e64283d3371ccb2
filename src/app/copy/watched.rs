use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry::Content;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Supply;

/// How far a copy is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes of blobs that were read so far, and all that there are; 0 of 0 until that is known. What
    /// the target has already is not read.
    pub fn bytes(&self) -> (u64, u64) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total)
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn expect(&self, total: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
    }
}

/// A source's content, counted as it is read, whatever repository it is asked for in: that of the
/// target is called otherwise.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) source: Arc<dyn Supply>,
    pub(super) repository: Repository,
    pub(super) progress: Arc<Progress>,
}

impl Supply for Watched {
    fn manifest<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        self.source.manifest(&self.repository, digest, cause)
    }

    fn blob<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let content = self.source.blob(&self.repository, digest, cause).await?;
            let progress = self.progress.clone();
            let count = move |chunk: &Result<bytes::Bytes, _>| {
                let read = chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
                progress.done.fetch_add(read, Ordering::Relaxed);
            };
            Ok(Content {
                size: content.size,
                chunks: content.chunks.inspect(count).boxed(),
            })
        }
        .boxed()
    }
}
