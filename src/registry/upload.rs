//! Blobs and manifests on their way into a registry (distribution spec, "Push").

use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::header::{HeaderName, LOCATION};
use url::Url;

use super::Content;
use super::Error;
use super::Registry;
use super::action::Call;
use super::answer;
use super::endpoint::Answer;
use super::endpoint::Endpoint;
use super::redirect;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;

mod transfer;

use transfer::Transfer;

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
    /// When it began.
    pub(super) began: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Session");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is uploaded, and where.
pub(super) struct Upload<'a> {
    /// The cause.
    pub(super) flow: FlowId,
    /// The session as it is now.
    pub(super) session: &'a Session,
    /// The blob's digest.
    pub(super) digest: &'a str,
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

/// As long a registry may take to hear that an upload is not wanted.
const CANCELLING: Duration = Duration::from_secs(10);

const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const LEAST: HeaderName = HeaderName::from_static("oci-chunk-min-length");

impl Registry {
    /// `POST /v2/<name>/blobs/uploads/`, with `?mount=<digest>&from=<name>` for `mount`: where it is
    /// not mounted, what it is answered with is the session of the upload. A mount that is refused
    /// altogether is asked for no more: then an upload is begun.
    ///
    /// # Errors
    /// As any request's; `NotFound` where there is no such repository and none is made by a push.
    pub async fn upload_start(
        &self,
        flow: FlowId,
        name: &Name,
        mount: Option<MountFrom<'_>>,
    ) -> Result<Started, Error> {
        if let Some(mount) = mount {
            match self.start(&Call::blob_mount(flow, name, mount), name).await {
                Err(error) if is_no(&error) => {
                    let (digest, from) = (mount.digest, mount.from);
                    tracing::debug!("{digest} is not mounted from {from} to {name}: {error}");
                }
                started => return started,
            }
        }
        self.start(&Call::upload_start(flow, name), name).await
    }

    async fn start(&self, call: &Call, name: &Name) -> Result<Started, Error> {
        let answer = self.write(call).await?;
        if answer.status == 201 {
            let given = answer::digest(&answer.headers);
            return match given {
                Some(given) if !call.is_about(&given) => Err(Error::Wrong(format!(
                    "it mounted {given}, which is not what was asked for"
                ))),
                _ => Ok(Started::Mounted),
            };
        }
        let least = answer::number(&answer.headers, &LEAST);
        Ok(Started::Session(Session {
            name: name.clone(),
            url: self.location(&answer)?,
            least: least.unwrap_or(0),
            began: Instant::now(),
        }))
    }

    /// Sends `content` as the blob `digest`, in the way that this registry wants it: when this is
    /// `Ok`, the registry has said that it has the blob. Dropping the future breaks the upload off.
    ///
    /// Nothing that was sent is sent again (but of a small blob): what is to be done with another
    /// session and a new content is the caller's to do.
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
        let size = content.size;
        let way = self.main()?.ways.now();
        let mut sending = Transfer {
            registry: self,
            flow,
            session,
            digest: digest.as_str(),
            sent: Vec::new(),
        };
        let outcome = sending.run(way, content).await;
        let fate = match &outcome {
            Ok(()) => Fate::Committed,
            Err(error) => Fate::Discarded(error.waste()),
        };
        sending.sent.iter_mut().for_each(|it| it.spend_all(fate));
        let error = match outcome {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if let Error::Content(_) = &error {
            let session = sending.session;
            let cancelled = self.upload_cancel(flow, session);
            let _ = tokio::time::timeout(CANCELLING, cancelled).await;
        }
        if self.main()?.ways.learn(way, size, &error) {
            let text = format!("{error}; from now on, blobs are sent in another way");
            return Err(Error::Restart(text));
        }
        Err(error)
    }

    /// `DELETE` of a session that is not wanted any more. It does not matter whether that succeeds.
    pub async fn upload_cancel(&self, flow: FlowId, session: Session) {
        let upload = Upload {
            flow,
            session: &session,
            digest: "",
        };
        let call = Call::upload_cancel(&upload);
        let Ok(main) = self.main() else { return };
        if let Err(fault) = Box::pin(main.attempt(&call, self.pace)).await {
            let error = fault.error;
            tracing::debug!("an upload that is not wanted could not be cancelled: {error}");
        }
    }

    /// `DELETE /v2/<name>/manifests/<reference>`: a manifest with all its tags, or one tag alone where
    /// the registry does that (distribution spec, "Deleting Tags").
    ///
    /// # Errors
    /// `NotFound` where there is no such thing, or the registry knows no such request.
    pub async fn manifest_delete(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
    ) -> Result<(), Error> {
        let call = Call::manifest_delete(flow, name, reference);
        self.write(&call).await.map(|_| ())
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
        let bytes = manifest.bytes.clone();
        let call = Call::manifest_put(flow, name, reference, manifest)?;
        let mut answer = self.write(&call).await?;
        let digest = answer::digest(&answer.headers);
        let is_right = digest
            .as_ref()
            .is_none_or(|digest| *digest == answer::digest_like(digest, &bytes));
        if let Some(mut sent) = answer.body.take_sent() {
            sent.spend_all(match is_right {
                true => Fate::Committed,
                false => Fate::Discarded(Reason::Mismatch),
            });
        }
        match digest {
            Some(digest) if !is_right => Err(Error::Wrong(format!(
                "it says that the manifest it was given is {digest}, which it is not"
            ))),
            digest => Ok(PutManifest {
                digest,
                subject: answer::digest_in(&answer.headers, &SUBJECT),
            }),
        }
    }

    /// One write, at the main endpoint alone: what a fallback has is no part of this registry.
    pub(super) async fn write(&self, call: &Call) -> Result<Answer, Error> {
        let mut answer = self.attempts(self.main()?, call).await?;
        if let Some(whole) = &mut answer.whole {
            whole.unspent.spend_all(Fate::Discarded(Reason::Control));
        }
        Ok(answer)
    }

    /// The endpoint that is meant, where no other may do.
    pub(super) fn main(&self) -> Result<&Endpoint, Error> {
        let main = self.endpoints.first().map(AsRef::as_ref);
        main.ok_or_else(|| Error::Config("no URL is configured".into()))
    }

    /// Where an upload goes on. A registry behind a proxy that ends TLS may not know of that: its
    /// own host is asked as it is configured.
    fn location(&self, answer: &Answer) -> Result<Url, Error> {
        let base = &self.main()?.base;
        if !answer.headers.contains_key(LOCATION) {
            return Err(Error::Wrong(
                "it began an upload and did not say where".into(),
            ));
        }
        let mut headers = answer.headers.clone();
        if let Some(safe) = as_configured(base, &headers) {
            headers.insert(LOCATION, safe);
        }
        redirect::target(&answer.url, &headers).map_err(|fault| fault.error)
    }
}

/// `Location` with the scheme and the port of `base`, where it is plain HTTP at the same host.
fn as_configured(base: &Url, headers: &http::HeaderMap) -> Option<http::HeaderValue> {
    let said: Url = headers.get(LOCATION)?.to_str().ok()?.parse().ok()?;
    let is_ours = said.host_str() == base.host_str() && said.scheme() == "http";
    if !is_ours || base.scheme() != "https" {
        return None;
    }
    let mut safe = said;
    safe.set_scheme("https").ok()?;
    safe.set_port(base.port()).ok()?;
    safe.as_str().parse().ok()
}

/// Whether a registry has answered that it won't: another one of the kind may be more welcome.
fn is_no(error: &Error) -> bool {
    match error {
        Error::Refused { .. } | Error::NotFound { .. } | Error::Invalid { .. } => true,
        Error::Status { status, .. } => *status < 500,
        _ => false,
    }
}
