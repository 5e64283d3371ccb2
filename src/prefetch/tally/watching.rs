use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;

use super::Tally;
use crate::oci;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry::Content;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Supply;

/// A supply, whose content is counted as it is read.
#[derive(Debug)]
struct Watching {
    supply: Arc<dyn Supply>,
    tally: Arc<Tally>,
}

impl Tally {
    /// The same supply, whose content is counted for the runs that it is read for.
    pub fn watching(self: &Arc<Self>, supply: Arc<dyn Supply>) -> Arc<dyn Supply> {
        let tally = self.clone();
        Arc::new(Watching { supply, tally })
    }
}

impl Supply for Watching {
    fn manifest<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        async move {
            let manifest = self.supply.manifest(repository, digest, cause).await?;
            if let Some(meter) = self.tally.meter(cause.flow) {
                meter.expect(&oci::Manifest::parse(&manifest.bytes));
            }
            Ok(manifest)
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let content = self.supply.blob(repository, digest, cause).await?;
            let Some(meter) = self.tally.meter(cause.flow) else {
                return Ok(content);
            };
            let (digest, mut read) = (digest.clone(), 0);
            let count = move |chunk: &Result<bytes::Bytes, _>| {
                read += chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
                meter.came(&digest, read);
            };
            Ok(Content {
                size: content.size,
                chunks: content.chunks.inspect(count).boxed(),
            })
        }
        .boxed()
    }
}
