//! How a blob comes to be in a repository: known, mounted, or uploaded.

use std::time::Instant;

use tokio::sync::SemaphorePermit;

use super::Error;
use super::Missing;
use super::Pace;
use super::claims::By;
use super::claims::Claim;
use super::claims::Stake;
use super::errand::Work;
use super::figures::Brought;
use super::state::Holder;
use crate::oci::Digest;
use crate::oci::Name;
use crate::registry;
use crate::registry::Content;
use crate::registry::MountFrom;
use crate::registry::Mounts;
use crate::registry::Session;
use crate::registry::Started;

/// How often an upload is begun again in one run, after what another try may heal.
const AGAIN: u32 = 2;

impl Work {
    /// Has the blob `digest` there; `claim` is what the election left to this errand.
    pub(super) async fn bring(
        &self,
        digest: &Digest,
        claim: Option<Claim>,
    ) -> Result<Brought, Error> {
        if let Some(claim) = claim {
            return self.upload(digest, claim, None).await;
        }
        loop {
            self.remote.check_goes_on()?;
            if self.has_blob(digest).await? {
                return Ok(Brought::Known);
            }
            let source = self.remote.source(digest, &self.name);
            let by = match &source {
                Some(_) => By::Mount,
                None => By::Upload,
            };
            match (
                self.remote.claims.claim(digest, &self.claimant(), by),
                source,
            ) {
                (Stake::Theirs(other), _) => {
                    if self.pace(digest) == Pace::Client {
                        other.hurry();
                    }
                    tokio::select! {
                        () = other.ended() => {}
                        () = self.remote.mounting.turned() => {}
                    }
                }
                // It has come meanwhile, or can be mounted now: nobody else could see to that.
                (Stake::Mine(_), source) if self.has_come(digest, source.is_none()) => {}
                (Stake::Mine(claim), Some(from)) => {
                    if let Some(brought) = self.mount(digest, claim, &from).await? {
                        return Ok(brought);
                    }
                }
                (Stake::Mine(claim), None) => return self.upload(digest, claim, None).await,
            }
        }
    }

    /// Whether the repository has it by now, or, where it is to be uploaded, another one.
    fn has_come(&self, digest: &Digest, or_elsewhere: bool) -> bool {
        let known = self.remote.catalog.holds(&self.name, digest);
        known.is_some_and(|known| known.fresh)
            || (or_elsewhere && self.remote.source(digest, &self.name).is_some())
    }

    /// Whether the repository has it. What is not known for sure is asked for.
    async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let unsure = match self.remote.catalog.holds(&self.name, digest) {
            Some(known) if known.fresh => return Ok(true),
            Some(_) => true,
            // What can't be mounted from the repository itself may have been put there by an
            // earlier process all the same.
            None => self.resumed && self.remote.mounting.now() != Mounts::Any,
        };
        Ok(unsure && self.confirmed_blob(digest).await?)
    }

    /// `HEAD` of a blob, and what it says is noted.
    pub(super) async fn confirmed_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let remote = &self.remote;
        let _lane = remote.lanes.requests.acquire().await;
        remote.counts.heads.add(1);
        match self
            .registry
            .blob_head(self.errand.flow, &self.name, digest)
            .await
        {
            Ok(_) => {
                remote.catalog.note(&self.name, digest);
                Ok(true)
            }
            Err(registry::Error::NotFound { .. }) => {
                remote.catalog.withdraw(&self.name, digest);
                Ok(false)
            }
            Err(error) => Err(self.refusal(&format!("blob {}", digest.short()), error)),
        }
    }

    /// Mounts it `from` there. Where that is refused, the session that came instead takes the
    /// upload; `None` where somebody else uploads it by now.
    async fn mount(
        &self,
        digest: &Digest,
        claim: Claim,
        from: &Holder,
    ) -> Result<Option<Brought>, Error> {
        let session = match self.start(digest, Some(&from.name)).await? {
            Started::Mounted => {
                self.mounted(digest, &claim);
                return Ok(Some(Brought::Mounted));
            }
            Started::Session(session) => session,
        };
        let remote = &self.remote;
        remote.counts.mounts_refused.add(1);
        match remote.mounting.refused(from, digest) {
            None => remote.catalog.withdraw(&from.name, digest),
            Some(learned) => self.tell(learned),
        }
        drop(claim);
        match remote.claims.claim(digest, &self.claimant(), By::Upload) {
            Stake::Mine(claim) => self.upload(digest, claim, Some(session)).await.map(Some),
            Stake::Theirs(_) => {
                self.registry.upload_cancel(self.errand.flow, session).await;
                Ok(None)
            }
        }
    }

    fn tell(&self, learned: Mounts) {
        let target = &*self.remote.name;
        match learned {
            Mounts::Never => {
                tracing::warn!(
                    target,
                    "the target refuses mounts: each repository gets its blobs by uploads"
                );
            }
            _ => tracing::info!(target, "the target mounts only what a manifest names"),
        }
    }

    fn mounted(&self, digest: &Digest, claim: &Claim) {
        self.remote.took();
        self.remote.catalog.note(&self.name, digest);
        claim.there();
    }

    /// Uploads it, again where that may help, in `session` at first.
    async fn upload(
        &self,
        digest: &Digest,
        claim: Claim,
        mut session: Option<Session>,
    ) -> Result<Brought, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.upload_once(digest, &claim, session.take()).await {
                Ok(brought) => {
                    self.hold(claim);
                    return Ok(brought);
                }
                Err(Error::Registry { error, .. }) if tries <= AGAIN && is_healed(&error) => {
                    self.remote.counts.retries.add(1);
                    tracing::debug!(
                        target = &*self.remote.name,
                        "{digest} is sent again: {error}"
                    );
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn upload_once(
        &self,
        digest: &Digest,
        claim: &Claim,
        session: Option<Session>,
    ) -> Result<Brought, Error> {
        let (content, _lane) = match (self.content(digest, claim).await, &session) {
            (Ok(content), _) => content,
            (Err(error), None) => return Err(error),
            (Err(error), Some(session)) => {
                let session = session.clone();
                self.registry.upload_cancel(self.errand.flow, session).await;
                return Err(error);
            }
        };
        let session = match session {
            Some(session) => session,
            None => {
                // What an earlier process uploaded, and could not note, is found by a mount from
                // where it is to be.
                let itself = self.resumed && self.remote.mounting.now() == Mounts::Any;
                match self.start(digest, itself.then_some(&self.name)).await? {
                    Started::Session(session) => session,
                    Started::Mounted => {
                        self.mounted(digest, claim);
                        return Ok(Brought::Known);
                    }
                }
            }
        };
        let size = content.size;
        let flow = self.errand.flow;
        let uploaded = self.registry.upload(flow, session, digest, content).await;
        uploaded.map_err(|error| self.blob_refusal(digest, error))?;
        self.remote.mounting.put(&self.name, digest);
        self.remote.took();
        // The supply has it of this very repository.
        self.remote.catalog.note_proven(&self.name, digest);
        claim.there();
        Ok(Brought::Uploaded(size))
    }

    /// `POST` of an upload, which is a mount where it can come `from` somewhere.
    async fn start(&self, digest: &Digest, from: Option<&Name>) -> Result<Started, Error> {
        let remote = &self.remote;
        let mount = from.map(|from| MountFrom { digest, from });
        let flow = self.errand.flow;
        let start = || async {
            let _lane = remote.lanes.requests.acquire().await;
            self.registry.upload_start(flow, &self.name, mount).await
        };
        let asked = Instant::now();
        let started = match start().await {
            Err(error) if self.created(&error, asked).await? => start().await,
            started => started,
        };
        started.map_err(|error| self.blob_refusal(digest, error))
    }

    fn blob_refusal(&self, digest: &Digest, error: registry::Error) -> Error {
        match error {
            registry::Error::Content(why) => {
                Missing::Later(format!("{} of {}: {why}", digest.short(), self.name)).into()
            }
            error => self.refusal(&format!("blob {}", digest.short()), error),
        }
    }

    /// The content, and the right to send it. What nobody waits for keeps nobody else from sending
    /// while it is not there.
    async fn content(
        &self,
        digest: &Digest,
        claim: &Claim,
    ) -> Result<(Content, SemaphorePermit<'_>), Error> {
        let lanes = &self.remote.lanes;
        let closed = |_| Error::GivenUp("the process is ending");
        let repository = &self.errand.repository;
        if self.pace(digest) == Pace::Background {
            let quietly = async {
                let _asking = lanes.asks.acquire().await.map_err(closed)?;
                let cause = self.cause(Pace::Background);
                let content = self.supply.blob(repository, digest, cause).await?;
                let lane = lanes.uploads.acquire().await.map_err(closed)?;
                self.remote.check_goes_on()?;
                Ok((content, lane))
            };
            tokio::select! {
                content = quietly => return content,
                () = claim.hurried() => {}
            }
        }
        let lane = lanes.uploads.acquire().await.map_err(closed)?;
        self.remote.check_goes_on()?;
        let cause = self.cause(Pace::Client);
        let content = self.supply.blob(repository, digest, cause).await?;
        Ok((content, lane))
    }
}

/// Whether another try, with a new session and new content, may go well.
fn is_healed(error: &registry::Error) -> bool {
    use registry::Error as E;
    match error {
        E::Restart(_) | E::Unreachable(_) | E::Wrong(_) => true,
        // The session was lost, or the token ended meanwhile.
        E::NotFound { code } => code != "NAME_UNKNOWN",
        E::Refused { status: 401, .. } => true,
        E::Invalid { code, .. } => code == "DIGEST_INVALID" || code == "BLOB_UPLOAD_INVALID",
        _ => false,
    }
}
