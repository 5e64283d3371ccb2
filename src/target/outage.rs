use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

/// Whether a target is out: then an errand is tried now and then, not all that are owed.
#[derive(Debug, Default)]
pub(super) struct Outage {
    now: Option<Ongoing>,
}

#[derive(Debug)]
struct Ongoing {
    since: SystemTime,
    error: String,
    next_probe: Instant,
    pause: Duration,
    /// It only has had too many requests: it will take what waits.
    is_throttled: bool,
}

/// How many errands may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Any number.
    Open,
    /// One, as a probe.
    One,
    /// None before then.
    Shut(Instant),
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Outage {
    /// How many may begin at `now`.
    pub(super) fn gate(&self, now: Instant) -> Gate {
        match &self.now {
            None => Gate::Open,
            Some(outage) if now < outage.next_probe => Gate::Shut(outage.next_probe),
            Some(_) => Gate::One,
        }
    }

    /// A probe has begun: no other before the next pause is over.
    pub(super) fn probed(&mut self, now: Instant) {
        if let Some(outage) = &mut self.now {
            outage.pause = (outage.pause * 2).min(LONGEST_PAUSE);
            outage.next_probe = now + outage.pause;
        }
    }

    /// The target is out, or still is. It is not asked before `at_least` is over.
    pub(super) fn trip(&mut self, now: Instant, error: &str, at_least: Option<Duration>) {
        self.trip_as(now, error, (at_least, false));
    }

    /// The target has had too many requests, and wants none before `at_least` is over.
    pub(super) fn throttle(&mut self, now: Instant, error: &str, at_least: Option<Duration>) {
        self.trip_as(now, error, (at_least, true));
    }

    fn trip_as(
        &mut self,
        now: Instant,
        error: &str,
        (at_least, is_throttled): (Option<Duration>, bool),
    ) {
        let begun = self.now.is_none();
        let outage = self.now.get_or_insert_with(|| Ongoing {
            since: SystemTime::now(),
            error: String::new(),
            next_probe: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            is_throttled,
        });
        outage.is_throttled = is_throttled;
        error.clone_into(&mut outage.error);
        if !begun {
            outage.next_probe = outage.next_probe.max(now + outage.pause);
        }
        if let Some(at_least) = at_least {
            outage.next_probe = outage.next_probe.max(now + at_least);
        }
    }

    /// Why nothing is worth waiting for at `now`: the target is out, and it is not time for a probe.
    pub(super) fn refusal(&self, now: Instant) -> Option<&str> {
        let outage = self.now.as_ref().filter(|outage| !outage.is_throttled)?;
        (now < outage.next_probe).then_some(&outage.error)
    }

    /// The target has answered as it should: whether it was out.
    pub(super) fn over(&mut self) -> bool {
        self.now.take().is_some()
    }

    /// Since when it is out, and why, where it is.
    pub(super) fn state(&self) -> Option<(SystemTime, &str)> {
        let outage = self.now.as_ref()?;
        Some((outage.since, &outage.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_probe_now_and_then_until_it_is_over() {
        let mut outage = Outage::default();
        let start = Instant::now();
        assert_eq!(outage.gate(start), Gate::Open);
        outage.trip(start, "no route", None);
        assert_eq!(outage.gate(start), Gate::Shut(start + FIRST_PAUSE));
        let mut now = start + FIRST_PAUSE;
        for pause in [2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs) {
            assert_eq!(outage.gate(now), Gate::One);
            outage.probed(now);
            outage.trip(now, "no route", None);
            assert_eq!(outage.gate(now), Gate::Shut(now + pause));
            now += pause;
        }
        assert_eq!(outage.state().map(|(_, why)| why), Some("no route"));
        assert!(outage.over());
        assert!(!outage.over());
        assert_eq!(outage.gate(start), Gate::Open);
        outage.trip(start, "429", Some(Duration::from_secs(9)));
        assert_eq!(
            outage.gate(start),
            Gate::Shut(start + Duration::from_secs(9))
        );
    }
}
