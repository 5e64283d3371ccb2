//! How many requests a second may leave, where a registry limits that: a window alone does not hold
//! a rate, for what it lets through depends on how soon answers come.

use std::time::Duration;
use std::time::Instant;

use super::recent::Recent;
use super::recent::Span;
use crate::registry::bucket::Bucket;

/// A rate that was learned from refusals.
///
/// It is what was achieved when they came, a little less at first, and is climbed up to again (fast,
/// then slowly, as TCP's CUBIC does, RFC 9438) for as long as another refusal would not be worth it;
/// then it is passed, ever faster, until there is a refusal again.
#[derive(Clone, Debug)]
pub(super) struct Speed {
    bucket: Bucket,
    /// What was achieved when it was too much.
    top: f64,
    /// The share of it that it was set to then.
    low: f64,
    /// For how long requests have been held back by it since, in seconds.
    climbed: f64,
    /// For how long it is climbed, in seconds.
    hold: f64,
    /// Since when the top is passed.
    passed: Option<Instant>,
    /// Nothing is known of the limit but that there may be one: it is looked for.
    is_search: bool,
}

/// The slowest, in requests a second.
const SLOWEST: f64 = 0.5;
/// What is left of what was achieved.
const DECREASE: f64 = 0.96;
/// Where the refusal came soon: within so much.
const SOON: Duration = Duration::from_millis(500);
/// What is left of it then, and within which bounds of what was tried it lies.
const SOON_DECREASE: f64 = 0.85;
const SOON_BOUNDS: (f64, f64) = (0.5, 0.9);
/// How fast the top is passed, per second squared.
const BEYOND: f64 = 0.5;
/// Where a search begins, at least, in requests a second.
const FIRST: f64 = 10.0;
/// How much faster the search gets in a second; and how much that grows in a second.
const SEARCH: f64 = 2.0;
/// What a search has found, at least, as a share of where it ended.
const FOUND: f64 = 0.5;
/// What was found soon, or by a search, is not known well: it is climbed for one of so many parts.
const PARTS: f64 = 4.0;
/// Whoever is in a hurry may go before their turn, for a tenth of a second's worth.
const HURRY: f64 = 0.1;
/// Timers are late by so many seconds; what should have left meanwhile leaves then.
const LATE: f64 = 0.005;

impl Speed {
    /// A first guess, where `count` requests were let in; it is wrong.
    pub(super) fn search(count: u32) -> Self {
        let first = (f64::from(count) + 2.0).max(FIRST);
        Self::new(first, first, 0.0, true)
    }

    /// Where `top` requests a second were too much, though nothing held them back.
    pub(super) fn learn(top: f64, hold: f64) -> Self {
        Self::new(top * DECREASE, top, hold, false)
    }

    fn new(rate: f64, top: f64, hold: f64, is_search: bool) -> Self {
        let mut speed = Self {
            bucket: Bucket::new(SLOWEST, 1.0),
            top: top.max(SLOWEST),
            low: DECREASE,
            climbed: 0.0,
            hold,
            passed: None,
            is_search,
        };
        speed.set(rate);
        speed
    }

    /// Requests a second.
    pub(super) fn now(&self) -> f64 {
        self.bucket.rate()
    }

    /// Whether all that is known is that there may be a limit.
    pub(super) fn is_search(&self) -> bool {
        self.is_search
    }

    /// When the next request may leave; `None` where it may now.
    pub(super) fn next(&mut self, now: Instant, in_a_hurry: bool) -> Option<Instant> {
        let floor = match in_a_hurry {
            true => -(self.now() * HURRY).max(2.0),
            false => 0.0,
        };
        self.bucket.next(now, floor)
    }

    /// A request leaves.
    pub(super) fn depart(&mut self, now: Instant) {
        self.bucket.take(now, 1.0);
    }

    /// A request that was held back by it was let in. `may_probe`: the last refusals are paid for.
    pub(super) fn succeeded(&mut self, now: Instant, may_probe: bool) {
        let is_held = !self.is_search && self.climbed >= self.hold && !may_probe;
        if is_held {
            return;
        }
        let step = 1.0 / self.now();
        self.climbed += step;
        let rate = if self.is_search {
            self.now() * (1.0 + SEARCH * (1.0 + self.climbed) * step)
        } else if self.climbed <= self.hold {
            let left = 1.0 - self.climbed / self.hold;
            self.top * (1.0 - (1.0 - self.low) * left * left)
        } else {
            self.passed.get_or_insert(now);
            let beyond = self.climbed - self.hold;
            self.top * (1.0 + BEYOND * beyond * beyond)
        };
        self.set(rate);
    }

    /// What left at the end of `span` was too much; it is climbed for `hold` seconds.
    pub(super) fn refused(&mut self, now: Instant, span: Span, recent: &Recent, hold: f64) {
        let (began, at) = span;
        let is_soon = at.saturating_duration_since(began) < SOON;
        let (top, low, hold) = if self.is_search {
            let least = self.now() * FOUND;
            let top = recent.least_rate(span).max(least);
            (top, DECREASE, hold / PARTS)
        } else if let Some(passed) = self.passed {
            let since_then = recent.rate((passed.max(began), at));
            let top = since_then.max(recent.rate_lately(span));
            (top, DECREASE, hold)
        } else if is_soon {
            let (least, most) = SOON_BOUNDS;
            let bounds = (self.now() * least, self.now() * most);
            let top = recent.rate(span).clamp(bounds.0, bounds.1);
            (top, SOON_DECREASE, hold / PARTS)
        } else {
            (recent.rate(span), DECREASE, hold)
        };
        let top = top.min(self.now()).max(SLOWEST);
        *self = Self {
            bucket: self.bucket.clone(),
            top,
            low,
            climbed: 0.0,
            hold,
            passed: None,
            is_search: false,
        };
        self.set(top * low);
        self.bucket.empty(now);
    }

    fn set(&mut self, rate: f64) {
        let rate = rate.max(SLOWEST);
        self.bucket.set(rate, 1.0 + rate * LATE);
    }
}
