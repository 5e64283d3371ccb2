use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Error;
use super::askers::Askers;
use super::breaker::is_outage;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::registry;
use crate::registry::FetchedBlob;

/// An upstream that has a blob, asked on somebody's behalf.
#[derive(Clone, Debug)]
pub(super) struct Supplier {
    pub(super) askers: Arc<Askers>,
    pub(super) repository: Repository,
    pub(super) digest: Digest,
    pub(super) flow: FlowId,
}

/// Counts how often a transfer broke off without having got a byte.
#[derive(Debug, Default)]
pub(super) struct Resumes {
    /// In a row.
    vain: usize,
    /// How often it turned to the next place.
    turns: usize,
}

/// How often a transfer is resumed without having got a byte; more often where there are more
/// places to ask.
const RESUMES: usize = 4;
/// The pause before the first of those; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a transfer broke off whose upstream said no word.
pub(super) const ENDED: &str = "the body ended before the blob did";

impl Supplier {
    /// Asks for a part of the blob; for all of it, where that is the part. Where resuming the
    /// transfer at one place was in vain, the next one is asked.
    ///
    /// # Errors
    /// When the upstream hasn't it, doesn't give it, or has another size than `size`.
    pub(super) async fn open(
        &self,
        part: Range<u64>,
        size: u64,
        resumes: &Resumes,
    ) -> Result<FetchedBlob, Error> {
        let end = if part.end == size { u64::MAX } else { part.end };
        let range = (part.start > 0 || end != u64::MAX).then_some(part.start..end);
        let fetched = self
            .askers
            .blob_get(self.flow, &self.digest, range, resumes.turns);
        let fetched = fetched.await.map_err(|error| match error {
            registry::Error::Unsatisfiable => {
                let why = format!("it ended after {} bytes, not {size}", part.start);
                self.error(registry::Error::Wrong(why))
            }
            error => self.error(error),
        })?;
        self.check_size(&fetched, size)?;
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
    /// begun at `begun`.
    ///
    /// # Errors
    /// `error`, where that is no use, or was none too often.
    pub(super) async fn resume(
        &self,
        resumes: &mut Resumes,
        (begun, at): (u64, u64),
        error: Error,
    ) -> Result<(), Error> {
        resumes.vain = if at > begun { 1 } else { resumes.vain + 1 };
        if resumes.vain > RESUMES.max(self.askers.places()) || !self.is_resumable(&error) {
            return Err(error);
        }
        if resumes.vain > 1 {
            resumes.turns += 1;
        }
        self.askers.trouble.resumed();
        tracing::warn!(
            repository = %self.repository, digest = %self.digest, at,
            "the transfer broke off, resuming: {error}"
        );
        tokio::time::sleep(PAUSE * (1 << (resumes.vain - 1).min(RESUMES))).await;
        Ok(())
    }

    /// Whether another request may bring the rest: after an outage, or an answer that was wrong,
    /// and after any other refusal where there is another place to ask.
    fn is_resumable(&self, error: &Error) -> bool {
        match error {
            Error::Upstream { error, .. } => {
                self.askers.places() > 1
                    || is_outage(error)
                    || matches!(error, registry::Error::Wrong(_))
            }
            Error::NoBlob(..) => self.askers.places() > 1,
            _ => false,
        }
    }

    /// What an upstream's refusal means for who wants the blob. A wrong answer is counted and
    /// logged.
    pub(super) fn error(&self, error: registry::Error) -> Error {
        if let registry::Error::Wrong(why) = &error {
            self.mistrust(why);
        }
        let repository = self.repository.clone();
        match error {
            registry::Error::NotFound { .. } => Error::NoBlob(repository, self.digest.to_string()),
            error => Error::Upstream { repository, error },
        }
    }

    fn mistrust(&self, why: &str) {
        let (repository, digest) = (&self.repository, &self.digest);
        tracing::warn!(%repository, %digest, "a wrong answer, thrown away: {why}");
        self.askers.trouble.mismatched();
    }

    /// Other bytes came than the digest says, which is counted and logged.
    pub(super) fn corrupt(&self, got: &Digest) -> Error {
        self.mistrust(&format!("its bytes are {got}"));
        Error::Corrupt {
            repository: self.repository.clone(),
            reference: self.digest.to_string(),
            got: got.to_string(),
        }
    }
}
