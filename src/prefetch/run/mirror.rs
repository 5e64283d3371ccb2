//! An image, to a target.

use futures_util::FutureExt as _;

use super::image::Image;
use super::patience::patiently;
use crate::prefetch::Delivery;
use crate::prefetch::ItemOutcome;
use crate::prefetch::Traffic;
use crate::prefetch::Verify;
use crate::target;
use crate::target::Errand;
use crate::target::Mirrored;
use crate::target::Targets;
use crate::target::Wish;

impl Image<'_> {
    /// What is known to be at the target is looked at as the set wants it; the rest is brought.
    ///
    /// # Errors
    /// Why it is not there.
    pub(super) async fn mirror(&self, target: &str) -> Result<Delivery, String> {
        let targets = self.run.world.targets.as_ref();
        let targets = targets.ok_or_else(|| format!("there is no target '{target}'"))?;
        let wish = Wish::new(
            Errand {
                repository: self.repository.clone(),
                digest: self.digest.clone(),
                tag: self.tag.cloned(),
                flow: self.cause.flow,
            },
            self.platforms.clone(),
            self.cause.pace,
        );
        let bring = || self.bring(targets, target, &wish).boxed();
        let mirrored = patiently(bring).await.map_err(|error| error.to_string())?;
        let Some(mirrored) = mirrored else {
            return Ok(Delivery::default());
        };
        self.run.record().crossed(crossed(&mirrored));
        let brought = mirrored.uploads + mirrored.mounts + mirrored.manifests;
        Ok(Delivery {
            outcome: match brought {
                0 => ItemOutcome::Unchanged,
                _ => ItemOutcome::Copied,
            },
            uploads: mirrored.uploads,
            upload_bytes: mirrored.upload_bytes,
            mounts: mirrored.mounts,
            digest: mirrored.digest_put.map(|digest| digest.to_string()),
            ..Delivery::default()
        })
    }

    /// What it took to have it there; `None` where it is there already.
    async fn bring(
        &self,
        targets: &Targets,
        target: &str,
        wish: &Wish,
    ) -> Result<Option<Mirrored>, target::Error> {
        match self.is_there(targets, target, wish).await? {
            true => Ok(None),
            false => targets.mirror(target, wish.clone()).await.map(Some),
        }
    }

    /// Whether it is there, as far as the set wants to know.
    async fn is_there(
        &self,
        targets: &Targets,
        target: &str,
        wish: &Wish,
    ) -> Result<bool, target::Error> {
        if !targets.has(target, wish) {
            return Ok(false);
        }
        match (self.run.set.verify, self.tag) {
            (Verify::Deep, _) => {
                let checked = targets.check_deep(target, wish).await?;
                Ok(checked.missing == 0)
            }
            (Verify::Tags, Some(tag)) if !self.immutable => {
                let tag = (self.repository, tag);
                let flow = self.cause.flow;
                targets.check_tag(target, tag, &self.digest, flow).await
            }
            (Verify::Tags | Verify::Never, _) => Ok(true),
        }
    }
}

fn crossed(mirrored: &Mirrored) -> Traffic {
    Traffic {
        uploads: mirrored.uploads,
        mounts: mirrored.mounts,
        known: mirrored.known,
        ..Traffic::default()
    }
}
