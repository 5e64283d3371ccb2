//! Blobs and manifests on their way into a registry (distribution spec, "Push").

use super::Content;
use super::Error;
use super::Registry;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;

use bytes::Bytes;
use url::Url;

/// A blob that another repository of the same registry is to give.
#[derive(Clone, Copy, Debug)]
pub struct MountFrom<'a> {
    /// The blob.
    pub digest: &'a Digest,
    /// The repository that has it.
    pub from: &'a Name,
}

/// What the start of an upload came to.
#[derive(Debug)]
pub enum Started {
    /// The blob was mounted: it is there.
    Mounted,
    /// It is to be uploaded, in this session.
    Session(Session),
}

/// An upload that has begun and has no bytes yet. Dropped without a word, it is left to the registry
/// to forget: see [`Registry::upload_cancel`].
#[derive(Clone)]
pub struct Session {
    pub(super) name: Name,
    /// It may hold a secret in its query: no log shows it.
    pub(super) url: Url,
    /// The shortest chunk that the registry takes, in bytes, but the last one.
    pub(super) least: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

/// A manifest to be put.
#[derive(Clone, Debug)]
pub struct NewManifest<'a> {
    /// `Content-Type`.
    pub media_type: &'a str,
    /// Byte for byte.
    pub bytes: Bytes,
}

/// What a registry said of a manifest that it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutManifest {
    /// `Docker-Content-Digest`, where there was one.
    pub digest: Option<Digest>,
    /// `OCI-Subject`: whose referrer it is now. `None` where it was none, or the registry keeps no
    /// list of referrers.
    pub subject: Option<Digest>,
}

impl Registry {
    /// `POST /v2/<name>/blobs/uploads/`, with `?mount=<digest>&from=<name>` for `mount`: where it is
    /// not mounted, what it is answered with is the session of the upload.
    ///
    /// # Errors
    /// As any request's; `NotFound` where there is no such repository and none is made by a push.
    pub async fn upload_start(
        &self,
        flow: FlowId,
        name: &Name,
        mount: Option<MountFrom<'_>>,
    ) -> Result<Started, Error> {
        let _ = (flow, name, mount);
        Err(Error::Config("uploads are not built yet".into()))
    }

    /// Sends `content` as the blob `digest`, in the way that this registry wants it: when this is
    /// `Ok`, the registry has said that it has the blob. Dropping the future breaks the upload off.
    ///
    /// Nothing that was sent is sent again: what is to be done with another session and a new
    /// content is the caller's to do.
    ///
    /// # Errors
    /// `Content` where the content failed; `Restart` where another attempt, with a new session and
    /// new content, would be made otherwise than this one; `NotFound` where the session is lost.
    pub async fn upload(
        &self,
        flow: FlowId,
        session: Session,
        digest: &Digest,
        content: Content,
    ) -> Result<(), Error> {
        let _ = (flow, session, digest, content);
        Err(Error::Config("uploads are not built yet".into()))
    }

    /// `DELETE` of a session that is not wanted any more. It does not matter whether that succeeds.
    pub async fn upload_cancel(&self, flow: FlowId, session: Session) {
        let _ = (flow, session);
    }

    /// `PUT /v2/<name>/manifests/<reference>`.
    ///
    /// # Errors
    /// `BlobUnknown` where something that it names is not there; `Invalid` where such a manifest is
    /// not taken; `Wrong` where the registry says that it has another digest than it has.
    pub async fn manifest_put(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        manifest: NewManifest<'_>,
    ) -> Result<PutManifest, Error> {
        let _ = (flow, name, reference, manifest);
        Err(Error::Config("uploads are not built yet".into()))
    }
}
