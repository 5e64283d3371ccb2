//! Windows: actions that share a limit, pause together when the registry says that it was too
//! much.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use http::HeaderMap;
use http::StatusCode;

use super::Error;
use super::family::Family;
use super::fault::Again;
use super::fault::Fault;
use super::quota::Quota;
use super::retry;
use crate::ledger::Action;

/// What is known of one limit of a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The registry's host, with its port where it has one.
    pub host: Arc<str>,
    /// The actions that share the limit: `manifest-get`, `reads`, `all`, ...
    pub window: String,
    /// How much longer no request of it leaves, after a 429.
    pub paused: Option<Duration>,
    /// What the registry last said of it.
    pub quota: Option<Quota>,
    /// How many requests may be in flight, bodies included.
    pub size: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many of those are for somebody who waits.
    pub in_flight_foreground: usize,
    /// How many wait to leave.
    pub waiting: usize,
    /// How many of those are for somebody who waits.
    pub waiting_foreground: usize,
    /// How many background requests may be in flight now.
    pub background: usize,
    /// How many requests a second leave at most, where the registry, the configuration or its
    /// documentation has shown that there is such a limit.
    pub rate: Option<f64>,
    /// How often it was made smaller.
    pub decreases: u64,
}

/// The windows of one registry at one host, for those who ask with the same credentials.
#[derive(Debug)]
pub(super) struct Windows {
    host: Arc<str>,
    family: &'static Family,
    /// The first pause where the registry names none.
    base: Duration,
    windows: Mutex<HashMap<Key, Window>>,
}

/// What makes a window another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The registry's own.
    Here(&'static str),
    /// Of the place that an action is redirected to: what limits there is no matter of others.
    Elsewhere(Action),
}

/// Leave to send the requests of one action, hops included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    action: Action,
    /// When it was given.
    at: Instant,
}

impl Pass {
    /// Which action it is for.
    pub(super) fn action(self) -> Action {
        self.action
    }
}

#[derive(Debug, Default)]
struct Window {
    /// No request leaves before this.
    until: Option<Instant>,
    /// When the last pause began: answers to what had left before are no news.
    since: Option<Instant>,
    /// Pauses in a row.
    streak: u32,
    quota: Option<Quota>,
    /// Whether it was told already that little is left.
    is_low: bool,
}

/// The longest pause where the registry names none.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest pause, whatever the registry says: Docker Hub counts in windows of six hours.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);
/// After a pause one request goes first, and the others once it is answered, but no later.
const TRIAL: Duration = Duration::from_millis(500);
/// Little is left: less than a tenth.
const LOW: u64 = 10;
/// Nothing is left for background work: less than a fifth.
const SPARE: u64 = 5;

impl Windows {
    /// None is paused. `host` may have a port; `base` is the first pause.
    pub(super) fn new(host: &str, base: Duration) -> Self {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        Self {
            host: host.into(),
            family: Family::of(name),
            base,
            windows: Mutex::default(),
        }
    }

    /// As these, of somebody else: none is paused.
    pub(super) fn anew(&self) -> Self {
        Self {
            host: self.host.clone(),
            windows: Mutex::default(),
            ..*self
        }
    }

    /// Leave to send a request of `action` now. It does not wait.
    ///
    /// # Errors
    /// `Throttled` while the window is paused, with how much longer.
    pub(super) fn enter(&self, action: Action) -> Result<Pass, Fault> {
        let (now, mut windows) = (Instant::now(), self.windows());
        // Both are looked at first, for the trial of one must not be spent at the other's pause.
        let keys = self.keys(action);
        let paused = keys.iter().filter_map(|key| windows.get(key)?.paused(now));
        if let Some(remaining) = paused.max() {
            return Err(Fault {
                error: Error::Throttled {
                    retry_after: Some(remaining),
                },
                again: Again::Paused(remaining),
            });
        }
        for key in keys {
            if let Some(window) = windows.get_mut(&key) {
                window.begin_trial(now);
            }
        }
        Ok(Pass { action, at: now })
    }

    /// Takes note of an answer: from the registry, or from where it redirected to (`!is_here`).
    /// Gives how long its window is paused, where this answer says that it was too much.
    pub(super) fn note(
        &self,
        pass: Pass,
        is_here: bool,
        (status, headers): (StatusCode, &HeaderMap),
    ) -> Option<Duration> {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let told = retry::retry_after(headers, clock);
        let [here, elsewhere] = self.keys(pass.action);
        let key = if is_here { here } else { elsewhere };
        let mut windows = self.windows();
        if is_here && let Some(quota) = Quota::of(headers, clock) {
            let metered = Key::Here(self.family.metered(pass.action));
            let window = windows.entry(metered).or_default();
            window.learn(quota, || self.told(metered));
        }
        match status.as_u16() {
            429 => {}
            503 if told.is_some() => {}
            // A registry may ask who it is before it counts.
            other => {
                if let Some(window) = windows.get_mut(&key) {
                    window.answered(pass.at, other != 401, || self.told(key));
                }
                return None;
            }
        }
        let window = windows.entry(key).or_default();
        let is_first = window.streak == 0;
        let paused = window.throttle((pass.at, now), told, self.base);
        if is_first {
            let (what, status) = (self.told(key), status.as_u16());
            tracing::warn!(pause = ?paused, "{what}: too many requests ({status}), paused");
        }
        Some(paused)
    }

    /// Takes note that no answer came, so that nobody waits for it.
    pub(super) fn unanswered(&self, pass: Pass, is_here: bool) {
        let [here, elsewhere] = self.keys(pass.action);
        let key = if is_here { here } else { elsewhere };
        if let Some(window) = self.windows().get_mut(&key) {
            window.answered(pass.at, false, || self.told(key));
        }
    }

    /// Whether background work may use the window of `action`: it is not paused, and the registry
    /// has not said that less than a fifth of its quota is left.
    pub(super) fn has_spare(&self, action: Action) -> bool {
        let windows = self.windows();
        let is_free = |key| match windows.get(&key) {
            None => true,
            Some(window) => {
                let quota = window.quota.as_ref();
                let is_scarce = quota.is_some_and(|it| it.is_below(SPARE, SystemTime::now()));
                window.paused(Instant::now()).is_none() && !is_scarce
            }
        };
        self.keys(action).into_iter().all(is_free)
    }

    /// The windows of which something is known, by name.
    pub(super) fn limits(&self) -> Vec<Limit> {
        let now = Instant::now();
        let windows = self.windows();
        let known = windows.iter().map(|(key, window)| Limit {
            host: self.host.clone(),
            window: key.to_string(),
            paused: window.paused(now),
            quota: window.quota.clone(),
            size: 0,
            in_flight: 0,
            in_flight_foreground: 0,
            waiting: 0,
            waiting_foreground: 0,
            background: 0,
            rate: None,
            decreases: 0,
        });
        let told = |limit: &Limit| limit.paused.is_some() || limit.quota.is_some();
        let mut limits: Vec<_> = known.filter(told).collect();
        limits.sort_unstable_by(|a, b| a.window.cmp(&b.window));
        limits
    }

    fn keys(&self, action: Action) -> [Key; 2] {
        let here = Key::Here(self.family.window(action));
        [here, Key::Elsewhere(action)]
    }

    fn told(&self, key: Key) -> String {
        format!("{} ({key})", self.host)
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Key, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn paused(&self, now: Instant) -> Option<Duration> {
        let left = self.until?.saturating_duration_since(now);
        (left > Duration::ZERO).then_some(left)
    }

    /// After a pause, holds back the others until this request is answered.
    fn begin_trial(&mut self, now: Instant) {
        if self.until.is_some() {
            self.until = Some(now + TRIAL);
        }
    }

    /// What left at `departed` ended otherwise than by being too much; `counts` where that shows
    /// that requests are let in.
    fn answered(&mut self, departed: Instant, counts: bool, told: impl FnOnce() -> String) {
        if self.streak == 0 || self.since.is_some_and(|since| departed < since) {
            return;
        }
        self.until = None;
        if counts {
            self.streak = 0;
            tracing::info!("{}: answers again", told());
        }
    }

    /// What left at `departed` was too much. Gives how much longer the pause is.
    fn throttle(
        &mut self,
        (departed, now): (Instant, Instant),
        told: Option<Duration>,
        base: Duration,
    ) -> Duration {
        // Many leave before the first of them is answered: together they are one pause.
        let is_new = self.streak == 0 || self.since.is_none_or(|since| departed >= since);
        if is_new {
            self.streak += 1;
            self.since = Some(now);
        }
        let told = told.filter(|pause| *pause > Duration::ZERO);
        let pause = told.unwrap_or_else(|| backoff(base, self.streak));
        let until = now + pause.min(LONGEST);
        let until = self.until.filter(|_| !is_new).unwrap_or(until).max(until);
        self.until = Some(until);
        until - now
    }

    fn learn(&mut self, quota: Quota, told: impl FnOnce() -> String) {
        let is_low = quota.is_below(LOW, quota.seen);
        if is_low && !self.is_low {
            let (left, limit) = (quota.remaining, quota.limit.unwrap_or_default());
            tracing::warn!("{}: {left} of {limit} requests are left", told());
        }
        self.is_low = is_low;
        self.quota = Some(quota);
    }
}

/// The pause after the `nth` 429 in a row that names none.
fn backoff(base: Duration, nth: u32) -> Duration {
    let doubled = base.saturating_mul(2_u32.saturating_pow(nth.saturating_sub(1)));
    let jitter = 1.0 + fastrand::f64() / 2.0;
    doubled.min(LONGEST_BACKOFF).mul_f64(jitter)
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(window) => f.write_str(window),
            Self::Elsewhere(action) => write!(f, "{action}, redirected"),
        }
    }
}
