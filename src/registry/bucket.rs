//! A token bucket, for requests or for bytes.
//!
//! It is our own, for it is asked under the lock that decides on windows and priorities too, its
//! rate changes while it is used, and who is in a hurry may go where others wait.

use std::time::Duration;
use std::time::Instant;

/// What may leave now. It fills as time passes, up to its depth; it may owe.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// How much it gains a second.
    rate: f64,
    /// The most that it holds.
    depth: f64,
    level: f64,
    at: Option<Instant>,
}

/// The slowest rate, so that no wait is without end.
const SLOWEST: f64 = 1e-3;

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: f64, depth: f64) -> Self {
        Self {
            rate: rate.max(SLOWEST),
            depth,
            level: depth,
            at: None,
        }
    }

    /// How much it gains a second.
    pub(super) fn rate(&self) -> f64 {
        self.rate
    }

    /// From now on it gains so much a second, and holds no more than `depth`.
    pub(super) fn set(&mut self, rate: f64, depth: f64) {
        self.rate = rate.max(SLOWEST);
        self.depth = depth;
        self.level = self.level.min(depth);
    }

    /// Half of its depth: what is kept for those in a hurry.
    pub(super) fn half(&self) -> f64 {
        self.depth / 2.0
    }

    /// How long until `amount` can be taken and `floor` is left; zero where it can be now.
    pub(super) fn wait(&mut self, now: Instant, amount: f64, floor: f64) -> Duration {
        self.fill(now);
        // What is asked for beyond the depth would never be there.
        let wanted = (amount + floor).min(self.depth);
        let lacks = wanted - self.level;
        if lacks <= 1e-9 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(lacks / self.rate).unwrap_or(Duration::MAX)
    }

    /// When one can be taken and `floor` is left; `None` where it can be now.
    pub(super) fn next(&mut self, now: Instant, floor: f64) -> Option<Instant> {
        let wait = self.wait(now, 1.0, floor);
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Takes `amount`, whether it is there or owed.
    pub(super) fn take(&mut self, now: Instant, amount: f64) {
        self.fill(now);
        self.level -= amount;
    }

    /// Nothing is left.
    pub(super) fn empty(&mut self, now: Instant) {
        self.fill(now);
        self.level = self.level.min(0.0);
    }

    fn fill(&mut self, now: Instant) {
        let at = *self.at.get_or_insert(now);
        let passed = now.saturating_duration_since(at).as_secs_f64();
        self.level = (self.level + passed * self.rate).min(self.depth);
        self.at = Some(at.max(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fills_as_time_passes_and_no_further() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10.0, 5.0);
        for _ in 0..5 {
            assert_eq!(bucket.wait(start, 1.0, 0.0), Duration::ZERO);
            bucket.take(start, 1.0);
        }
        let wait = bucket.wait(start, 1.0, 0.0);
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101));
        let later = start + Duration::from_secs(100);
        assert_eq!(bucket.wait(later, 5.0, 0.0), Duration::ZERO);
        assert_eq!(bucket.wait(later, 1.0, 4.0), Duration::ZERO);
        bucket.take(later, 1.0);
        assert!(bucket.wait(later, 1.0, 4.0) > Duration::from_millis(99));
        assert_eq!(bucket.wait(later, 1.0, 3.0), Duration::ZERO);
    }

    #[test]
    fn what_is_owed_is_waited_for_and_what_never_fits_is_not() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000.0, 100.0);
        bucket.take(start, 1100.0);
        let wait = bucket.wait(start, 1.0, 0.0);
        assert!(wait > Duration::from_secs(1) && wait < Duration::from_millis(1002));
        let later = start + Duration::from_secs(10);
        assert_eq!(bucket.wait(later, 1e9, 0.0), Duration::ZERO);
    }
}
