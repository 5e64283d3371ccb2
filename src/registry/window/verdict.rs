//! What a refusal tells: whether too many were in flight, or too many left in too short a time.

use std::time::Instant;

use super::recent::Recent;

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
    /// How many were let in, by how many were in flight when they left.
    let_in: Levels,
    /// How many of them left after the congestion, and were not refused.
    paid: u32,
    /// How many requests the congestion cost.
    cost: u32,
    pub(super) recent: Recent,
    /// How long answers take, in seconds.
    round_trip: f64,
    open: Option<Open>,
}

/// How many, by how many were in flight; 64 and more together.
#[derive(Clone, Debug)]
struct Levels([u32; 65]);

/// A congestion that is not judged yet: refusals of what left before it still come.
#[derive(Clone, Debug)]
struct Open {
    /// The least in flight when one left that was refused.
    least: usize,
    let_in: Levels,
    paced: bool,
    /// When the first request left, and when the first one that was refused.
    span: (Instant, Instant),
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
    /// Whether many were let in with as many in flight: it is hardly that which was too much.
    pub(super) is_old: bool,
    /// How many were let in since the congestion before.
    pub(super) let_in: u32,
    /// When the first request left, and when the first one that was refused.
    pub(super) span: (Instant, Instant),
}

/// So many times as many as were refused is many.
const MANY: u32 = 4;
/// So many successes pay for a refusal: this bounds the share of refusals.
const PRICE: u32 = 40;
/// A congestion that cost more is paid for as if it had cost so many.
const DEAR: u32 = 2;

impl Levels {
    fn new() -> Self {
        Self([0; 65])
    }

    fn add(&mut self, in_flight: usize) {
        self.0[in_flight.min(64)] += 1;
    }

    /// How many with so many in flight, or more.
    fn from(&self, in_flight: usize) -> u32 {
        self.0[in_flight.min(64)..].iter().sum()
    }

    fn most(&self) -> usize {
        self.0.iter().rposition(|it| *it > 0).unwrap_or(0)
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self {
            since: None,
            began: None,
            let_in: Levels::new(),
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
        self.paid >= self.cost.min(DEAR).saturating_mul(PRICE)
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
        self.recent.add(left.at);
        if !self.is_news(left.at) {
            if let Some(open) = &mut self.open {
                open.let_in.add(left.in_flight);
            }
            return false;
        }
        let took = now.saturating_duration_since(left.at).as_secs_f64();
        self.round_trip += (took - self.round_trip) / 8.0;
        self.let_in.add(left.in_flight);
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
        self.open = Some(Open {
            least: left.in_flight,
            let_in: std::mem::replace(&mut self.let_in, Levels::new()),
            paced: left.paced,
            span: (self.began.unwrap_or(left.at).min(left.at), left.at),
        });
        (self.paid, self.cost) = (0, 1);
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
            let_in,
            paced,
            span,
        } = self.open.take()?;
        let (most, all) = (let_in.most(), let_in.from(0));
        // Those that left together may have arrived in another order.
        let guess = match least > most * 7 / 10 {
            true => least.saturating_sub(1),
            false => most.min(all as usize),
        };
        Some(Verdict {
            least,
            guess: guess.max(1),
            paced,
            is_old: let_in.from(least) >= MANY * self.cost + MANY,
            let_in: all,
            span,
        })
    }
}
