//! How a tag is removed from a target, and nothing else with it.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Error;
use super::remote::Remote;
use super::verdict;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;
use crate::oci::Tag;
use crate::oci::media;
use crate::registry;
use crate::registry::Content;
use crate::registry::NewManifest;
use crate::registry::Registry;
use crate::registry::Started;

/// A tag that is to go.
pub(super) struct Removal<'a> {
    pub(super) remote: &'a Remote,
    pub(super) name: &'a Name,
    pub(super) tag: &'a Tag,
    pub(super) flow: FlowId,
}

/// A manifest as it was.
struct Former {
    media_type: std::sync::Arc<str>,
    bytes: Bytes,
}

impl Removal<'_> {
    /// Removes it: by the request for it where the target knows that. Others only remove manifests,
    /// with all their tags: there the tag is first put on a manifest of its own.
    ///
    /// # Errors
    /// When the target does not do it; the tag is as it was.
    pub(super) async fn run(&self) -> Result<(), Error> {
        let _turn = self.remote.turns.take(self.name, self.tag.as_str()).await;
        // What is on its way under this tag must not count as there.
        self.remote.catalog.withdraw_tag(self.name, self.tag);
        let reference = Reference::Tag(self.tag.clone());
        let deleted = self
            .asked()
            .manifest_delete(self.flow, self.name, &reference);
        match deleted.await {
            Ok(()) => Ok(()),
            Err(error) if is_unsupported(&error) => match self.former(&reference).await? {
                Some(former) => self.displace(&former).await,
                None => Ok(()),
            },
            Err(error) => Err(self.refusal(error)),
        }
    }

    /// What the tag points to; `None` where there is no such tag.
    async fn former(&self, reference: &Reference) -> Result<Option<Former>, Error> {
        let got = self
            .asked()
            .manifest_get(self.flow, self.name, reference, media::ACCEPT_NATIVE);
        match got.await {
            Ok(mut got) => {
                got.unspent.spend_all(Fate::Discarded(Reason::Control));
                Ok(Some(Former {
                    media_type: got.media_type,
                    bytes: got.bytes,
                }))
            }
            Err(registry::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refusal(error)),
        }
    }

    async fn displace(&self, former: &Former) -> Result<(), Error> {
        let (registry, flow, name) = (self.asked(), self.flow, self.name);
        // One that removes nothing at all says so before anything has changed.
        let nothing = Reference::Digest(Digest::of(&fastrand::u128(..).to_be_bytes()));
        match registry.manifest_delete(flow, name, &nothing).await {
            Ok(()) | Err(registry::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.refusal(error)),
        }
        let config = Bytes::from(format!("{{\"tidegate\":\"{:032x}\"}}", fastrand::u128(..)));
        let config_digest = Digest::of(&config);
        let manifest = Bytes::from(
            serde_json::json!({
                "schemaVersion": 2,
                "mediaType": media::OCI_MANIFEST,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": config_digest.as_str(), "size": config.len()},
                "layers": [],
            })
            .to_string(),
        );
        self.upload(&config_digest, config).await?;
        let standing_in = Former {
            media_type: media::OCI_MANIFEST.into(),
            bytes: manifest.clone(),
        };
        self.put(&standing_in).await?;
        let own = Reference::Digest(Digest::of(&manifest));
        let deleted = registry.manifest_delete(flow, name, &own).await;
        if let Err(error) = deleted {
            self.put(former).await?;
            return Err(self.refusal(error));
        }
        Ok(())
    }

    async fn upload(&self, digest: &Digest, bytes: Bytes) -> Result<(), Error> {
        let (registry, flow) = (self.asked(), self.flow);
        let started = registry.upload_start(flow, self.name, None).await;
        if let Started::Session(session) = started.map_err(|error| self.refusal(error))? {
            let content = Content {
                size: bytes.len() as u64,
                chunks: stream::iter([Ok(bytes)]).boxed(),
            };
            let uploaded = registry.upload(flow, session, digest, content).await;
            uploaded.map_err(|error| self.refusal(error))?;
        }
        Ok(())
    }

    async fn put(&self, manifest: &Former) -> Result<(), Error> {
        let new = NewManifest {
            media_type: &manifest.media_type,
            bytes: manifest.bytes.clone(),
        };
        let reference = Reference::Tag(self.tag.clone());
        let put = self
            .asked()
            .manifest_put(self.flow, self.name, &reference, new);
        put.await.map(|_| ()).map_err(|error| self.refusal(error))
    }

    fn asked(&self) -> &Registry {
        &self.remote.background
    }

    fn refusal(&self, error: registry::Error) -> Error {
        let advice = match is_unsupported(&error) {
            true => {
                "the target removes nothing: let it (docker-registry: \
                     `storage.delete.enabled`), or prune with \"report\""
            }
            false => verdict::advice(&error),
        };
        Error::Registry {
            what: format!("{}: tag {}", self.name, self.tag),
            advice: advice.to_owned(),
            error,
        }
    }
}

/// Whether a registry knows no such request. Some take a tag for a digest that they have not.
fn is_unsupported(error: &registry::Error) -> bool {
    use registry::Error::{Invalid, NotFound, Status};
    match error {
        NotFound { .. } => true,
        Invalid { status, .. } | Status { status, .. } => matches!(status, 400 | 405 | 501),
        _ => false,
    }
}
