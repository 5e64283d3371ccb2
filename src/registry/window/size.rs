//! How many requests may be in flight: additive increase, multiplicative decrease.

use std::time::Duration;
use std::time::Instant;

/// The size of a window. Between 1 and its cap, always.
///
/// It doubles with each round trip until it was too much for the first time (slow start). Then it is
/// halved at each congestion, is back soon at the ceiling below which all was well, and stays there
/// for a while. Then it is tried whether one more is let in; if so, two more, four more and so on,
/// with each round trip.
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
    /// When it was last made larger than the ceiling.
    stepped: Option<Instant>,
}

/// It begins with so many.
const FIRST: f64 = 4.0;
/// So long is one more than the ceiling tried before it is more than one.
const TRY: Duration = Duration::from_millis(800);
/// The steps after that are no closer.
const STEP: Duration = Duration::from_millis(50);

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
            stepped: None,
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
    /// refusals are paid for; `round_trip`: how long answers take.
    pub(super) fn succeeded(&mut self, now: Instant, may_probe: bool, round_trip: Duration) {
        let grown = match self.ceiling {
            None if self.is_slow_start => self.size + 1.0,
            None => self.size + 1.0 / self.size,
            Some(ceiling) if self.size < ceiling => (self.size + 1.0).min(ceiling),
            Some(_) if !may_probe || self.lift.is_some_and(|lift| now < lift) => return,
            Some(ceiling) => match self.step(now, self.size - ceiling, round_trip) {
                Some(step) => self.size + step,
                None => return,
            },
        };
        self.size = grown.min(self.cap);
    }

    /// How many more are tried now, where `excess` more than the ceiling are tried already.
    fn step(&mut self, now: Instant, excess: f64, round_trip: Duration) -> Option<f64> {
        let pace = match excess > 1.0 {
            true => STEP.max(round_trip),
            false => TRY.max(2 * round_trip),
        };
        if self.stepped.is_some_and(|at| now < at + pace) {
            return None;
        }
        self.stepped = Some(now);
        Some(excess.max(1.0))
    }

    /// It was too much.
    pub(super) fn halve(&mut self) {
        // Where nothing is known of a limit, what was before is found again at once.
        self.ceiling = self.ceiling.or(Some(self.size));
        self.is_slow_start = false;
        self.stepped = None;
        self.size = (self.size / 2.0).max(1.0);
    }

    /// Whether more than the ceiling is being tried.
    pub(super) fn is_probing(&self) -> bool {
        self.stepped.is_some()
    }

    /// So many in flight are not too much, and one more is; it is not tried again before `lift`.
    pub(super) fn learn(&mut self, most: usize, lift: Instant) {
        let ceiling = (most.max(1) as f64).min(self.cap);
        self.ceiling = Some(ceiling);
        self.size = self.size.min(ceiling);
        self.lift = Some(lift);
        self.stepped = None;
    }

    /// It is not the size that is limited: at least `size` may be in flight.
    pub(super) fn forget(&mut self, size: f64) {
        self.size = self.size.max(size).min(self.cap);
        self.ceiling = None;
        self.lift = None;
        self.stepped = None;
    }
}
