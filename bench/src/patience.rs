//! How much of its time a run gives to a machine that is not quiet.

use std::num::ParseIntError;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::measure;

/// The share of its time that a quick run waits, or measures again what was disturbed. On a machine
/// that is never quiet each sample would take twice as long otherwise, and be no better.
const QUICK_SHARE: f64 = 0.1;

/// How long to wait for a quiet machine before each sample. Clones share what they have spent.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    each: Duration,
    /// The share of the time since `begun` that may be spent; `None` for any.
    share: Option<f64>,
    begun: Instant,
    spent: Arc<Mutex<Duration>>,
}

impl Patience {
    /// Of a full run: up to a minute before each sample.
    pub(crate) fn full() -> Self {
        Self::of(Duration::from_secs(60))
    }

    /// Of a quick run, which begins now: up to five seconds before each sample, and
    /// [`QUICK_SHARE`] of its time in all.
    pub(crate) fn quick() -> Self {
        Self {
            share: Some(QUICK_SHARE),
            ..Self::of(Duration::from_secs(5))
        }
    }

    fn of(each: Duration) -> Self {
        Self {
            each,
            share: None,
            begun: Instant::now(),
            spent: Arc::default(),
        }
    }

    /// Waits until strangers leave the machine to `root` and all below it; without one, to nobody.
    pub(crate) fn await_quiet(&self, root: Option<u32>) {
        let start = Instant::now();
        measure::await_quiet(root, self.each.min(self.left()));
        self.spend(start.elapsed());
    }

    /// Whether a sample that took `time` may be taken again; it counts as spent then.
    pub(crate) fn allows(&self, time: Duration) -> bool {
        let allowed = !self.each.is_zero() && time <= self.left();
        if allowed {
            self.spend(time);
        }
        allowed
    }

    /// How much may be spent now.
    fn left(&self) -> Duration {
        match self.share {
            None => Duration::MAX,
            Some(share) => {
                let all = self.begun.elapsed().mul_f64(share);
                all.saturating_sub(*self.spent.lock().unwrap_or_else(PoisonError::into_inner))
            }
        }
    }

    fn spend(&self, time: Duration) {
        *self.spent.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }
}

impl FromStr for Patience {
    type Err = ParseIntError;

    /// So many seconds before each sample.
    fn from_str(seconds: &str) -> Result<Self, ParseIntError> {
        seconds.parse().map(Duration::from_secs).map(Self::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_gives_a_tenth_of_its_time() {
        let mut patience = Patience::quick();
        assert!(!patience.allows(Duration::from_secs(1)));
        patience.begun -= Duration::from_secs(100);
        let other = patience.clone();
        assert!(other.allows(Duration::from_secs(7)));
        assert!(!patience.allows(Duration::from_secs(7)));
        assert!(patience.allows(Duration::from_secs(3)));
    }

    #[test]
    fn who_has_none_measures_nothing_twice() {
        let none: Patience = "0".parse().unwrap();
        assert!(!none.allows(Duration::ZERO));
        let some: Patience = "1".parse().unwrap();
        assert!(some.allows(Duration::from_secs(1000)));
    }
}
