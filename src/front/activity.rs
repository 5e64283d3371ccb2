use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Whether a connection has a request under way, and since when it has none.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<State>);

#[derive(Debug)]
struct State {
    opened: Instant,
    requests: AtomicUsize,
    // Milliseconds after `opened` when the last request ended; 0 while there was none.
    idle_since: AtomicU64,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy(Activity);

impl Activity {
    /// A connection that is opened now.
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
        }))
    }

    /// A request starts.
    pub(super) fn begin(&self) -> Busy {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// How long it has been idle; `None` while a request is under way.
    pub(super) fn idle(&self) -> Option<Duration> {
        if self.0.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let since = Duration::from_millis(self.0.idle_since.load(Ordering::Relaxed));
        Some(self.0.opened.elapsed().saturating_sub(since))
    }

    /// How long it may stay idle from now on: `first` where it never had a request, else `next`.
    /// Zero once that is over.
    pub(super) fn allowance(&self, first: Duration, next: Duration) -> Duration {
        if self.0.requests.load(Ordering::Relaxed) > 0 {
            return next.max(Duration::from_millis(1));
        }
        match self.0.idle_since.load(Ordering::Relaxed) {
            0 => first.saturating_sub(self.0.opened.elapsed()),
            since => {
                let idle = self.0.opened.elapsed();
                next.saturating_sub(idle.saturating_sub(Duration::from_millis(since)))
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &self.0.0;
        let now = state.opened.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX).max(1);
        state.idle_since.store(now, Ordering::Relaxed);
        state.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_without_requests_is_idle() {
        let (first, next) = (Duration::ZERO, Duration::from_secs(60));
        let activity = Activity::new();
        assert!(activity.allowance(first, next).is_zero());
        let busy = activity.begin();
        assert_eq!(activity.allowance(first, next), next);
        assert_eq!(activity.idle(), None);
        assert!(!activity.allowance(first, Duration::ZERO).is_zero());
        drop(busy);
        assert!(activity.idle().unwrap() < next);
        let left = activity.allowance(first, next);
        assert!(left > Duration::from_secs(50) && left <= next);
    }
}
