//! What a refusal tells: whether too many were in flight, or too many left in too short a time.

use std::time::Duration;
use std::time::Instant;

use super::recent::Recent;
use super::speed::Achieved;

/// How a request left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    /// When.
    pub(super) at: Instant,
    /// How many were in flight then, this one included.
    pub(super) in_flight: usize,
    /// Whether the window was full with it.
    pub(super) full: bool,
    /// Whether it was the speed that had held it back.
    pub(super) paced: bool,
}

/// What was seen since the last congestion, and is to be judged at the next one: answers to what had
/// left before are no news, but they tell how much was let in.
#[derive(Clone, Debug)]
pub(super) struct Epoch {
    /// When the last congestion was. Nothing that left before it counts.
    pub(super) since: Option<Instant>,
    /// When the first request left after it.
    began: Option<Instant>,
    /// The most in flight when one left that was let in.
    most: usize,
    /// How many were let in.
    let_in: u32,
    /// How many of them left after the congestion, and were not refused.
    paid: u32,
    /// How many requests the congestion cost.
    cost: u32,
    recent: Recent,
    /// How long answers take, in seconds.
    round_trip: f64,
    open: Option<Open>,
}

/// A congestion that is not judged yet: refusals of what left before it still come.
#[derive(Clone, Debug)]
struct Open {
    /// The least in flight when one left that was refused.
    least: usize,
    most: usize,
    let_in: u32,
    paced: bool,
    achieved: Achieved,
}

/// A congestion, judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    /// The least in flight when one left that was refused.
    pub(super) least: usize,
    /// So many in flight are not too much, where nothing was known before.
    pub(super) guess: usize,
    /// Whether the first one to be refused had been held back by the speed.
    pub(super) paced: bool,
    /// What was achieved before.
    pub(super) achieved: Achieved,
}

/// So many successes pay for a refusal: this bounds the share of refusals.
const PRICE: u32 = 40;
/// A rate is not measured in less, in seconds, besides two round trips.
const SHORT: f64 = 0.4;

impl Default for Epoch {
    fn default() -> Self {
        Self {
            since: None,
            began: None,
            most: 0,
            let_in: 0,
            paid: 0,
            cost: 0,
            recent: Recent::default(),
            round_trip: 0.05,
            open: None,
        }
    }
}

impl Epoch {
    /// Whether what left at `at` knew of the last congestion.
    pub(super) fn is_news(&self, at: Instant) -> bool {
        self.since.is_none_or(|since| at >= since)
    }

    /// Whether what is seen of refusals is paid for.
    pub(super) fn is_paid(&self) -> bool {
        self.paid >= self.cost.saturating_mul(PRICE)
    }

    /// How long answers take, in seconds.
    pub(super) fn round_trip(&self) -> f64 {
        self.round_trip
    }

    /// A request leaves.
    pub(super) fn depart(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    /// A request was let in. Whether that is news.
    pub(super) fn accept(&mut self, left: &Left, now: Instant) -> bool {
        self.recent.add(now);
        if !self.is_news(left.at) {
            if let Some(open) = &mut self.open {
                open.most = open.most.max(left.in_flight);
                open.let_in += 1;
            }
            return false;
        }
        let took = now.saturating_duration_since(left.at).as_secs_f64();
        self.round_trip += (took - self.round_trip) / 8.0;
        self.most = self.most.max(left.in_flight);
        self.let_in += 1;
        self.paid = self.paid.saturating_add(1);
        true
    }

    /// A request was refused. Whether that is a congestion, and not a part of the last one.
    pub(super) fn refuse(&mut self, left: &Left, now: Instant) -> bool {
        if !self.is_news(left.at) {
            self.cost = self.cost.saturating_add(1);
            if let Some(open) = &mut self.open {
                open.least = open.least.min(left.in_flight);
            }
            return false;
        }
        let achieved = self.achieved(now);
        self.open = Some(Open {
            least: left.in_flight,
            most: self.most,
            let_in: self.let_in,
            paced: left.paced,
            achieved,
        });
        (self.most, self.let_in, self.paid, self.cost) = (0, 0, 0, 1);
        (self.since, self.began) = (Some(now), None);
        true
    }

    /// A congestion that no registry has told of.
    pub(super) fn trouble(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// What the last congestion tells, once: when the next request is to leave.
    pub(super) fn judge(&mut self) -> Option<Verdict> {
        let Open {
            least,
            most,
            let_in,
            paced,
            achieved,
        } = self.open.take()?;
        // Those that left together may have arrived in another order.
        let guess = match least > most * 7 / 10 {
            true => least.saturating_sub(1),
            false if achieved.steady.is_none() => most.min(let_in as usize),
            false => most,
        };
        Some(Verdict {
            least,
            guess: guess.max(1),
            paced,
            achieved,
        })
    }

    fn achieved(&mut self, now: Instant) -> Achieved {
        let began = self.began.unwrap_or(now);
        let active = now.saturating_duration_since(began).as_secs_f64();
        let window = active.min(1.0);
        let count = f64::from(self.recent.count(now, Duration::from_secs_f64(window)));
        let half = f64::from(self.recent.count(now, Duration::from_millis(500)));
        Achieved {
            steady: (active >= SHORT + 2.0 * self.round_trip).then(|| count / window.max(0.05)),
            lately: half * 2.0,
            count,
        }
    }
}
