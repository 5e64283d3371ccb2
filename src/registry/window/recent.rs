use std::time::Duration;
use std::time::Instant;

/// How many requests were let in, lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    bins: [u32; BINS],
    /// When the first bin of all began.
    start: Option<Instant>,
    /// The number of the bin that was written last.
    last: u64,
}

const BINS: usize = 20;
const BIN: Duration = Duration::from_millis(50);

impl Recent {
    /// One more, now.
    pub(super) fn add(&mut self, now: Instant) {
        let bin = self.advance(now);
        self.bins[(bin % BINS as u64) as usize] += 1;
    }

    /// How many in the last `window`, which is a second at most.
    pub(super) fn count(&mut self, now: Instant, window: Duration) -> u32 {
        let last = self.advance(now);
        let bins = window.as_millis().div_ceil(BIN.as_millis()).max(1) as u64;
        let first = last.saturating_sub(bins.min(BINS as u64) - 1);
        (first..=last)
            .map(|bin| self.bins[(bin % BINS as u64) as usize])
            .sum()
    }

    /// The number of the bin for `now`; those since the last one are empty.
    fn advance(&mut self, now: Instant) -> u64 {
        let start = *self.start.get_or_insert(now);
        let passed = now.saturating_duration_since(start).as_millis() / BIN.as_millis();
        let bin = u64::try_from(passed).unwrap_or(u64::MAX).max(self.last);
        for stale in (self.last + 1..=bin).take(BINS) {
            self.bins[(stale % BINS as u64) as usize] = 0;
        }
        if bin - self.last > BINS as u64 {
            self.bins = [0; BINS];
        }
        self.last = bin;
        bin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_the_last_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut recent = Recent::default();
        for millis in 0..1000 {
            recent.add(at(millis));
        }
        let second = Duration::from_secs(1);
        assert_eq!(recent.count(at(999), second), 1000);
        assert_eq!(recent.count(at(999), second / 2), 500);
        assert_eq!(recent.count(at(1499), second), 500);
        assert_eq!(recent.count(at(1_000_000), second), 0);
    }
}
