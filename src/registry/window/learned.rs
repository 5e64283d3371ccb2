//! What refusals have taught: how many requests may be in flight, and how many a second may leave.

use std::time::Duration;
use std::time::Instant;

use super::size::Size;
use super::speed::Speed;
use super::verdict::Epoch;
use super::verdict::Left;
use super::verdict::Verdict;
use crate::registry::bucket::Bucket;

/// A size and a speed, and which of the two is to blame for a refusal.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) size: Size,
    speed: Option<Speed>,
    /// Not all that the window holds leaves at once, for registries let in no more than a few at
    /// once; and what left together is answered together, and would leave together again.
    spread: Bucket,
    epoch: Epoch,
    /// When a request was last refused.
    refused: Option<Instant>,
    /// What was so when the last congestion began.
    last: Circumstances,
    /// Nothing was ever refused.
    is_first: bool,
    /// How often in a row what was concluded did not help.
    in_vain: u32,
    /// Since when it is not the speed that holds requests back.
    free: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Circumstances {
    /// It was tried whether more may be in flight.
    was_probe: bool,
    /// About as many were in flight as the size lets, though it was the speed that held them back.
    was_full: bool,
}

/// A probe that fails costs a pause: it is tried after so many times as long, but no sooner than
/// after this, in seconds.
const WORTH: f64 = 8.0;
const SOONEST: f64 = 6.0;
/// The longest pause that counts, in seconds.
const LONGEST: f64 = 7.0;
/// A first guess of the size is tried after so much, when the search for a speed is over.
const LATER: Duration = Duration::from_millis(1500);
/// What was learned of a speed is believed for so long after a refusal.
const BELIEVED: Duration = Duration::from_secs(10 * 60);
/// A speed that has held nothing back for so long is forgotten; one that is looked for, sooner.
const IDLE: Duration = Duration::from_secs(5);
const IDLE_SEARCH: Duration = Duration::from_millis(100);
/// What has helped for so long was right.
const HELPED: Duration = Duration::from_secs(3);
/// So often in a row is the size blamed, where it is not known which it was: where the size held the
/// request back, and where the speed did.
const BLAMED: u32 = 2;
const BLAMED_PACED: u32 = 1;
/// One of so few less is much: it is rather the speed that is lowered.
const FEW: usize = 5;
/// So near to the size, in flight, it may be the size that was too much.
const FULL: f64 = 0.8;
/// So many times what the speed needs is in flight at most: it is the speed that is to hold back.
const ROOM: f64 = 3.0;
/// So much faster than they are answered, requests leave.
const SPREAD: f64 = 1.25;
/// As many may leave at once as leave in so many seconds, and one of so many parts of the size.
const AT_ONCE: f64 = 0.02;
const AT_ONCE_PARTS: f64 = 4.0;
/// The shortest round trip that is reckoned with, in seconds.
const SHORTEST: f64 = 0.001;

impl Learned {
    /// Nothing yet; at most `cap` in flight.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            size: Size::new(cap),
            speed: None,
            spread: Bucket::new(1.0, 1.0),
            epoch: Epoch::default(),
            refused: None,
            last: Circumstances::default(),
            is_first: true,
            in_vain: 0,
            free: None,
        }
    }

    /// How many requests a second may leave, where that is known to be limited.
    pub(super) fn rate(&self) -> Option<f64> {
        self.speed.as_ref().map(Speed::now)
    }

    /// When the next request may leave, where that is not now, and whether it is the speed that holds
    /// it back.
    pub(super) fn next(&mut self, now: Instant, in_a_hurry: bool) -> (Option<Instant>, bool) {
        let paced = self.speed.as_mut();
        let paced = paced.and_then(|speed| speed.next(now, in_a_hurry));
        let spread = match in_a_hurry || self.is_first {
            true => None,
            false => self.spread(now),
        };
        (paced.max(spread), paced.is_some() && self.is_slower())
    }

    fn spread(&mut self, now: Instant) -> Option<Instant> {
        let size = self.size.now() as f64;
        let rate = SPREAD * size / self.epoch.round_trip().max(SHORTEST);
        let depth = 1.0 + (rate * AT_ONCE).min(size / AT_ONCE_PARTS);
        self.spread.set(rate, depth);
        self.spread.next(now, 0.0)
    }

    /// Whether fewer are in flight at the speed than the size lets (by Little's law).
    fn is_slower(&self) -> bool {
        self.needed().is_some_and(|it| it < self.size.now() as f64)
    }

    /// How many are in flight at the speed.
    fn needed(&self) -> Option<f64> {
        self.rate().map(|rate| rate * self.epoch.round_trip())
    }

    /// A request leaves, and so many are in flight with it.
    pub(super) fn depart(&mut self, now: Instant, in_flight: usize, paced: bool) -> Left {
        self.epoch.depart(now);
        self.spread.take(now, 1.0);
        if let Some(speed) = &mut self.speed {
            speed.depart(now);
        }
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
                speed.succeeded(now, may_probe);
            }
        }
    }

    /// A request that was let in has come to a good end.
    pub(super) fn succeeded(&mut self, left: &Left, now: Instant) {
        if !self.epoch.is_news(left.at) {
            return;
        }
        // What the speed holds back says nothing of the size.
        if left.paced {
            self.free = None;
        } else if left.full {
            let round_trip = Duration::from_secs_f64(self.epoch.round_trip());
            self.size.succeeded(now, self.epoch.is_paid(), round_trip);
            self.forget_idle(now, round_trip);
        }
    }

    /// Forgets a speed that has held nothing back for long.
    fn forget_idle(&mut self, now: Instant, round_trip: Duration) {
        let Some(speed) = self.speed.as_ref().filter(|_| !self.is_slower()) else {
            return;
        };
        let long = match speed.is_search() {
            true => IDLE_SEARCH,
            false => IDLE,
        };
        let since = *self.free.get_or_insert(now);
        if now >= since + long + 2 * round_trip {
            (self.speed, self.free) = (None, None);
        }
    }

    /// A request was too much. Whether that is a congestion of its own.
    pub(super) fn refused(&mut self, left: &Left, now: Instant) -> bool {
        self.refused = Some(now);
        if !self.epoch.refuse(left, now) {
            return false;
        }
        let size = self.size.now() as f64;
        self.last = Circumstances {
            was_probe: self.size.is_probing(),
            was_full: self.needed().is_none_or(|needed| needed >= FULL * size),
        };
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
        self.size.halve();
        true
    }

    /// Draws the conclusion from the last refusals, once all that left before has been answered, as
    /// far as can be told: the pause is over.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.refused.is_some_and(|at| now > at + BELIEVED) {
            self.speed = None;
        }
        let pause = self.epoch.since.unwrap_or(now);
        let pause = now.saturating_duration_since(pause).as_secs_f64();
        let Some(verdict) = self.epoch.judge() else {
            return;
        };
        let hold = (pause.min(LONGEST) * WORTH).max(SOONEST);
        if self.is_first {
            // Which of the two it was is not known yet.
            self.is_first = false;
            self.size.learn(verdict.guess, now + LATER);
            self.speed = Some(Speed::search(verdict.let_in));
            return;
        }
        let (began, at) = verdict.span;
        self.in_vain = match at.saturating_duration_since(began) > HELPED {
            true => 0,
            false => self.in_vain + 1,
        };
        if self.is_size(&verdict) {
            let most = self.most(&verdict);
            self.size.learn(most, now + Duration::from_secs_f64(hold));
        } else {
            self.in_vain = 0;
            self.lower_speed(now, &verdict, hold);
        }
    }

    /// Whether it is rather the size that was too much.
    fn is_size(&self, verdict: &Verdict) -> bool {
        match verdict.paced {
            true => self.last.was_full && self.in_vain <= BLAMED_PACED,
            false if verdict.least <= FEW && verdict.is_old => false,
            false => self.in_vain <= BLAMED,
        }
    }

    /// How many in flight are not too much, where one of the size was.
    fn most(&self, verdict: &Verdict) -> usize {
        match self.size.ceiling() {
            // One more was tried: what was before is right.
            Some(ceiling) if self.last.was_probe && verdict.least <= ceiling + 1 => ceiling,
            Some(ceiling) if !self.last.was_probe => verdict.guess.min(ceiling.saturating_sub(1)),
            _ => verdict.guess,
        }
    }

    fn lower_speed(&mut self, now: Instant, verdict: &Verdict, hold: f64) {
        let recent = &self.epoch.recent;
        match &mut self.speed {
            Some(speed) => speed.refused(now, verdict.span, recent, hold),
            None => self.speed = Some(Speed::learn(recent.least_rate(verdict.span), hold)),
        }
        // So that it is not the size that holds requests back.
        self.size.forget(ROOM * self.needed().unwrap_or(0.0) + ROOM);
    }
}
