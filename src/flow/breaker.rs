use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::registry;

/// Knows whether an upstream is out, so that an outage costs one probe, not one timeout for each
/// request.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Option<Outage>>);

#[derive(Debug)]
struct Outage {
    since: Instant,
    next_probe: Instant,
    pause: Duration,
    why: String,
}

/// What may be asked of the upstream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Anything.
    Closed,
    /// Nothing that can wait: it is out.
    Open,
    /// This caller's request is the probe; nobody else gets this for a while.
    Probe,
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long who can wait goes on asking an upstream that is out.
const PATIENCE: Duration = Duration::from_secs(10);

impl Breaker {
    /// What may be asked now.
    pub(super) fn gate(&self) -> Gate {
        let mut outage = self.outage();
        match &mut *outage {
            None => Gate::Closed,
            Some(outage) if Instant::now() < outage.next_probe => Gate::Open,
            Some(outage) => {
                outage.pause = (outage.pause * 2).min(LONGEST_PAUSE);
                outage.next_probe = Instant::now() + outage.pause;
                Gate::Probe
            }
        }
    }

    /// For who can wait, and takes no answer of before: fails where the upstream has been out for so
    /// long that there is no use in one more request, unless that is the probe.
    ///
    /// # Errors
    /// Why it is out.
    pub(super) fn patience(&self) -> Result<(), registry::Error> {
        match (self.gate(), self.state()) {
            (Gate::Open, Some((out, why))) if out > PATIENCE => Err(registry::Error::Unreachable(
                format!("{why}, for {} seconds now", out.as_secs()),
            )),
            _ => Ok(()),
        }
    }

    /// Takes note of how a request went. An answer of any kind but an outage's closes the breaker.
    pub(super) fn note<T>(&self, outcome: &Result<T, registry::Error>) {
        match outcome {
            Err(error) if is_outage(error) => self.trip(error),
            Ok(_) | Err(_) => *self.outage() = None,
        }
    }

    /// The upstream is out, or has been for a while.
    pub(super) fn trip(&self, error: &registry::Error) {
        let asked_for = match error {
            registry::Error::Throttled { retry_after } => *retry_after,
            _ => None,
        };
        let now = Instant::now();
        let mut outage = self.outage();
        let outage = outage.get_or_insert_with(|| Outage {
            since: now,
            next_probe: now + FIRST_PAUSE,
            pause: FIRST_PAUSE,
            why: String::new(),
        });
        outage.why = error.to_string();
        if let Some(asked_for) = asked_for {
            outage.next_probe = outage.next_probe.max(now + asked_for);
        }
    }

    /// How long the upstream has been out, and why, where it is.
    pub(super) fn state(&self) -> Option<(Duration, String)> {
        self.outage()
            .as_ref()
            .map(|outage| (outage.since.elapsed(), outage.why.clone()))
    }

    fn outage(&self) -> MutexGuard<'_, Option<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the upstream could not answer, rather than would not: what is stored is then served.
pub(super) fn is_outage(error: &registry::Error) -> bool {
    use registry::Error::{Status, Throttled, TimedOut, Unreachable};
    matches!(
        error,
        Unreachable(_) | TimedOut(_) | Throttled { .. } | Status { status: 500.., .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Result<(), registry::Error> {
        Err(registry::Error::Unreachable("refused".into()))
    }

    #[test]
    fn opens_at_an_outage_and_closes_at_an_answer() {
        let breaker = Breaker::default();
        assert_eq!(breaker.gate(), Gate::Closed);
        breaker.note(&refused());
        assert_eq!(breaker.gate(), Gate::Open);
        assert!(breaker.state().is_some());
        breaker.note::<()>(&Err(registry::Error::NotFound {
            code: String::new(),
        }));
        assert_eq!(breaker.gate(), Gate::Closed);
    }

    #[test]
    fn lets_one_probe_through_when_it_is_time() {
        let breaker = Breaker::default();
        breaker.note(&refused());
        breaker.outage().as_mut().unwrap().next_probe = Instant::now();
        assert_eq!(breaker.gate(), Gate::Probe);
        assert_eq!(breaker.gate(), Gate::Open);
    }
}
