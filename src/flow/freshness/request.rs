//! What the upstream is asked about a tag, and what is learned of its answer.

use std::time::SystemTime;

use super::Pointer;
use super::TagKey;
use super::Tags;
use crate::flow::Accept;
use crate::flow::Call;
use crate::flow::Error;
use crate::oci::Reference;
use crate::registry;

impl Tags {
    /// Asks with one `HEAD`; a registry that doesn't tell digests is asked with a `GET`.
    pub(super) async fn ask(&self, call: &Call, key: &TagKey) -> Result<Pointer, Error> {
        let reference = Reference::Tag(key.tag.clone());
        let (name, accept) = (&call.repository.name, key.accept.header());
        let head = call
            .registry()
            .manifest_head(call.flow, name, &reference, accept)
            .await;
        let head = match call.noted(head) {
            Ok(head) => head,
            Err(error) => return Err(self.refused(call, key, error).await),
        };
        let Some(digest) = head.digest else {
            return self.fetch(call, key).await;
        };
        let pointer = Pointer {
            digest,
            media_type: head.media_type,
            size: head.size,
            confirmed: SystemTime::now(),
        };
        Ok(self.learn(key, pointer).await)
    }

    /// Asks with one `GET`.
    pub(super) async fn fetch(&self, call: &Call, key: &TagKey) -> Result<Pointer, Error> {
        let reference = Reference::Tag(key.tag.clone());
        let (name, accept) = (&call.repository.name, key.accept.header());
        let fetched = call
            .registry()
            .manifest_get(call.flow, name, &reference, accept)
            .await;
        let fetched = match call.noted(fetched) {
            Ok(fetched) => fetched,
            Err(error) => return Err(self.refused(call, key, error).await),
        };
        let digest = fetched.digest.clone();
        let manifest = self.manifests.keep(&call.repository, fetched).await;
        let pointer = Pointer::to(digest, manifest, SystemTime::now());
        Ok(self.learn(key, pointer).await)
    }

    /// What the upstream has said, for all who ask from now on.
    pub(super) async fn learn(&self, key: &TagKey, pointer: Pointer) -> Pointer {
        self.known.insert(key.clone(), pointer.clone());
        if key.accept == Accept::Native {
            self.manifests
                .point(&key.repository, &key.tag, &pointer.digest)
                .await;
        }
        pointer
    }

    async fn refused(&self, call: &Call, key: &TagKey, error: registry::Error) -> Error {
        // To a caller that may not know, some say that there is nothing.
        if matches!(error, registry::Error::NotFound { .. }) && call.who.is_none() {
            self.forget(key).await;
        }
        self.manifests
            .failed(call, &Reference::Tag(key.tag.clone()), error)
    }
}
