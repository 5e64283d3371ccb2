//! One window, without a clock and without a wire.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use super::learned::Learned;
use super::pause::Pause;
use super::verdict::Left;
use crate::registry::Priority;
use crate::registry::bucket::Bucket;
use crate::registry::quota::Quota;

/// What governs the requests of some actions.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) pause: Pause,
    learned: Learned,
    /// What its documentation allows.
    ceiling: Option<Bucket>,
    /// In flight: those that somebody waits for, and the others.
    foreground: usize,
    background: usize,
    /// When a request that somebody waits for was last seen.
    seen: Option<Instant>,
    /// When a request last left.
    departed: Option<Instant>,
    /// How often it was made smaller.
    pub(super) decreases: u64,
    pub(super) quota: Option<Quota>,
    /// Whether it was told already that little is left.
    is_low: bool,
}

/// Whether a request may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Now; `paced` where it was the speed that had held it back.
    Go {
        /// See [`Left::paced`].
        paced: bool,
    },
    /// Not before something changes.
    Wait {
        /// Or this is reached.
        until: Option<Instant>,
        /// See [`Left::paced`].
        paced: bool,
    },
    /// The registry has said for how long not.
    Paused(Duration),
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// Whether somebody waits for it.
    pub(super) priority: Priority,
    /// Since when it waits.
    pub(super) since: Instant,
    /// Whether it was held back by the speed when it last asked.
    pub(super) paced: bool,
    /// Whether a request that somebody waits for is waiting too.
    pub(super) is_behind: bool,
}

/// So many requests of clients are in flight before one of them has to wait, whatever was learned.
const FLOOR: usize = 16;
/// No client waits longer for a window that we have made ourselves.
const PATIENCE: Duration = Duration::from_secs(2);
/// But then they leave at such distances.
const OVERDUE: Duration = Duration::from_millis(50);
/// So long after a client's request background work keeps to its share.
const COURTESY: Duration = Duration::from_secs(1);
/// Which is one of so many parts.
const SHARE: usize = 4;
/// Little is left: less than a tenth.
const LOW: u64 = 10;

impl Turn {
    fn wait(until: Option<Instant>) -> Self {
        Self::Wait {
            until,
            paced: false,
        }
    }
}

impl Window {
    /// At most `cap` in flight, and as many requests a second as `ceiling` has.
    pub(super) fn new(cap: usize, ceiling: Option<Bucket>) -> Self {
        Self {
            pause: Pause::default(),
            learned: Learned::new(cap),
            ceiling,
            foreground: 0,
            background: 0,
            seen: None,
            departed: None,
            decreases: 0,
            quota: None,
            is_low: false,
        }
    }

    /// How many may be in flight.
    pub(super) fn size(&self) -> usize {
        self.learned.size.now()
    }

    /// No more than `cap` may be in flight from now on.
    pub(super) fn set_cap(&mut self, cap: usize) {
        self.learned.size.set_cap(cap);
    }

    /// How many are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.foreground + self.background
    }

    /// How many are in flight that somebody waits for.
    pub(super) fn in_flight_foreground(&self) -> usize {
        self.foreground
    }

    /// Whether a request that somebody waits for is in flight, or was lately.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        self.foreground > 0 || self.seen.is_some_and(|seen| now < seen + COURTESY)
    }

    /// How many background requests may be in flight.
    pub(super) fn background_share(&self, now: Instant) -> usize {
        let size = self.size();
        if !self.is_busy(now) {
            return size;
        }
        let left = size.saturating_sub(self.foreground);
        left.min(size / SHARE).max(1)
    }

    /// How many requests a second may leave, where that is limited.
    pub(super) fn rate(&self) -> Option<f64> {
        let learned = self.learned.rate();
        let documented = self.ceiling.as_ref().map(Bucket::rate);
        learned.into_iter().chain(documented).reduce(f64::min)
    }

    /// Whether `asker`, who is the first of its kind, may leave. Who was let wait was promised
    /// nothing.
    pub(super) fn turn(&mut self, now: Instant, asker: Asker) -> Turn {
        let is_foreground = asker.priority == Priority::Foreground;
        if is_foreground {
            self.seen = Some(now);
        }
        if let Some(left) = self.pause.left(now) {
            return Turn::Paused(left);
        }
        if let Some(until) = self.pause.trial(now) {
            return Turn::wait(Some(until));
        }
        self.learned.settle(now);
        if is_foreground {
            self.foreground_turn(now, asker)
        } else if asker.is_behind {
            Turn::wait(None)
        } else if self.background < self.background_share(now) {
            self.paced_turn(now, asker)
        } else {
            let free = self.seen.map(|seen| seen + COURTESY);
            Turn::wait(free.filter(|free| *free > now))
        }
    }

    /// Whether one more may leave that can be done without.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        if self.pause.is_on() || self.pause.left(now).is_some() || self.pause.trial(now).is_some() {
            return false;
        }
        self.learned.settle(now);
        let asker = Asker {
            priority: Priority::Background,
            since: now,
            paced: false,
            is_behind: false,
        };
        self.in_flight() < self.size() && matches!(self.paced_turn(now, asker), Turn::Go { .. })
    }

    fn foreground_turn(&mut self, now: Instant, asker: Asker) -> Turn {
        let overdue = asker.since + PATIENCE;
        if now >= overdue {
            let next = self.departed.map(|last| last + OVERDUE);
            return match next.filter(|next| *next > now) {
                Some(next) => Turn::wait(Some(next)),
                None => Turn::Go { paced: false },
            };
        }
        if self.learned.size.is_wary() && self.foreground >= self.size().max(FLOOR) {
            return Turn::wait(Some(overdue));
        }
        match self.paced_turn(now, asker) {
            Turn::Wait { until, paced } => Turn::Wait {
                until: until.map(|until| until.min(overdue)),
                paced,
            },
            turn => turn,
        }
    }

    /// There is room: whether there is a rate that says no.
    fn paced_turn(&mut self, now: Instant, asker: Asker) -> Turn {
        let in_a_hurry = asker.priority == Priority::Foreground;
        let (learned, paced) = self.learned.next(now, in_a_hurry);
        let documented = self.ceiling.as_mut().and_then(|bucket| {
            let floor = if in_a_hurry { 0.0 } else { bucket.half() };
            bucket.next(now, floor)
        });
        match learned.max(documented) {
            None => Turn::Go { paced: asker.paced },
            until => Turn::Wait { until, paced },
        }
    }

    /// A request leaves.
    pub(super) fn depart(&mut self, now: Instant, priority: Priority, paced: bool) -> Left {
        self.pause.depart(now);
        self.departed = Some(now);
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.take(now, 1.0);
        }
        match priority {
            Priority::Foreground => self.foreground += 1,
            Priority::Background => self.background += 1,
        }
        self.learned.depart(now, self.in_flight(), paced)
    }

    /// A request was let in: its answer says something else than that it was too much.
    pub(super) fn accepted(&mut self, left: &Left, now: Instant) {
        self.learned.accepted(left, now);
    }

    /// A request that was let in has come to a good end.
    pub(super) fn succeeded(&mut self, left: &Left, now: Instant) {
        self.learned.succeeded(left, now);
    }

    /// A request was too much.
    pub(super) fn refused(&mut self, left: &Left, now: Instant) {
        self.decreases += u64::from(self.learned.refused(left, now));
    }

    /// A request has broken off, or was not answered in time.
    pub(super) fn troubled(&mut self, left: &Left, now: Instant) {
        self.decreases += u64::from(self.learned.troubled(left, now));
    }

    /// A request is no longer in flight.
    pub(super) fn ended(&mut self, now: Instant, priority: Priority) {
        match priority {
            Priority::Foreground => {
                self.foreground = self.foreground.saturating_sub(1);
                self.seen = Some(now);
            }
            Priority::Background => self.background = self.background.saturating_sub(1),
        }
    }

    /// Takes note of what the registry says is left.
    pub(super) fn learn(&mut self, quota: Quota, told: impl FnOnce() -> String) {
        let is_low = quota.is_below(LOW, quota.seen);
        if is_low && !self.is_low {
            let (left, limit) = (quota.remaining, quota.limit.unwrap_or_default());
            tracing::warn!("{}: {left} of {limit} requests are left", told());
        }
        self.is_low = is_low;
        self.quota = Some(quota);
    }

    /// Whether less than one of `parts` equal parts of its quota is left.
    pub(super) fn is_scarce(&self, parts: u64) -> bool {
        let quota = self.quota.as_ref();
        quota.is_some_and(|it| it.is_below(parts, SystemTime::now()))
    }
}
