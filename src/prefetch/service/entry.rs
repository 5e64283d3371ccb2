use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Cause;
use super::Figures;
use super::Record;
use super::SetState;
use super::Under;
use super::timing::Due;
use super::timing::Plan;
use super::timing::Timing;
use crate::prefetch::Outcome;
use crate::prefetch::Progress;
use crate::prefetch::Set;

/// What is known of one set.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) set: Arc<Set>,
    /// Whether the configuration has it no more.
    pub(super) is_gone: bool,
    /// Its last run that has ended.
    pub(super) last: Option<Arc<Record>>,
    timing: Timing,
    under_way: Option<Under>,
    figures: Figures,
}

impl Entry {
    /// A set whose last run, in this life of the proxy or one before, was `last`.
    pub(super) fn new(set: Arc<Set>, last: Option<Record>) -> Self {
        // What was interrupted is gone on with.
        let ran = last
            .as_ref()
            .filter(|record| record.report.outcome != Outcome::Interrupted);
        let timing = Timing {
            last: ran.map(|record| record.report.begun),
            next: None,
        };
        Self {
            set,
            is_gone: false,
            last: last.map(Arc::new),
            timing,
            under_way: None,
            figures: Figures::default(),
        }
    }

    /// As the configuration has it now.
    pub(super) fn with(mut self, set: Arc<Set>) -> Self {
        if set.schedule != self.set.schedule || set.quiet != self.set.quiet {
            self.timing.next = None;
        }
        self.is_gone = false;
        self.set = set;
        self
    }

    pub(super) fn is_running(&self) -> bool {
        self.under_way.is_some()
    }

    pub(super) fn under_way(&self) -> Option<&Under> {
        self.under_way.as_ref()
    }

    pub(super) fn progress(&self) -> Option<&Progress> {
        Some(&*self.under_way()?.progress)
    }

    /// Whether a run is due at `now`. A run that is under way is held in quiet hours, unless
    /// somebody asked for it.
    pub(super) fn look(&mut self, now: Timestamp, zone: &TimeZone) -> Due {
        if let Some(under) = self.under_way.as_mut()
            && under.cause == Cause::Schedule
        {
            under.is_held = self.set.quiet.ends(now, zone).is_some();
            under.progress.hold(under.is_held);
        }
        if self.is_gone {
            return Due::Later;
        }
        let is_running = self.is_running();
        let set = &self.set;
        let due = self
            .timing
            .look(plan(set, zone), now, is_running, fastrand::f64);
        self.figures.missed += u64::from(due == Due::Missed);
        due
    }

    /// When something changes next, as far as clocks tell.
    pub(super) fn next_look(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let turns = self.is_running().then(|| self.set.quiet.turns(now, zone));
        let next = self.timing.next.filter(|_| !self.is_gone);
        next.into_iter().chain(turns.flatten()).min()
    }

    pub(super) fn begin(&mut self, under: Under, zone: &TimeZone) {
        let set = &self.set;
        self.timing
            .came(plan(set, zone), under.begun, fastrand::f64);
        self.under_way = Some(under);
    }

    pub(super) fn end(&mut self, record: Arc<Record>) {
        self.figures.add(&record.report);
        self.under_way = None;
        self.last = Some(record);
    }

    pub(super) fn state(&self) -> SetState {
        let schedule = self.set.schedule.as_ref();
        SetState {
            name: self.set.name.clone(),
            schedule: schedule.map(ToString::to_string),
            next: self.timing.next.filter(|_| !self.is_gone),
            under_way: self.under_way.clone(),
            last: self.last.clone(),
            figures: self.figures,
        }
    }
}

fn plan<'a>(set: &'a Set, zone: &'a TimeZone) -> Plan<'a> {
    Plan {
        schedule: set.schedule.as_ref(),
        quiet: &set.quiet,
        zone,
    }
}
