//! An image, into the store.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::image::Image;
use super::rehearsal::Overlay;
use super::tree::Tree;
use crate::flow::Kept;
use crate::oci::Descriptor;
use crate::prefetch::Delivery;
use crate::prefetch::ItemOutcome;
use crate::target::Supply;

/// Blobs of one image at a time.
const AT_ONCE: usize = 8;

impl Image<'_> {
    /// All manifests that are wanted, their blobs, and the tag last.
    ///
    /// # Errors
    /// What went wrong first. What has come is kept.
    pub(super) async fn keep(&self) -> Result<Delivery, String> {
        let flow = &self.run.world.flow;
        let tree = self.tree().await?;
        let kept = tree.blobs.iter().map(|blob| self.keep_blob(blob));
        let mut kept = stream::iter(kept.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let (mut delivery, mut failed) = (Delivery::default(), None);
        while let Some(kept) = kept.next().await {
            match kept {
                Ok(kept) if kept.was_there => self.run.record().traffic.known += 1,
                Ok(kept) => {
                    delivery.uploads += 1;
                    delivery.upload_bytes += kept.bytes;
                }
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        if let Some(tag) = self.tag {
            let told = flow.keep_tag(self.repository, tag, &self.digest).await;
            told.map_err(|error| error.to_string())?;
        }
        let is_new = match self.tag {
            Some(_) => self.before.as_ref() != Some(&self.digest),
            None => self.meter.traffic().source_requests > 0,
        };
        if is_new || delivery.uploads > 0 {
            delivery.outcome = ItemOutcome::Copied;
        }
        Ok(delivery)
    }

    async fn keep_blob(&self, blob: &Descriptor) -> Result<Kept, String> {
        let flow = &self.run.world.flow;
        let kept = flow.keep_blob(self.repository, blob, self.cause).await;
        let kept = kept.map_err(|missing| missing.to_string())?;
        self.meter.came(&blob.digest, kept.bytes);
        Ok(kept)
    }

    /// The manifests of it that are wanted, read from wherever they are.
    pub(super) async fn tree(&self) -> Result<Tree, String> {
        let supply: Arc<dyn Supply> = self.run.supply();
        let root = (self.repository, &self.digest);
        let tree = Tree::read(&*supply, root, &self.platforms, self.cause).await;
        tree.map_err(|missing| missing.to_string())
    }
}

impl super::Run {
    fn supply(&self) -> Arc<dyn Supply> {
        let source = self.world.tally.watching(self.world.flow.supply());
        match &self.rehearsal {
            None => source,
            Some(rehearsal) => Arc::new(Overlay {
                rehearsal: rehearsal.clone(),
                source,
            }),
        }
    }
}
