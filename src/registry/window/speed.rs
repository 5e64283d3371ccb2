//! How many requests a second may leave, where a registry limits that: a window alone does not hold
//! a rate, for what it lets through depends on how soon answers come.

use std::time::Instant;

use crate::registry::bucket::Bucket;

/// A rate that was learned from refusals.
///
/// It is what was achieved when they came, a little less at first, and is climbed up to again (fast,
/// then slowly, as TCP's CUBIC does) for as long as another refusal would not be worth it; then it is
/// passed, ever faster, until there is a refusal again.
#[derive(Clone, Debug)]
pub(super) struct Speed {
    bucket: Bucket,
    /// What was achieved when it was too much.
    top: f64,
    /// The share of it that it was set to then.
    low: f64,
    /// How long requests have been held back by it since, in seconds.
    climbed: f64,
    /// How long it is climbed, in seconds.
    hold: f64,
    /// Nothing is known of the limit but that there is one: it is looked for.
    is_search: bool,
}

/// What is known of the time before a refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Achieved {
    /// Requests a second in the last second; `None` where it was too short.
    pub(super) steady: Option<f64>,
    /// Requests a second in the last half of one.
    pub(super) lately: f64,
    /// How many requests in that second.
    pub(super) count: f64,
}

/// The slowest, in requests a second.
const SLOWEST: f64 = 0.5;
/// What is left of what was achieved.
const DECREASE: f64 = 0.95;
/// Where the refusal came soon.
const SOON: f64 = 0.85;
/// So much of what a probe achieved is believed.
const BELIEF: f64 = 0.7;
/// As much of the top is climbed up to.
const SUMMIT: f64 = 0.985;
/// How fast it is passed, per second squared.
const BEYOND: f64 = 0.25;
/// Where a search begins, at least, in requests a second.
const FIRST: f64 = 10.0;
/// How much faster the search gets in a second.
const SEARCH: f64 = 2.0;
/// Whoever is in a hurry may go before their turn, for a tenth of a second's worth.
const HURRY: f64 = 0.1;
/// Timers are late by so many seconds; what should have left meanwhile leaves then.
const LATE: f64 = 0.02;

impl Speed {
    /// A first guess; it is wrong.
    pub(super) fn search(achieved: Achieved) -> Self {
        let first = (achieved.count + 2.0).max(FIRST);
        Self {
            bucket: Bucket::new(first, 1.0 + first * LATE),
            top: first,
            low: 1.0,
            climbed: 0.0,
            hold: 0.0,
            is_search: true,
        }
    }

    /// Requests a second.
    pub(super) fn now(&self) -> f64 {
        self.bucket.rate()
    }

    /// When the next request may leave; `None` where it may now.
    pub(super) fn next(&mut self, now: Instant, in_a_hurry: bool) -> Option<Instant> {
        let floor = if in_a_hurry {
            -(self.now() * HURRY).max(2.0)
        } else {
            0.0
        };
        let wait = self.bucket.wait(now, 1.0, floor);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// A request leaves.
    pub(super) fn depart(&mut self, now: Instant) {
        self.bucket.take(now, 1.0);
    }

    /// A request that was held back by it was let in. `may_probe`: the last refusals are paid for.
    pub(super) fn succeeded(&mut self, may_probe: bool) {
        let step = 1.0 / self.now();
        let rate = if self.is_search {
            self.now() * (1.0 + SEARCH * step)
        } else if self.climbed < self.hold {
            self.climbed += step;
            let left = 1.0 - (self.climbed / self.hold).min(1.0);
            self.top * (SUMMIT - (SUMMIT - self.low).max(0.0) * left * left)
        } else if may_probe {
            self.climbed += step;
            let beyond = self.climbed - self.hold;
            self.top * (SUMMIT + BEYOND * beyond * beyond)
        } else {
            self.now()
        };
        self.set(rate);
    }

    fn set(&mut self, rate: f64) {
        self.bucket.set(rate, 1.0 + rate * LATE);
    }

    /// It was too much; it is climbed for `hold` seconds.
    pub(super) fn refused(&mut self, now: Instant, achieved: Achieved, hold: f64) {
        let was_probe = !self.is_search && self.climbed > self.hold;
        let rate = match achieved.steady {
            None => self.now(),
            Some(steady) if self.is_search || was_probe => steady.max(achieved.lately),
            Some(steady) => steady,
        };
        let mut top = rate.min(self.now());
        if was_probe && top > self.top {
            // A burst that was let in is no rate: not all of it is believed.
            top = self.top + (top - self.top) * BELIEF;
        }
        let is_soon = !self.is_search && self.climbed < self.hold / 4.0;
        self.low = if is_soon { SOON } else { DECREASE };
        self.top = top.max(SLOWEST);
        self.climbed = 0.0;
        // What a search has found is not known well.
        self.hold = match self.is_search {
            true => hold / 4.0,
            false => hold,
        };
        self.is_search = false;
        self.set((self.top * self.low).max(SLOWEST));
        self.bucket.empty(now);
    }
}
