use std::time::Duration;

use super::Body;
use super::Call;
use super::Error;
use super::PullThrough;
use super::Served;
use super::breaker::is_outage;
use super::fan_out::Told;
use super::freshness::Pointer;
use crate::ledger::Origin;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Tag;
use crate::registry;
use crate::store::StoredManifest;

/// How a manifest is served.
impl PullThrough {
    /// The manifest; the targets are told where it was pulled.
    pub(super) async fn manifest(
        &self,
        call: &Call,
        reference: Reference,
        head: bool,
    ) -> Result<Served, Error> {
        let (served, tag) = match reference {
            Reference::Tag(tag) => (self.by_tag(call, &tag, head).await?, Some(tag)),
            Reference::Digest(digest) => (self.by_digest(call, &digest, head).await?, None),
        };
        // Its blobs come next: until then, and a moment longer, who can wait does.
        self.flights.turns.left();
        if !self.fan_out.tells(call) {
            return Ok(served);
        }
        let (descriptor, origin) = (served.descriptor.clone(), served.origin);
        let told = Told {
            descriptor: &descriptor,
            tag: tag.as_ref(),
            is_confirmed: origin != Origin::Stale,
        };
        match head {
            true => self.fan_out.resolved(call, &self.tags, told).await,
            false => self.fan_out.pulled(call, &self.tags, told).await,
        }
        Ok(served)
    }

    /// The manifest that a tag points to.
    async fn by_tag(&self, call: &Call, tag: &Tag, head: bool) -> Result<Served, Error> {
        let (pointer, origin) = self.tags.resolve(call, tag, head).await?;
        if head
            && let Pointer {
                media_type: Some(media_type),
                size: Some(size),
                ..
            } = &pointer
        {
            let (media_type, size) = (media_type.clone(), *size);
            let descriptor = Descriptor {
                media_type,
                digest: pointer.digest.clone(),
                size,
            };
            let age = held_age(origin, pointer.age());
            return Ok(Served {
                descriptor,
                origin,
                age,
                part: None,
                body: Body::Empty,
            });
        }
        let (manifest, pointer, origin) = match self.manifests.get(call, &pointer.digest).await {
            Ok((manifest, Origin::Hit)) => (manifest, pointer, origin),
            Ok((manifest, fetched)) => (manifest, pointer, fetched),
            Err(Error::NoManifest(..)) => self.contradicted(call, tag).await?,
            Err(error) => self.last_resort(call, tag, error).await?,
        };
        let age = held_age(origin, pointer.age());
        Ok(served(pointer.digest, manifest, (origin, age), head))
    }

    /// The upstream has no manifest of the digest that it gave for the tag: it was wrong, the tag
    /// has moved on, or a mirror that stands in for it is behind. It is asked for the tag itself.
    async fn contradicted(
        &self,
        call: &Call,
        tag: &Tag,
    ) -> Result<(StoredManifest, Pointer, Origin), Error> {
        match self.tags.anew(call, tag).await {
            Ok(pointer) => {
                let (manifest, _) = self.manifests.get(call, &pointer.digest).await?;
                Ok((manifest, pointer, Origin::Filled))
            }
            Err(error) => self.last_resort(call, tag, error).await,
        }
    }

    /// The tag has moved to what can't be had now: what it pointed to before is better than nothing
    /// while the upstream is out.
    async fn last_resort(
        &self,
        call: &Call,
        tag: &Tag,
        error: Error,
    ) -> Result<(StoredManifest, Pointer, Origin), Error> {
        if !matches!(&error, Error::Upstream { error, .. } if is_outage(error)) {
            return Err(error);
        }
        let pointer = self
            .tags
            .last_resort(call, tag)
            .await
            .ok_or_else(|| error.clone())?;
        let manifest = self
            .manifests
            .held(&call.repository, &pointer.digest)
            .await
            .ok_or(error)?;
        Ok((manifest, pointer, Origin::Stale))
    }

    /// The manifest itself.
    async fn by_digest(&self, call: &Call, digest: &Digest, head: bool) -> Result<Served, Error> {
        if head {
            return self.head_by_digest(call, digest).await;
        }
        let (manifest, origin) = self.manifests.get(call, digest).await?;
        let age = held_age(origin, manifest.stored.elapsed().ok());
        Ok(served(digest.clone(), manifest, (origin, age), head))
    }

    async fn head_by_digest(&self, call: &Call, digest: &Digest) -> Result<Served, Error> {
        if let Some(manifest) = self.manifests.held(&call.repository, digest).await {
            let age = manifest.stored.elapsed().ok();
            return Ok(served(digest.clone(), manifest, (Origin::Hit, age), true));
        }
        if let Some(manifest) = self.manifests.mirrored(call, digest).await {
            return Ok(served(
                digest.clone(),
                manifest,
                (Origin::Filled, None),
                true,
            ));
        }
        let reference = Reference::Digest(digest.clone());
        self.manifests.check_gone(call, &reference)?;
        let head = self.manifests.ask(call, digest).await?;
        let (Some(media_type), Some(size)) = (head.media_type, head.size) else {
            let error = registry::Error::Wrong("a HEAD without Content-Type or -Length".into());
            return Err(Error::Upstream {
                repository: call.repository.clone(),
                error,
            });
        };
        let descriptor = Descriptor {
            media_type,
            digest: digest.clone(),
            size,
        };
        let origin = Origin::Filled;
        Ok(Served {
            descriptor,
            origin,
            age: None,
            part: None,
            body: Body::Empty,
        })
    }
}

/// `Age` is for what came from the store (RFC 9111, section 5.1).
fn held_age(origin: Origin, age: Option<Duration>) -> Option<Duration> {
    matches!(origin, Origin::Hit | Origin::Stale).then(|| age.unwrap_or_default())
}

fn served(
    digest: Digest,
    manifest: StoredManifest,
    (origin, age): (Origin, Option<Duration>),
    head: bool,
) -> Served {
    let StoredManifest {
        bytes, media_type, ..
    } = manifest;
    let descriptor = Descriptor {
        media_type,
        digest,
        size: bytes.len() as u64,
    };
    let body = if head {
        Body::Empty
    } else {
        Body::Bytes(bytes)
    };
    Served {
        descriptor,
        origin,
        age,
        part: None,
        body,
    }
}
