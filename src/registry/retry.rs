use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use backon::BackoffBuilder as _;
use backon::ExponentialBackoff;
use backon::ExponentialBuilder;
use http::HeaderMap;
use http::StatusCode;
use http::header::RETRY_AFTER;

use super::Error;
use super::Retries;

/// How many retries are allowed beyond the requests' own number, so that an outage is never met
/// with a multiple of the load that caused it.
#[derive(Debug)]
pub(super) struct Budget(Mutex<f64>);

/// Each request earns this part of a retry.
const EARNED: f64 = 0.2;
/// What may be saved up, and what there is at the start.
const SAVED: f64 = 10.0;

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(SAVED))
    }
}

impl Budget {
    /// A request is made.
    pub(super) fn earn(&self) {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = (*saved + EARNED).min(SAVED);
    }

    /// Whether a retry may be made; it is paid for if so.
    pub(super) fn spend(&self) -> bool {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *saved >= 1.0;
        if enough {
            *saved -= 1.0;
        }
        enough
    }
}

/// The pauses between attempts: exponential, jittered.
pub(super) fn pauses(retries: &Retries) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(retries.base)
        .with_max_delay(retries.cap)
        .with_max_times(retries.attempts.saturating_sub(1))
        .with_jitter()
        .build()
}

/// Whether another attempt may help.
pub(super) fn is_retryable(error: &Error) -> bool {
    match error {
        Error::Unreachable(_) | Error::TimedOut(_) | Error::Throttled { .. } => true,
        Error::Status { status, .. } => matches!(status, 408 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

/// Whether the same content may be had elsewhere.
pub(super) fn is_outage(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable(_) | Error::TimedOut(_) | Error::Status { status: 500.., .. }
    )
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let asks = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let value = headers
        .get(RETRY_AFTER)
        .filter(|_| asks)?
        .to_str()
        .ok()?
        .trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    SystemTime::from(date)
        .duration_since(SystemTime::now())
        .ok()
        .or(Some(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_bounds_retries_to_a_part_of_the_requests() {
        let budget = Budget::default();
        let mut retries = 0;
        for _ in 0..1000 {
            budget.earn();
            while budget.spend() {
                retries += 1;
            }
        }
        assert!((200..=211).contains(&retries), "{retries}");
    }

    #[test]
    fn reads_both_forms_of_retry_after() {
        let header = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            retry_after(StatusCode::TOO_MANY_REQUESTS, &headers)
        };
        assert_eq!(header("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            header("Wed, 21 Oct 2015 07:28:00 GMT"),
            Some(Duration::ZERO)
        );
        assert!(header("Wed, 21 Oct 2150 07:28:00 GMT").unwrap() > Duration::from_secs(1 << 30));
        assert_eq!(header("soon"), None);
        assert_eq!(retry_after(StatusCode::NOT_FOUND, &HeaderMap::new()), None);
    }
}
