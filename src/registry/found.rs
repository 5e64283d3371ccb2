use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use http::header::ACCEPT_RANGES;
use url::Url;

use super::Error;
use super::FetchedBlob;
use super::Priority;
use super::action::Call;
use super::answer;
use super::endpoint::Answer;
use super::endpoint::Endpoint;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Name;

/// Where a blob was found: which place of the registry gave it, and where that led.
///
/// Further parts of the blob are asked for where it led, so that each costs the registry nothing; such
/// URLs are signed, and good for a while. What they are good for no more, the registry is asked again.
#[derive(Clone)]
pub struct Found {
    at: Arc<Endpoint>,
    /// Where the registry led, where that is somewhere else. It may hold a signature.
    led: Option<Url>,
    /// Whether nothing was said against ranges (RFC 9110, 14.3).
    has_ranges: bool,
}

impl Found {
    pub(super) fn of(answer: &Answer, at: &Arc<Endpoint>) -> Self {
        let is_elsewhere = answer.url.origin() != at.base.origin();
        let ranges = answer::text(&answer.headers, &ACCEPT_RANGES);
        Self {
            at: at.clone(),
            led: is_elsewhere.then(|| answer.url.clone()),
            has_ranges: ranges.is_none_or(|ranges| !ranges.eq_ignore_ascii_case("none")),
        }
    }

    /// Whether the answer has not said that ranges are not served.
    pub fn has_ranges(&self) -> bool {
        self.has_ranges
    }

    /// A part of the same blob, if it can be asked for now: over a connection of its own, and only
    /// where that holds up no other request. It is tried once. `None` where it would have to wait.
    ///
    /// # Errors
    /// As [`Registry::blob_get`](super::Registry::blob_get)'s.
    pub async fn part(
        &self,
        flow: FlowId,
        (name, digest): (&Name, &Digest),
        range: Range<u64>,
    ) -> Result<Option<FetchedBlob>, Error> {
        let ask = async |url: Option<&Url>| {
            let call = Call::blob_get(flow, name, digest, Some(&range)).extra(url);
            // In a box: else each of the many tasks that may ask has room for a whole exchange.
            let answer = Box::pin(self.at.attempt(&call, Priority::Background)).await;
            let answer = answer.map_err(|fault| fault.error)?;
            FetchedBlob::of((answer, &self.at), Some(&range))
        };
        let fetched = match ask(self.led.as_ref()).await {
            Err(error) if self.led.is_some() && is_stale(&error) => ask(None).await,
            fetched => fetched,
        };
        match fetched {
            Err(Error::Throttled { retry_after: None }) => Ok(None),
            fetched => fetched.map(Some),
        }
    }
}

/// Whether the place that the registry had led to may know us no longer.
fn is_stale(error: &Error) -> bool {
    match error {
        Error::Refused { .. } | Error::NotFound { .. } | Error::Invalid { .. } => true,
        Error::Status { status, .. } => *status < 500,
        _ => false,
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("has_ranges", &self.has_ranges)
            .finish_non_exhaustive()
    }
}
