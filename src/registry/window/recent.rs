use std::time::Duration;
use std::time::Instant;

/// How many requests were let in, lately, by when they left.
#[derive(Clone, Debug)]
pub(super) struct Recent {
    bins: [u32; BINS],
    /// When the first bin of all began.
    start: Option<Instant>,
    /// The number of the newest bin.
    last: u64,
}

const BINS: usize = 64;
const BIN: Duration = Duration::from_millis(25);
/// A rate is measured in so much, in seconds: at most, and lately.
const LONG: f64 = 1.5;
const SHORT: f64 = 0.5;
/// Registries let in as many at once as they let in in so many seconds; what is beyond that is taken
/// for a rate.
const BURST: f64 = 0.1;

/// From when to when.
pub(super) type Span = (Instant, Instant);

impl Default for Recent {
    fn default() -> Self {
        Self {
            bins: [0; BINS],
            start: None,
            last: 0,
        }
    }
}

impl Recent {
    /// What left at `at` was let in.
    pub(super) fn add(&mut self, at: Instant) {
        let start = *self.start.get_or_insert(at);
        let bin = number(start, at);
        if bin + BINS as u64 <= self.last {
            return;
        }
        for stale in (self.last + 1..=bin).rev().take(BINS) {
            self.bins[place(stale)] = 0;
        }
        self.last = self.last.max(bin);
        self.bins[place(bin)] += 1;
    }

    /// Requests a second in `span`, the end of which was too much; in the last 1.5 seconds of it.
    pub(super) fn rate(&self, span: Span) -> f64 {
        self.rate_in(span, LONG)
    }

    /// The same, in the last half second of it.
    pub(super) fn rate_lately(&self, span: Span) -> f64 {
        self.rate_in(span, SHORT)
    }

    /// The less of the two, where nothing else is known.
    pub(super) fn least_rate(&self, span: Span) -> f64 {
        self.rate(span).min(self.rate_lately(span))
    }

    fn rate_in(&self, (since, at): Span, most: f64) -> f64 {
        let span = at.saturating_duration_since(since).as_secs_f64().min(most);
        let (count, span) = self.count(at, Duration::from_secs_f64(span));
        f64::from(count) / (span + BURST)
    }

    /// How many of those that left in the last `window` before `end`, and how many seconds that is,
    /// for whole bins are counted.
    fn count(&self, end: Instant, window: Duration) -> (u32, f64) {
        let Some(start) = self.start else {
            return (0, 0.0);
        };
        let last = number(start, end);
        let bins = (window.as_millis() / BIN.as_millis()).max(1);
        let first = last.saturating_sub(u64::try_from(bins).unwrap_or(u64::MAX));
        let oldest = (self.last + 1).saturating_sub(BINS as u64);
        let count = (first.max(oldest)..=last.min(self.last))
            .map(|bin| self.bins[place(bin)])
            .sum();
        let began = BIN.as_secs_f64() * first as f64;
        let ended = end.saturating_duration_since(start).as_secs_f64();
        (count, ended - began)
    }
}

fn number(start: Instant, at: Instant) -> u64 {
    let passed = at.saturating_duration_since(start).as_millis() / BIN.as_millis();
    u64::try_from(passed).unwrap_or(u64::MAX)
}

fn place(bin: u64) -> usize {
    (bin % BINS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_how_many_were_let_in_lately_by_when_they_left() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut recent = Recent::default();
        // Answers come in another order.
        recent.add(start);
        for millis in (1..1000).rev() {
            recent.add(at(millis));
        }
        let second = Duration::from_secs(1);
        let per_second = |end, window| {
            let (count, seconds) = recent.count(at(end), window);
            f64::from(count) / seconds
        };
        assert!((per_second(999, second / 2) - 1000.0).abs() < 100.0);
        assert!((per_second(1240, second / 2) - 500.0).abs() < 50.0);
        assert_eq!(recent.count(at(1_000_000), second).0, 0);
        recent.add(at(1_000_000));
        assert_eq!(recent.count(at(1_000_000), second).0, 1);
        recent.add(at(0));
        assert_eq!(recent.count(at(1_000_000), second).0, 1);
    }

    #[test]
    fn a_burst_is_no_rate() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut recent = Recent::default();
        // Six at once, and sixty a second.
        for _ in 0..6 {
            recent.add(start);
        }
        for nth in 1..=60 {
            recent.add(at(nth * 1000 / 60));
        }
        let rate = recent.rate((start, at(1000)));
        assert!((rate - 60.0).abs() < 3.0, "{rate}");
        let lately = recent.rate_lately((start, at(1000)));
        assert!(lately < rate, "{lately}");
    }
}
