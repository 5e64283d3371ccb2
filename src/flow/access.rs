use std::fmt;
use std::time::Duration;
use std::time::Instant;

use moka::sync::Cache;
use sha2::Digest as _;
use sha2::Sha256;

use super::Call;
use super::Caller;
use super::Error;
use super::PullThrough;
use super::Want;
use super::blob::Blobs;
use super::coalesce::Coalesce;
use super::coalesce::Seat;
use super::freshness::Tags;
use super::manifest::Manifests;
use crate::ledger::FlowId;
use crate::ledger::Origin;
use crate::oci::Name;
use crate::oci::Reference;
use crate::oci::UpstreamName;
use crate::registry;

/// Who asks, without a way back to what it signs in with: its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Who([u8; 32]);

/// Whom an upstream has let in, where the clients' own credentials decide. Each of them is believed
/// for `auth_ttl` at most; nothing here outlives a change of the configuration.
#[derive(Debug)]
pub(super) struct Access {
    ttl: Duration,
    /// By caller and repository (`None` for the registry itself): when it was asked about.
    permits: Cache<(Who, Option<Name>), Instant>,
    /// One question at a time for each caller and repository.
    questions: Coalesce<(Who, Name), Option<Origin>>,
}

/// How many permissions are remembered.
const REMEMBERED: u64 = 16_384;

impl Who {
    /// Whoever sends this `Authorization`; all who send none are one.
    pub(super) fn of(caller: &Caller) -> Self {
        let mut hasher = Sha256::new();
        if let Some(authorization) = &caller.authorization {
            hasher.update(b"Authorization: ");
            hasher.update(authorization.expose());
        }
        Self(hasher.finalize().into())
    }
}

impl fmt::Debug for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A short secret could be guessed from its hash.
        f.write_str("Who(***)")
    }
}

impl Access {
    /// Nobody has been let in yet.
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            permits: Cache::new(REMEMBERED),
            questions: Coalesce::default(),
        }
    }

    fn allows(&self, who: Who, name: Option<&Name>) -> bool {
        let since = self.permits.get(&(who, name.cloned()));
        since.is_some_and(|since| since.elapsed() < self.ttl)
    }

    fn remember(&self, who: Who, name: Option<&Name>, since: Instant) {
        self.permits.insert((who, name.cloned()), since);
    }

    /// A refusal ends what is remembered of this caller and repository.
    pub(super) fn forget(&self, who: Who, name: &Name) {
        self.permits.invalidate(&(who, Some(name.clone())));
    }
}

impl PullThrough {
    /// Sees to it that the upstream has let this caller into the repository, lately or now, where
    /// the clients' own credentials decide. Nothing that is stored or under way may be touched for
    /// the caller before. Returns where the content came from, if asking brought it.
    ///
    /// # Errors
    /// What the upstream said to this caller, or that it can't say.
    pub(super) async fn admit(
        &self,
        call: &Call,
        want: &Want,
        head: bool,
    ) -> Result<Option<Origin>, Error> {
        let (Some(who), Some(access)) = (call.who, &call.route.access) else {
            return Ok(None);
        };
        if call.is_let_in() {
            return Ok(None);
        }
        let question = Question {
            tags: self.tags.clone(),
            manifests: self.manifests.clone(),
            blobs: self.blobs.clone(),
            call: call.clone(),
            want: want.clone(),
            head,
        };
        let asking = question.clone();
        let work = move || async move { asking.ask().await };
        let key = (who, call.repository.name.clone());
        match access.questions.run(key, work).await {
            (outcome, Seat::First) => outcome,
            (Ok(_), Seat::Later) => Ok(None),
            // This caller's other request was for something else, which may be missing.
            (Err(_), Seat::Later) => question.ask().await,
        }
    }

    /// `GET /v2/` of an upstream where the clients' own credentials decide, so that clients hear
    /// its challenge; of all others there is nothing to say.
    ///
    /// # Errors
    /// What the upstream said to this caller, or that it can't say.
    pub async fn ping(
        &self,
        upstream: &UpstreamName,
        caller: &Caller,
        flow: FlowId,
    ) -> Result<(), Error> {
        let route = self.settings.load().routes.get(upstream).cloned();
        let Some((route, access)) = route.as_ref().and_then(|r| Some((r, r.access.as_ref()?)))
        else {
            return Ok(());
        };
        let who = Who::of(caller);
        if access.allows(who, None) {
            return Ok(());
        }
        let failed = |error| Error::Ping {
            upstream: upstream.clone(),
            error,
        };
        let registry = route.registry().acting_for(caller.authorization.as_ref());
        let since = Instant::now();
        registry.map_err(failed)?.ping(flow).await.map_err(failed)?;
        access.remember(who, None, since);
        Ok(())
    }
}

/// A question to the upstream, with the caller's own credentials: may it have this?
#[derive(Clone)]
struct Question {
    tags: Tags,
    manifests: Manifests,
    blobs: Blobs,
    call: Call,
    want: Want,
    head: bool,
}

impl Question {
    /// Asks by a `HEAD` for what is here already, and for blobs; by its own `GET` for a manifest
    /// that is not.
    async fn ask(self) -> Result<Option<Origin>, Error> {
        let (call, since) = (&self.call, Instant::now());
        if call.is_let_in() {
            // Another request of this caller was answered between the look and the turn.
            return Ok(None);
        }
        let is_brought = match &self.want {
            Want::Manifest { reference, .. } => match reference {
                Reference::Tag(tag) => self.tags.vouch(call, tag, self.head).await?,
                Reference::Digest(digest) => self.manifests.vouch(call, digest, self.head).await?,
            },
            Want::Blob { digest, .. } => {
                self.blobs.vouch(call, digest).await?;
                false
            }
            Want::Tags { .. } | Want::Referrers { .. } => {
                return Err(Error::GivenUp("a list's own request decides"));
            }
        };
        if let (Some(who), Some(access)) = (call.who, &call.route.access) {
            access.remember(who, Some(&call.repository.name), since);
        }
        Ok(is_brought.then_some(Origin::Filled))
    }
}

impl Call {
    /// Whether the upstream has lately let this caller into the repository.
    fn is_let_in(&self) -> bool {
        let name = Some(&self.repository.name);
        match (self.who, &self.route.access) {
            (Some(who), Some(access)) => access.allows(who, name),
            _ => false,
        }
    }

    /// Takes note of how the whole ask ended: who was refused is asked about again the next time.
    pub(super) fn settle(&self, error: &Error) {
        let is_refusal = match error {
            Error::NoManifest(..) | Error::NoBlob(..) | Error::NoRepository(..) => true,
            Error::Upstream { error, .. } => is_refusal(error),
            _ => false,
        };
        if is_refusal && let (Some(who), Some(access)) = (self.who, &self.route.access) {
            access.forget(who, &self.repository.name);
        }
    }
}

/// Whether the upstream would not give something to this caller, rather than could not. Some say
/// 404 to whoever may not know that it exists.
pub(super) fn is_refusal(error: &registry::Error) -> bool {
    use registry::Error::{NotFound, Refused};
    matches!(error, Refused { .. } | NotFound { .. })
}
