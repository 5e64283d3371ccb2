use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What goes on in a connection: whether a request is under way, whose turn it is, and since when
/// nothing has moved.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<State>);

#[derive(Debug)]
struct State {
    opened: Instant,
    requests: AtomicUsize,
    /// The requests that wait for us. The others wait for their client to take what it asked for.
    ours: AtomicUsize,
    // Milliseconds after `opened` when a request ended, or gave or sent something, last; 0 while
    // there was none.
    moved: AtomicU64,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Activity,
    is_ours: bool,
}

impl Activity {
    /// A connection that is opened now.
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            opened: Instant::now(),
            requests: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
        }))
    }

    /// A request starts.
    pub(super) fn begin(&self) -> Busy {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.ours.fetch_add(1, Ordering::Relaxed);
        Busy {
            activity: self.clone(),
            is_ours: true,
        }
    }

    /// Something was written. That counts once there was a request: a handshake is none.
    pub(super) fn wrote(&self) {
        let is_new = self.0.moved.load(Ordering::Relaxed) == 0;
        if !is_new || self.0.requests.load(Ordering::Relaxed) > 0 {
            self.moved();
        }
    }

    fn moved(&self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis());
        let now = now.unwrap_or(u64::MAX).max(1);
        self.0.moved.store(now, Ordering::Relaxed);
    }

    /// How long it has been idle; `None` while a request is under way.
    pub(super) fn idle(&self) -> Option<Duration> {
        let is_idle = self.0.requests.load(Ordering::Relaxed) == 0;
        is_idle.then(|| self.rested())
    }

    /// How long it may go on as it does: `first` from its start where it never had a request, else
    /// `next` from when something moved last, unless we are to move. Zero once that is over.
    pub(super) fn allowance(&self, first: Duration, next: Duration) -> Duration {
        let is_new = self.0.moved.load(Ordering::Relaxed) == 0;
        if self.0.ours.load(Ordering::Relaxed) > 0 {
            next.max(Duration::from_millis(1))
        } else if is_new {
            first.saturating_sub(self.rested())
        } else {
            next.saturating_sub(self.rested())
        }
    }

    fn rested(&self) -> Duration {
        let moved = Duration::from_millis(self.0.moved.load(Ordering::Relaxed));
        self.0.opened.elapsed().saturating_sub(moved)
    }
}

impl Busy {
    /// The client was given something; it is its turn to take it.
    pub(super) fn gave(&mut self) {
        self.activity.moved();
        if self.is_ours {
            self.is_ours = false;
            self.activity.0.ours.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The client would take more than there is yet.
    pub(super) fn owes(&mut self) {
        if !self.is_ours {
            self.is_ours = true;
            self.activity.0.ours.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.gave();
        self.activity.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_without_requests_is_idle() {
        let (first, next) = (Duration::ZERO, Duration::from_secs(60));
        let activity = Activity::new();
        activity.wrote();
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

    #[test]
    fn who_does_not_take_what_is_there_has_no_more_time_than_who_is_idle() {
        let never = Duration::from_secs(3600);
        let over = |activity: &Activity| activity.allowance(never, Duration::ZERO).is_zero();
        let activity = Activity::new();
        let (mut first, mut second) = (activity.begin(), activity.begin());
        first.gave();
        assert!(!over(&activity), "the second waits for us");
        second.gave();
        assert!(over(&activity));
        first.owes();
        assert!(!over(&activity), "the first waits for us");
        first.gave();
        second.owes();
        second.owes();
        drop(second);
        assert!(over(&activity) && activity.idle().is_none());
    }
}
