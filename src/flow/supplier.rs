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
pub(super) struct Resumes(u32);

/// How often a transfer is resumed without having got a byte.
const RESUMES: u32 = 4;
/// The pause before the first of those; it doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a transfer broke off whose upstream said no word.
pub(super) const ENDED: &str = "the body ended before the blob did";

impl Supplier {
    /// Asks for a part of the blob; for all of it, where that is the part.
    ///
    /// # Errors
    /// When the upstream hasn't it, doesn't give it, or has another size than `size`.
    pub(super) async fn open(&self, part: Range<u64>, size: u64) -> Result<FetchedBlob, Error> {
        let end = if part.end == size { u64::MAX } else { part.end };
        let range = (part.start > 0 || end != u64::MAX).then_some(part.start..end);
        let fetched = self.askers.blob_get(self.flow, &self.digest, range).await;
        let fetched = fetched.map_err(|error| self.error(error))?;
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
        resumes.0 = if at > begun { 1 } else { resumes.0 + 1 };
        if resumes.0 > RESUMES || !is_resumable(&error) {
            return Err(error);
        }
        tracing::warn!(
            repository = %self.repository, digest = %self.digest, at,
            "the transfer broke off, resuming: {error}"
        );
        tokio::time::sleep(PAUSE * 2_u32.pow(resumes.0 - 1)).await;
        Ok(())
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
}

fn is_resumable(error: &Error) -> bool {
    matches!(error, Error::Upstream { error, .. } if is_outage(error))
}
