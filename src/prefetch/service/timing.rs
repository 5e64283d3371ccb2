use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::prefetch::Quiet;
use crate::prefetch::Schedule;

/// When one set is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    /// When it last was: when a run began, or would have, had the one before not been under way.
    pub(super) last: Option<Timestamp>,
    /// When it is next, jitter and quiet hours included.
    pub(super) next: Option<Timestamp>,
}

/// Whether a run is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// It is, but the one before is still under way.
    Missed,
    Later,
}

/// What says when a set is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    pub(super) schedule: Option<&'a Schedule>,
    pub(super) quiet: &'a Quiet,
    /// Of its hours.
    pub(super) zone: &'a TimeZone,
}

impl Timing {
    /// Whether a run is due at `now`. If so, or where it must be left out as one `is_running`, the
    /// next one is another. `chance` is what part of the jitter is waited for, from 0 to 1.
    pub(super) fn look(
        &mut self,
        plan: Plan<'_>,
        now: Timestamp,
        is_running: bool,
        chance: impl Fn() -> f64,
    ) -> Due {
        let Some(schedule) = plan.schedule else {
            self.next = None;
            return Due::Later;
        };
        let Some(due) = plan.due(schedule, self.last, now) else {
            self.next = None;
            return Due::Later;
        };
        let leeway = schedule.leeway(due, plan.zone);
        let next = match self.next {
            // Later than it may be: the clock was set back since.
            Some(next) if next <= after(due, leeway) => next,
            _ => after(due, leeway.mul_f64(chance())),
        };
        if next > now {
            self.next = Some(next);
            return Due::Later;
        }
        if is_running {
            self.came(plan, now, chance);
            return Due::Missed;
        }
        // The jitter of what was due before has led into quiet hours.
        if let Some(end) = plan.quiet.ends(now, plan.zone) {
            self.next = Some(after(end, leeway.mul_f64(chance())));
            return Due::Later;
        }
        self.came(plan, now, chance);
        Due::Now
    }

    /// A run begins at `now`, or would have: the next one is another.
    pub(super) fn came(&mut self, plan: Plan<'_>, now: Timestamp, chance: impl Fn() -> f64) {
        self.last = Some(now);
        self.next = plan.schedule.and_then(|schedule| {
            let due = plan.due(schedule, self.last, now)?;
            Some(after(
                due,
                schedule.leeway(due, plan.zone).mul_f64(chance()),
            ))
        });
    }
}

impl Plan<'_> {
    /// When it is due without jitter, not before the quiet hours are over.
    fn due(
        self,
        schedule: &Schedule,
        last: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let due = schedule.due(last, now, self.zone)?;
        Some(self.quiet.ends(due, self.zone).unwrap_or(due))
    }
}

fn after(time: Timestamp, pause: Duration) -> Timestamp {
    time.checked_add(pause).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
