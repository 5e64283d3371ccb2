//! What becomes of an errand at its end.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use super::Error;
use super::agenda::Next;
use super::lock;
use super::remote::Outcome;
use super::remote::Remote;
use super::verdict::Verdict;
use crate::registry;

impl Remote {
    /// An errand has ended: it is settled, or tried again. `taken` is what the target had taken
    /// before it began.
    pub(super) fn ended(&self, id: u64, outcome: &Outcome, taken: u64) {
        match outcome {
            Ok(_) => self.settle(id, outcome),
            Err(error) => self.failed(id, outcome, error, taken),
        }
        self.bell.notify_one();
        self.quiet.notify_waiters();
    }

    fn settle(&self, id: u64, outcome: &Outcome) {
        let mut agenda = lock(&self.agenda);
        if let Some(entry) = agenda.done(id, outcome)
            && entry.durable
        {
            self.queue.settle(&entry.errand);
        }
        drop(agenda);
        if outcome.is_ok() {
            self.counts.errands.add(1);
            *lock(&self.last_success) = Some(SystemTime::now());
        }
    }

    fn failed(&self, id: u64, outcome: &Outcome, error: &Error, taken: u64) {
        let verdict = Verdict::of(error);
        if verdict == Verdict::GiveUp {
            self.counts.given_up.add(1);
            return self.settle(id, outcome);
        }
        self.counts
            .failures
            .add(u64::from(verdict != Verdict::Waits));
        if let Verdict::Outage { at_least } = verdict
            && self.counts.taken() == taken
        {
            self.trip(error, at_least);
        }
        let out = self.is_out();
        if verdict == Verdict::Waits && lock(&self.agenda).was_parked_in_vain(id) {
            return self.settle(id, outcome);
        }
        let mut agenda = lock(&self.agenda);
        let Some((errand, attempts)) = agenda.attempted(id) else {
            return;
        };
        let pause = verdict.pause(attempts + 1);
        let next = match (verdict, error) {
            (Verdict::Outage { .. }, _) if out => Next::Now,
            (Verdict::Supply, _) => Next::Supply(pause),
            (_, Error::Waits { lacking, .. }) => Next::Parked(pause, lacking.clone()),
            _ => Next::After(pause),
        };
        let pause = if matches!(next, Next::Now) {
            Duration::ZERO
        } else {
            pause
        };
        self.queue
            .failed(&errand, &error.to_string(), SystemTime::now() + pause);
        agenda.failed(id, error, next);
        // What has come since it was looked for wakes nobody else.
        if let Error::Waits { lacking, .. } = error
            && let Ok(name) = self.config.place.of(&errand.repository)
            && let Some(there) = lacking
                .iter()
                .find(|digest| self.has_manifest(&name, digest))
        {
            agenda.wake(&errand.repository, there);
        }
    }

    fn trip(&self, error: &Error, at_least: Option<Duration>) {
        let mut outage = lock(&self.outage);
        if outage.state().is_none() {
            let target = &*self.name;
            tracing::warn!(
                target,
                "what is owed to the target waits until it is well: {error}"
            );
        }
        let (now, text) = (Instant::now(), error.to_string());
        if is_throttled(error) {
            return outage.throttle(now, &text, at_least);
        }
        outage.trip(now, &text, at_least);
        drop(outage);
        // Who waits has other things to do than to wait for the next probe.
        lock(&self.agenda).give_up(&Error::Out(text));
    }
}

fn is_throttled(error: &Error) -> bool {
    matches!(
        error,
        Error::Registry {
            error: registry::Error::Throttled { .. },
            ..
        }
    )
}
