use std::time::Duration;
use std::time::Instant;

/// When a window is left alone, because the registry said that it was too much.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// No request leaves before this.
    until: Option<Instant>,
    /// After a pause, one request is on its way, and the others wait for its answer until this.
    trial: Option<Instant>,
    /// When the last pause began: answers to what had left before are no news.
    since: Option<Instant>,
    /// Pauses in a row.
    streak: u32,
}

/// The longest pause where the registry names none.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest pause, whatever the registry says: Docker Hub counts in windows of six hours.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// After a pause one request goes first, and the others once it is answered, but no later.
const TRIAL: Duration = Duration::from_millis(500);

impl Pause {
    /// How much longer it is.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (left > Duration::ZERO).then_some(left)
    }

    /// Until when the request that goes first is waited for.
    pub(super) fn trial(&self, now: Instant) -> Option<Instant> {
        self.trial.filter(|until| *until > now)
    }

    /// Whether there was a pause that no answer has ended yet.
    pub(super) fn is_on(&self) -> bool {
        self.streak > 0
    }

    /// A request leaves. After a pause, it holds back the others until it is answered.
    pub(super) fn depart(&mut self, now: Instant) {
        if self.streak > 0 {
            self.until = None;
            self.trial = Some(now + TRIAL);
        }
    }

    /// What left at `departed` ended otherwise than by being too much; `counts` where that shows
    /// that requests are let in. Whether this is the end of a pause.
    pub(super) fn answered(&mut self, departed: Instant, counts: bool) -> bool {
        if self.streak == 0 || self.since.is_some_and(|since| departed < since) {
            return false;
        }
        self.until = None;
        self.trial = None;
        if counts {
            self.streak = 0;
        }
        counts
    }

    /// Whether what left at `departed` knew of the last pause.
    pub(super) fn is_news(&self, departed: Instant) -> bool {
        // Many leave before the first of them is answered: together they are one pause.
        self.streak == 0 || self.since.is_none_or(|since| departed >= since)
    }

    /// What left at `departed` was too much. Gives how much longer the pause is.
    pub(super) fn begin(
        &mut self,
        (departed, now): (Instant, Instant),
        told: Option<Duration>,
        base: Duration,
    ) -> Duration {
        let is_new = self.is_news(departed);
        if is_new {
            self.streak += 1;
            self.since = Some(now);
            self.trial = None;
        }
        let told = told.filter(|pause| *pause > Duration::ZERO);
        let pause = told.unwrap_or_else(|| backoff(base, self.streak));
        let until = now + pause.min(LONGEST);
        let until = self.until.filter(|_| !is_new).unwrap_or(until).max(until);
        self.until = Some(until);
        until - now
    }
}

/// The pause after the `nth` 429 in a row that names none.
fn backoff(base: Duration, nth: u32) -> Duration {
    let doubled = base.saturating_mul(2_u32.saturating_pow(nth.saturating_sub(1)));
    let jitter = 1.0 + fastrand::f64() / 2.0;
    doubled.min(LONGEST_BACKOFF).mul_f64(jitter)
}
