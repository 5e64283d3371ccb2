//! One window, without a clock and without a wire.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use super::pause::Pause;
use super::size::LATER;
use super::size::Size;
use super::speed::Speed;
use super::verdict::Epoch;
use super::verdict::Left;
use super::verdict::Verdict;
use crate::registry::Priority;
use crate::registry::bucket::Bucket;
use crate::registry::quota::Quota;

/// What governs the requests of some actions.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) pause: Pause,
    pub(super) size: Size,
    pub(super) speed: Option<Speed>,
    /// What its documentation allows.
    ceiling: Option<Bucket>,
    epoch: Epoch,
    /// In flight: those that somebody waits for, and the others.
    foreground: usize,
    background: usize,
    /// When a request that somebody waits for was last seen.
    seen: Option<Instant>,
    /// When a request last left.
    departed: Option<Instant>,
    /// When it was last refused.
    refused: Option<Instant>,
    /// How often in a row what was concluded from refusals was no help.
    tried: u32,
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
/// A probe that fails costs a pause: it is tried after so many times as long, but no sooner than
/// after this.
const WORTH: f64 = 9.0;
const SOONEST: f64 = 6.0;
/// So few requests in flight are a coarse measure of a rate.
const FEW: usize = 5;
/// What was learned of a speed is believed for so long after a refusal.
const BELIEVED: Duration = Duration::from_secs(10 * 60);
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
            size: Size::new(cap),
            speed: None,
            ceiling,
            epoch: Epoch::default(),
            foreground: 0,
            background: 0,
            seen: None,
            departed: None,
            refused: None,
            tried: 0,
            decreases: 0,
            quota: None,
            is_low: false,
        }
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
        let size = self.size.now();
        if !self.is_busy(now) {
            return size;
        }
        let left = size.saturating_sub(self.foreground);
        left.min(size / SHARE).max(1)
    }

    /// How many requests a second may leave, where that is limited.
    pub(super) fn rate(&self) -> Option<f64> {
        let learned = self.speed.as_ref().map(Speed::now);
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
        self.settle(now);
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

    fn foreground_turn(&mut self, now: Instant, asker: Asker) -> Turn {
        let overdue = asker.since + PATIENCE;
        if now >= overdue {
            let next = self.departed.map(|last| last + OVERDUE);
            return match next.filter(|next| *next > now) {
                Some(next) => Turn::wait(Some(next)),
                None => Turn::Go { paced: false },
            };
        }
        if self.size.is_wary() && self.foreground >= self.size.now().max(FLOOR) {
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
        let learned = self.speed.as_mut();
        let learned = learned.and_then(|speed| speed.next(now, in_a_hurry));
        let documented = self.ceiling.as_mut().and_then(|bucket| {
            let floor = if in_a_hurry { 0.0 } else { bucket.half() };
            let wait = bucket.wait(now, 1.0, floor);
            (!wait.is_zero()).then(|| now + wait)
        });
        match learned.into_iter().chain(documented).max() {
            None => Turn::Go { paced: asker.paced },
            until => Turn::Wait {
                until,
                paced: learned.is_some() && self.is_slower(),
            },
        }
    }

    /// Whether fewer are in flight at the learned speed than the window lets (by Little's law).
    fn is_slower(&self) -> bool {
        let in_flight = |speed: &Speed| speed.now() * self.epoch.round_trip();
        let speed = self.speed.as_ref();
        speed.is_some_and(|speed| in_flight(speed) < self.size.now() as f64)
    }

    /// A request leaves.
    pub(super) fn depart(&mut self, now: Instant, priority: Priority, paced: bool) -> Left {
        self.pause.depart(now);
        self.epoch.depart(now);
        self.departed = Some(now);
        if let Some(speed) = &mut self.speed {
            speed.depart(now);
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.take(now, 1.0);
        }
        match priority {
            Priority::Foreground => self.foreground += 1,
            Priority::Background => self.background += 1,
        }
        let in_flight = self.in_flight();
        Left {
            at: now,
            in_flight,
            full: in_flight >= self.size.now(),
            paced,
        }
    }

    /// A request was let in: its answer says something else than that it was too much.
    pub(super) fn accepted(&mut self, left: &Left, now: Instant) {
        if self.epoch.accept(left, now) && left.paced {
            let may_probe = self.epoch.is_paid();
            if let Some(speed) = &mut self.speed {
                speed.succeeded(may_probe);
            }
        }
    }

    /// A request that was let in has come to a good end.
    pub(super) fn succeeded(&mut self, left: &Left, now: Instant) {
        // What the speed holds back says nothing of the size.
        if left.full && !left.paced && self.epoch.is_news(left.at) {
            self.size.succeeded(now, self.epoch.is_paid());
        }
    }

    /// A request was too much. Whether that is a congestion of its own.
    pub(super) fn refused(&mut self, left: &Left, now: Instant) -> bool {
        self.refused = Some(now);
        if !self.epoch.refuse(left, now) {
            return false;
        }
        self.decreases += 1;
        if !left.paced {
            self.size.halve();
        }
        true
    }

    /// A request has broken off, or was not answered in time. Whether that is a congestion of its
    /// own.
    pub(super) fn troubled(&mut self, left: &Left, now: Instant) -> bool {
        if !self.epoch.is_news(left.at) {
            return false;
        }
        self.epoch.trouble(now);
        self.decreases += 1;
        self.size.halve();
        true
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

    /// Draws the conclusion from the last refusals, once all that left before has been answered, as
    /// far as can be told: the pause is over.
    fn settle(&mut self, now: Instant) {
        if self.refused.is_some_and(|at| now > at + BELIEVED) {
            self.speed = None;
        }
        let Some(verdict) = self.epoch.judge() else {
            return;
        };
        let pause = self.refused_for(now);
        let hold = (pause * WORTH).max(SOONEST);
        let lift = now + Duration::from_secs_f64(hold) + LATER;
        let achieved = verdict.achieved;
        let ceiling = self.size.ceiling();
        match &mut self.speed {
            // Which of the two it was is not known yet.
            None => {
                self.size.learn(verdict.guess, now + LATER);
                self.speed = Some(Speed::search(achieved));
            }
            Some(speed) => {
                self.tried = match achieved.steady {
                    Some(_) => 0,
                    None => self.tried + 1,
                };
                let suspect = suspect(&verdict, ceiling, self.tried);
                match suspect {
                    Suspect::Nothing => self.size.hold(lift),
                    Suspect::Size(most) => self.size.learn(most, lift),
                    Suspect::Rate => speed.refused(now, achieved, hold),
                }
            }
        }
    }

    /// How long the last pause was, in seconds.
    fn refused_for(&self, now: Instant) -> f64 {
        let since = self.epoch.since.unwrap_or(now);
        now.saturating_duration_since(since).as_secs_f64().min(7.0)
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

/// What may have been too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspect {
    /// Nothing new: a registry may count otherwise than we do for a moment.
    Nothing,
    /// More than so many in flight.
    Size(usize),
    /// More in a second.
    Rate,
}

/// What a refusal is laid to, where `ceiling` were not too much before, and the last `tried`
/// conclusions were no help.
fn suspect(verdict: &Verdict, ceiling: Option<usize>, tried: u32) -> Suspect {
    let most = verdict.least.saturating_sub(1).max(1);
    let is_beyond = ceiling.is_none_or(|ceiling| verdict.least > ceiling);
    if verdict.paced {
        return Suspect::Rate;
    }
    if is_beyond {
        return Suspect::Size(most);
    }
    // What was not too much for long is too much now. Where few are in flight, one less is much, so
    // the rate is suspected first.
    match (tried, most < FEW) {
        (0, true) => Suspect::Rate,
        (0, false) => Suspect::Nothing,
        (tried, _) if tried % 2 == 1 => Suspect::Size(most),
        _ => Suspect::Rate,
    }
}
