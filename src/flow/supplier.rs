use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::askers::Askers;
use super::breaker::is_outage;
use super::mirrors::Mirror;
use super::upstream::Trouble;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry;
use crate::registry::FetchedBlob;
use crate::registry::Found;

/// An upstream that has a blob, asked on somebody's behalf.
#[derive(Clone, Debug)]
pub(super) struct Supplier {
    pub(super) askers: Arc<Askers>,
    /// Targets that are asked before the upstream: the first of the places.
    pub(super) mirrors: Arc<[Mirror]>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) flow: FlowId,
    pub(super) trouble: Arc<Trouble>,
}

/// How a transfer has fared so far.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    /// How often it broke off since it last got a byte.
    failures: usize,
    /// How many places it has turned away from.
    place: usize,
}

/// How often a transfer is resumed without having got a byte; more often where there are more
/// places to ask.
const RESUMES: usize = 4;
/// The pause before the first of those; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a transfer broke off whose upstream said no word.
pub(super) const ENDED: &str = "the body ended before the blob did";

impl Supplier {
    /// Asks for a part of the blob; for all of it, where that is the part. `place` is the number of
    /// the place to ask first.
    ///
    /// # Errors
    /// When the upstream hasn't it, doesn't give it, or has another size than `size`.
    pub(super) async fn open(
        &self,
        part: Range<u64>,
        size: u64,
        place: usize,
    ) -> Result<FetchedBlob, Error> {
        let end = if part.end == size { u64::MAX } else { part.end };
        let range = (part.start > 0 || end != u64::MAX).then_some(part.start..end);
        let fetched = match self.mirrors.get(place) {
            Some(mirror) => mirror.blob(self.flow, &self.digest, range).await,
            None => {
                let askers = self.askers.at(place - self.mirrors.len());
                askers.blob_get(self.flow, &self.digest, range).await
            }
        };
        let fetched = fetched.map_err(|error| match error {
            registry::Error::Unsatisfiable => self.error(registry::Error::Wrong(format!(
                "it ended after {} bytes, {size} were promised",
                part.start
            ))),
            error => self.error(error),
        })?;
        self.check_size(&fetched, size)?;
        Ok(fetched)
    }

    /// Asks for a further part of the blob where it was `found`, if that can be done now.
    ///
    /// # Errors
    /// When the upstream doesn't give it, or has another size than `size`.
    pub(super) async fn further(
        &self,
        found: &Found,
        part: Range<u64>,
        size: u64,
    ) -> Result<Option<FetchedBlob>, Error> {
        let what = (&self.repository.name, &self.digest);
        let fetched = found.part(self.flow, what, part).await;
        let fetched = fetched.map_err(|error| self.error(error))?;
        if let Some(fetched) = &fetched {
            self.check_size(fetched, size)?;
        }
        Ok(fetched)
    }

    /// Fails where the upstream means a blob of another size.
    pub(super) fn check_size(&self, fetched: &FetchedBlob, size: u64) -> Result<(), Error> {
        match fetched.total {
            Some(total) if total != size => {
                let why = format!("its size changed from {size} to {total} bytes");
                Err(self.error(registry::Error::Wrong(why)))
            }
            _ => Ok(()),
        }
    }

    /// Pauses before a transfer is resumed that broke off with `error` at the byte `at`, having
    /// begun at `begun`: at the same place, then, where that brings nothing, at the next one.
    ///
    /// # Errors
    /// `error`, where that is no use, or was none too often.
    pub(super) async fn resume(
        &self,
        resumes: &mut Resumes,
        (begun, at): (u64, u64),
        error: Error,
    ) -> Result<(), Error> {
        resumes.failures = if at > begun { 1 } else { resumes.failures + 1 };
        if resumes.failures > RESUMES.max(self.places()) || !self.is_resumable(&error) {
            return Err(error);
        }
        if resumes.failures > 1 {
            resumes.place += 1;
        }
        if resumes.place >= self.mirrors.len() {
            self.trouble.resumed();
            self.count(&error);
        }
        tracing::warn!(
            repository = %self.repository, digest = %self.digest, at,
            "the transfer broke off, resuming: {error}"
        );
        tokio::time::sleep(PAUSE * (1 << (resumes.failures - 1).min(RESUMES))).await;
        Ok(())
    }

    /// Whether targets have given bytes of what turned out to be wrong. They are asked no more for
    /// it.
    pub(super) fn blame(&self) -> bool {
        let blamed = self.mirrors.iter().map(|it| it.blame(&self.digest));
        blamed.fold(false, |any, gave| any | gave)
    }

    fn places(&self) -> usize {
        self.mirrors.len() + self.askers.places()
    }

    /// Counts an answer that was not what it promised to be.
    pub(super) fn count(&self, error: &Error) {
        if error.is_mismatch() {
            self.trouble.mismatched();
        }
    }

    /// What an upstream's refusal means for who wants the blob.
    pub(super) fn error(&self, error: registry::Error) -> Error {
        let repository = self.repository.clone();
        match error {
            registry::Error::NotFound { .. } => Error::NoBlob(repository, self.digest.to_string()),
            error => Error::Upstream { repository, error },
        }
    }

    /// Other bytes came than the digest says.
    pub(super) fn corrupt(&self, got: &Digest) -> Error {
        Error::Corrupt {
            repository: self.repository.clone(),
            reference: self.digest.to_string(),
            got: got.to_string(),
        }
    }

    /// Whether another request may bring the rest: after an outage, or an answer that was wrong,
    /// and after any other refusal where there is another place to ask.
    fn is_resumable(&self, error: &Error) -> bool {
        match error {
            Error::Upstream { error, .. } => {
                self.places() > 1 || is_outage(error) || matches!(error, registry::Error::Wrong(_))
            }
            Error::NoBlob(..) => self.places() > 1,
            _ => false,
        }
    }
}

impl Resumes {
    /// The number of the place to ask next.
    pub(super) fn place(&self) -> usize {
        self.place
    }
}
