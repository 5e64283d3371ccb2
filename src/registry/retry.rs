//! How often to try: backoff with full jitter, within a budget.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use backon::BackoffBuilder as _;
use backon::ExponentialBackoff;
use backon::ExponentialBuilder;
use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::Error;
use super::Priority;
use super::Retries;
use super::fault::Again;
use super::fault::Fault;

/// How often one registry is asked again.
#[derive(Debug)]
pub(super) struct Policy {
    retries: Retries,
    budget: Budget,
    /// How many attempts were made again, also by others that count here.
    retried: Arc<AtomicU64>,
}

/// What retries may cost: each takes one, each request gives a fifth of one back, and time gives
/// back a little, so that quiet registries are asked again as well. In an outage the extra load
/// is therefore bounded by a fifth, whatever the attempts of one request are.
#[derive(Debug)]
struct Budget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    left: f64,
    at: Instant,
}

const RESERVE: f64 = 10.0;
const FOR_A_REQUEST: f64 = 0.2;
const FOR_A_SECOND: f64 = 0.5;
/// So long in all do requests that nobody waits for wait for pauses, where no more is configured.
const LONG: Duration = Duration::from_secs(120);

impl Policy {
    /// With a full reserve; counts in `retried`.
    pub(super) fn new(retries: Retries, retried: Arc<AtomicU64>) -> Self {
        Self {
            retries,
            budget: Budget::new(Instant::now()),
            retried,
        }
    }

    /// Makes attempts until one succeeds, or another makes no sense or is not allowed. Dropping
    /// the future ends the attempt, or the pause, that it is in.
    pub(super) async fn run<T, F>(
        &self,
        pace: Priority,
        attempt: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.budget.deposit(Instant::now());
        let mut pauses = Pauses::new(&self.retries, pace);
        loop {
            let fault = match attempt().await {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            let Some(pause) = pauses.before(fault.again) else {
                return Err(fault.error);
            };
            // What a registry refuses is bounded by the pause, and by its window.
            let is_load = !matches!(fault.again, Again::Paused(_) | Again::After(_));
            if is_load && !self.budget.withdraw(Instant::now()) {
                tracing::debug!("not tried again, for too many were: {}", fault.error);
                return Err(fault.error);
            }
            tracing::debug!("trying again in {pause:?}: {}", fault.error);
            tokio::time::sleep(pause).await;
            self.retried.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The pauses between the attempts at one request.
struct Pauses {
    delays: ExponentialBackoff,
    base: Duration,
    cap: Duration,
    /// How much longer others' pauses are waited for.
    patience: Duration,
    /// Whether nobody waits for it: then it may take long.
    is_background: bool,
    timed_out: bool,
}

impl Pauses {
    fn new(retries: &Retries, pace: Priority) -> Self {
        let is_background = pace == Priority::Background;
        let delays = ExponentialBuilder::new()
            .with_min_delay(retries.base)
            .with_max_delay(retries.cap)
            .with_max_times(retries.attempts.saturating_sub(1))
            .build();
        Self {
            delays,
            base: retries.base,
            cap: retries.cap,
            patience: match is_background {
                true => retries.cap.max(LONG),
                false => retries.cap,
            },
            is_background,
            timed_out: false,
        }
    }

    /// How long to wait before the next attempt; `None` where there is none.
    fn before(&mut self, again: Again) -> Option<Duration> {
        match again {
            Again::Never => None,
            Again::Backoff => self.delays.next().map(jittered),
            Again::Once if std::mem::replace(&mut self.timed_out, true) => None,
            Again::Once => self.delays.next().map(jittered),
            Again::After(least) if self.is_background => self.patiently(least),
            Again::After(least) if least > self.cap => None,
            Again::After(least) => self.delays.next().map(|_| least + jittered(self.base)),
            Again::Paused(least) => self.patiently(least),
        }
    }

    /// How long to wait where patience is all that it takes.
    fn patiently(&mut self, least: Duration) -> Option<Duration> {
        if least > self.patience {
            return None;
        }
        let pause = least + jittered(self.base);
        self.patience = self.patience.saturating_sub(pause);
        Some(pause)
    }
}

fn jittered(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self(Mutex::new(Balance {
            left: RESERVE,
            at: now,
        }))
    }

    fn deposit(&self, now: Instant) {
        self.change(now, FOR_A_REQUEST);
    }

    fn withdraw(&self, now: Instant) -> bool {
        self.change(now, -1.0)
    }

    /// Whether there was enough.
    fn change(&self, now: Instant, by: f64) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_duration_since(balance.at).as_secs_f64() * FOR_A_SECOND;
        balance.left = (balance.left + earned).min(RESERVE);
        balance.at = balance.at.max(now);
        let after = balance.left + by;
        if after >= 0.0 {
            balance.left = after.min(RESERVE);
        }
        after >= 0.0
    }
}

/// The longest `Retry-After` that is believed: it is added to the time of day, which has an end.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3); a week at most.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let date = SystemTime::from(parser.parse_timestamp(text).ok()?);
        date.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_bounds_retries() {
        let start = Instant::now();
        let budget = Budget::new(start);
        let mut retries = 0;
        for _ in 0..100 {
            budget.deposit(start);
            retries += usize::from(budget.withdraw(start));
        }
        assert!((25..=30).contains(&retries), "{retries}");
        assert!(!budget.withdraw(start));
        assert!(budget.withdraw(start + Duration::from_secs(2)));
        let later = start + Duration::from_secs(3600);
        let saved = (0..100).filter(|_| budget.withdraw(later)).count();
        assert_eq!(saved, 10, "no more than the reserve is saved up");
    }

    #[test]
    fn pauses_follow_what_went_wrong() {
        let pauses = || {
            let retries = Retries {
                attempts: 4,
                base: Duration::from_secs(1),
                cap: Duration::from_secs(3),
            };
            Pauses::new(&retries, Priority::Foreground)
        };
        let mut backoff = pauses();
        for most in [1, 2, 3] {
            let pause = backoff.before(Again::Backoff).unwrap();
            assert!(pause <= Duration::from_secs(most), "{pause:?}");
        }
        assert_eq!(backoff.before(Again::Backoff), None);

        let mut late = pauses();
        assert!(late.before(Again::Once).is_some());
        assert_eq!(late.before(Again::Once), None);

        let told = pauses().before(Again::After(Duration::from_secs(3)));
        assert!(told.unwrap() >= Duration::from_secs(3));
        let too_long = Again::After(Duration::from_secs(4));
        assert_eq!(pauses().before(too_long), None);

        let mut paused = pauses();
        let second = Again::Paused(Duration::from_secs(1));
        let waits = std::iter::from_fn(|| paused.before(second)).count();
        assert!((2..=3).contains(&waits), "{waits}: 3 s in all");
        assert!(paused.before(Again::Backoff).is_some(), "it was not sent");
        assert_eq!(pauses().before(Again::Never), None);
    }

    #[test]
    fn reads_retry_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |text: &str| {
            let headers = [(RETRY_AFTER, text.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(read(date), Some(Duration::from_secs(10)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:27 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("18446744073709551615"), Some(LONGEST_WAIT));
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
