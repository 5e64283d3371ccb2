//! How many requests may be in flight: additive increase, multiplicative decrease.

use std::time::Duration;
use std::time::Instant;

/// The size of a window. Between 1 and its cap, always.
///
/// It doubles with each round trip until it was too much for the first time (slow start). Then it is
/// halved at each congestion, is back soon at the ceiling below which all was well, stays there for
/// a while, and grows by one with each window of successes from there on.
#[derive(Clone, Debug)]
pub(super) struct Size {
    size: f64,
    cap: f64,
    /// Nothing was ever too much.
    is_slow_start: bool,
    /// So many were not too much, as far as is known.
    ceiling: Option<f64>,
    /// The ceiling is not passed before this.
    lift: Option<Instant>,
}

/// It begins with so many.
const FIRST: f64 = 4.0;

impl Size {
    /// It never grows beyond `cap`, which is 1 at least.
    pub(super) fn new(cap: usize) -> Self {
        let cap = cap.max(1) as f64;
        Self {
            size: FIRST.min(cap),
            cap,
            is_slow_start: true,
            ceiling: None,
            lift: None,
        }
    }

    /// It never grows beyond `cap` from now on, and is no larger now.
    pub(super) fn set_cap(&mut self, cap: usize) {
        self.cap = cap.max(1) as f64;
        self.size = self.size.min(self.cap);
    }

    /// How many may be in flight.
    pub(super) fn now(&self) -> usize {
        self.size as usize
    }

    /// Whether it is as large as it can be.
    pub(super) fn is_capped(&self) -> bool {
        self.size >= self.cap
    }

    /// Whether it was ever too much, and has not grown to its cap since.
    pub(super) fn is_wary(&self) -> bool {
        !self.is_slow_start && !self.is_capped()
    }

    /// Below which all was well, where something was not.
    pub(super) fn ceiling(&self) -> Option<usize> {
        self.ceiling.map(|ceiling| ceiling as usize)
    }

    /// A request that left when the window was full has come to a good end. `may_probe`: the last
    /// refusals are paid for.
    pub(super) fn succeeded(&mut self, now: Instant, may_probe: bool) {
        if may_probe && self.lift.is_some_and(|lift| now >= lift) {
            self.lift = None;
        }
        let below = self.ceiling.filter(|ceiling| self.size < *ceiling);
        self.size = match below {
            Some(ceiling) => (self.size + 1.0).min(ceiling),
            None if self.is_slow_start => self.size + 1.0,
            None if self.lift.is_none() => self.size + 1.0 / self.size,
            None => self.size,
        };
        self.size = self.size.min(self.cap);
    }

    /// It was too much.
    pub(super) fn halve(&mut self) {
        // Where nothing is known of a limit, what was before is found again at once.
        self.ceiling = self.ceiling.or(Some(self.size));
        self.is_slow_start = false;
        self.size = (self.size / 2.0).max(1.0);
    }

    /// The ceiling is not passed before `lift`.
    pub(super) fn hold(&mut self, lift: Instant) {
        self.lift = Some(lift);
    }

    /// So many in flight are not too much, and one more is; it is not tried again before `lift`.
    pub(super) fn learn(&mut self, most: usize, lift: Instant) {
        let ceiling = (most.max(1) as f64).min(self.cap);
        self.ceiling = Some(ceiling);
        self.size = self.size.min(ceiling);
        self.lift = Some(lift);
    }
}

/// The ceiling is left this much later than the speed's, so that the speed is out of the way by then
/// where it is not what limits.
pub(super) const LATER: Duration = Duration::from_millis(1500);
