//! Windows: actions that share a limit share the number of requests that may be in flight, and the
//! rate at which they leave, both found by what the registry refuses; and they pause together when
//! it says that it was too much.
//!
//! Each request takes a [`Pass`] of its window and holds it to the end of its answer's body. Whoever
//! waits for one holds none. Clients' requests go first ([`Priority`]).

#[cfg(test)]
mod courses;
mod learned;
mod line;
mod pass;
mod pause;
mod recent;
mod size;
mod spare;
mod speed;
mod state;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use super::Config;
use super::Error;
use super::Priority;
use super::allowance::Allowance;
use super::allowance::Later;
use super::allowance::Share;
use super::bandwidth::Toll;
use super::bucket::Bucket;
use super::family::Family;
use super::fault::Again;
use super::fault::Fault;
use super::quota::Quota;
use crate::ledger;
use crate::ledger::Action;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::Move;
use line::Line;
use line::Waiter;
pub(super) use pass::Pass;
use state::Asker;
use state::Turn;
use state::Window;
use verdict::Left;

/// What is known of one limit of a registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// The registry's host, with its port where it has one.
    pub host: Arc<str>,
    /// The actions that share the limit: `manifest-get`, `reads`, `all`, ...
    pub window: String,
    /// How much longer no request of it leaves, after a 429.
    pub paused: Option<Duration>,
    /// What the registry last said of it.
    pub quota: Option<Quota>,
    /// How many requests may be in flight, bodies included.
    pub size: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many of those are for somebody who waits.
    pub in_flight_foreground: usize,
    /// How many wait to leave.
    pub waiting: usize,
    /// How many of those are for somebody who waits.
    pub waiting_foreground: usize,
    /// How many background requests may be in flight now.
    pub background: usize,
    /// How many requests a second leave at most, where the registry or its documentation has shown
    /// that there is such a limit.
    pub rate: Option<f64>,
    /// How often it was made smaller.
    pub decreases: u64,
}

/// The windows of one registry at one host, for those who ask with the same credentials.
#[derive(Debug)]
pub(super) struct Windows {
    host: Arc<str>,
    family: &'static Family,
    /// The first pause where the registry names none.
    base: Duration,
    leg: Leg,
    registry: Arc<str>,
    ledger: Ledger,
    allowance: Arc<Allowance>,
    house: Mutex<House>,
}

#[derive(Debug)]
struct House {
    /// The most in flight in each window.
    cap: usize,
    slots: HashMap<Key, Slot>,
}

/// A window, who waits for it, and what was last told of it.
#[derive(Debug)]
struct Slot {
    window: Window,
    line: Line,
    told: Option<(Instant, usize, Option<f64>)>,
}

/// What makes a window another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// The registry's own.
    Here(&'static str),
    /// Of the place that an action is redirected to: what limits there is no matter of others.
    Elsewhere(Action),
}

/// Nothing is left for background work: less than a fifth.
const SPARE: u64 = 5;
/// The most in flight in a window where the configuration names no number.
const CAP: usize = 64;
/// Growth is told of no more often.
const TELLING: Duration = Duration::from_millis(100);
/// So long does background work wait in line for pauses, whatever retries are configured.
const PATIENCE: Duration = Duration::from_secs(120);

impl Windows {
    /// None is paused. `host` may have a port.
    pub(super) fn new(
        host: &str,
        config: &Config,
        ledger: &Ledger,
        allowance: Arc<Allowance>,
    ) -> Self {
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        Self {
            host: host.into(),
            family: Family::of(name),
            base: config.retries.base,
            leg: config.leg,
            registry: config.name.as_str().into(),
            ledger: ledger.clone(),
            allowance,
            house: Mutex::new(House {
                cap: cap(config),
                slots: HashMap::new(),
            }),
        }
    }

    /// As these, of somebody else: none is paused.
    pub(super) fn anew(&self) -> Self {
        Self {
            host: self.host.clone(),
            registry: self.registry.clone(),
            ledger: self.ledger.clone(),
            allowance: self.allowance.clone(),
            house: Mutex::new(House {
                cap: self.house().cap,
                slots: HashMap::new(),
            }),
            ..*self
        }
    }

    /// How many bytes of bodies a second.
    pub(super) fn toll(&self, priority: Priority) -> Toll {
        self.allowance.bandwidth.toll(priority)
    }

    /// Whether they are those of `host`, which may have a port.
    pub(super) fn is_at(&self, host: &str) -> bool {
        *self.host == *host
    }

    /// From now on as `config` has it.
    pub(super) fn set(&self, config: &Config) {
        self.allowance.set(config);
        let mut house = self.house();
        house.cap = cap(config);
        let cap = house.cap;
        for slot in house.slots.values_mut() {
            slot.window.set_cap(cap);
        }
    }

    /// Leave to send a request of `action` once it is its turn: to the registry, or to a place that
    /// it has named (`!is_here`).
    ///
    /// # Errors
    /// `Throttled` while the window is paused, with how much longer. What nobody waits for waits for
    /// the end of a pause, where that is near.
    pub(super) async fn enter(
        self: &Arc<Self>,
        action: Action,
        priority: Priority,
        is_here: bool,
    ) -> Result<Pass, Fault> {
        // A token that many wait for is fetched once.
        let priority = match action {
            Action::Token => Priority::Foreground,
            _ => priority,
        };
        let key = match is_here {
            true => Key::Here(self.family.window(action)),
            false => Key::Elsewhere(action),
        };
        let mut place = Place {
            windows: self,
            key,
            action,
            waiter: self.slot(key, |slot| slot.line.join(priority, Instant::now())),
            paced: false,
        };
        let given_up = place.waiter.since + PATIENCE;
        loop {
            let until = match self.turn(&mut place) {
                Step::Go(left, share) => return Ok(place.leave(left, share)),
                Step::Wait(until) => until,
                Step::Paused(left) => {
                    let end = Instant::now() + left;
                    if priority == Priority::Foreground || end > given_up {
                        return Err(paused(left));
                    }
                    Some(end)
                }
            };
            let rung = place.waiter.bell.notified();
            match until {
                None => rung.await,
                Some(until) => {
                    let _ = tokio::time::timeout_at(until.into(), rung).await;
                }
            }
        }
    }

    /// Whether `place` may leave now.
    fn turn(&self, place: &mut Place<'_>) -> Step {
        let now = Instant::now();
        let mut house = self.house();
        // Where it leads to is looked at too, so that nothing is asked for in vain.
        let elsewhere = house.slots.get(&Key::Elsewhere(place.action));
        if let Some(left) = elsewhere.and_then(|slot| slot.window.pause.left(now)) {
            return Step::Paused(left);
        }
        let slot = house.slot(self.family, place.key);
        let waiter = &place.waiter;
        if let Some(left) = slot.window.pause.left(now) {
            return Step::Paused(left);
        }
        if !slot.line.is_first(waiter) {
            return Step::Wait(None);
        }
        let asker = Asker {
            priority: waiter.priority,
            since: waiter.since,
            paced: place.paced,
            is_behind: slot.line.len(Priority::Foreground) > 0,
        };
        match slot.window.turn(now, asker) {
            Turn::Paused(left) => Step::Paused(left),
            Turn::Wait { until, paced } => {
                place.paced = paced;
                Step::Wait(until)
            }
            Turn::Go { paced } => {
                let share = match place.is_free() {
                    true => None,
                    false => match self.allowance.take(now, waiter.priority, &waiter.bell) {
                        Ok(share) => Some(share),
                        Err(Later(until)) => return Step::Wait(until),
                    },
                };
                Step::Go(slot.window.depart(now, waiter.priority, paced), share)
            }
        }
    }

    /// Whether background work may use the window of `action`: it is not paused, and the registry
    /// has not said that less than a fifth of its quota is left.
    pub(super) fn has_spare(&self, action: Action) -> bool {
        let house = self.house();
        let is_free = |key| match house.slots.get(&key) {
            None => true,
            Some(Slot { window, .. }) => {
                window.pause.left(Instant::now()).is_none() && !window.is_scarce(SPARE)
            }
        };
        let here = Key::Here(self.family.window(action));
        [here, Key::Elsewhere(action)].into_iter().all(is_free)
    }

    /// Whether clients are served.
    pub(super) fn is_busy(&self) -> bool {
        let now = Instant::now();
        let house = self.house();
        let mut slots = house.slots.values();
        slots.any(|slot| slot.line.len(Priority::Foreground) > 0 || slot.window.is_busy(now))
    }

    /// The windows that were used, by name.
    pub(super) fn limits(&self) -> Vec<Limit> {
        let now = Instant::now();
        let house = self.house();
        let known = house.slots.iter().map(|(key, Slot { window, line, .. })| {
            let waiting = Priority::ALL.map(|priority| line.len(priority));
            Limit {
                host: self.host.clone(),
                window: key.to_string(),
                paused: window.pause.left(now),
                quota: window.quota.clone(),
                size: window.size(),
                in_flight: window.in_flight(),
                in_flight_foreground: window.in_flight_foreground(),
                waiting: waiting.iter().sum(),
                waiting_foreground: waiting[Priority::Foreground as usize],
                background: window.background_share(now),
                rate: window.rate(),
                decreases: window.decreases,
            }
        });
        let mut limits: Vec<_> = known.collect();
        limits.sort_unstable_by(|a, b| a.window.cmp(&b.window));
        limits
    }

    /// Does something with a window, and tells those who wait for it, and the journal, where it has
    /// changed.
    fn slot<T>(&self, key: Key, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut house = self.house();
        let slot = house.slot(self.family, key);
        let before = slot.window.decreases;
        let done = change(slot);
        let record = self.record(key, slot, before < slot.window.decreases);
        drop(house);
        if let Some(record) = record {
            self.ledger.window(&record);
        }
        done
    }

    /// What there is to tell of a window, where there is something.
    fn record(&self, key: Key, slot: &mut Slot, is_decrease: bool) -> Option<ledger::Window> {
        let now = Instant::now();
        let (size, rate) = (slot.window.size(), slot.window.rate());
        if let (Some((at, told, pace)), false) = (&slot.told, is_decrease) {
            let is_other = *told != size || !is_like(*pace, rate);
            if !is_other || now < *at + TELLING {
                return None;
            }
        }
        let larger = match &slot.told {
            Some((_, told, pace)) => size > *told || rate > *pace,
            None => true,
        };
        slot.told = Some((now, size, rate));
        let waiting = Priority::ALL.map(|priority| slot.line.len(priority));
        Some(ledger::Window {
            ts: SystemTime::now(),
            leg: self.leg,
            registry: self.registry.clone(),
            host: self.host.clone(),
            window: key.to_string().into(),
            moved: match is_decrease || !larger {
                true => Move::Decrease,
                false => Move::Growth,
            },
            size,
            in_flight: slot.window.in_flight(),
            waiting: waiting.iter().sum(),
            rate: rate.map(|rate| (rate * 10.0).round() / 10.0),
            decreases: slot.window.decreases,
        })
    }

    fn told(&self, key: Key) -> String {
        format!("{} ({key})", self.host)
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is not worth telling.
fn is_like(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() < a * 0.02,
        (a, b) => a == b,
    }
}

fn cap(config: &Config) -> usize {
    config.max_concurrent.unwrap_or(CAP).min(CAP)
}

fn paused(left: Duration) -> Fault {
    Fault {
        error: Error::Throttled {
            retry_after: Some(left),
        },
        again: Again::Paused(left),
    }
}

impl House {
    fn slot(&mut self, family: &Family, key: Key) -> &mut Slot {
        let cap = self.cap;
        self.slots.entry(key).or_insert_with(|| {
            let ceiling = match key {
                Key::Here(window) => family.ceiling(window),
                Key::Elsewhere(_) => None,
            };
            let ceiling = ceiling.map(|it| Bucket::new(it.per_second, it.burst));
            Slot {
                window: Window::new(cap, ceiling),
                line: Line::default(),
                told: None,
            }
        })
    }
}

/// What comes next for who waits.
enum Step {
    Go(Left, Option<Share>),
    Wait(Option<Instant>),
    Paused(Duration),
}

/// A place in a window's line. Its drop leaves it.
struct Place<'w> {
    windows: &'w Arc<Windows>,
    key: Key,
    action: Action,
    waiter: Waiter,
    paced: bool,
}

impl Place<'_> {
    /// Whether what the configuration allows is no matter of it: tokens come from another server.
    fn is_free(&self) -> bool {
        self.action == Action::Token
    }

    fn leave(self, left: Left, share: Option<Share>) -> Pass {
        Pass::new(
            self.windows.clone(),
            (self.key, self.action),
            (left, self.waiter.priority),
            share,
        )
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiter = &self.waiter;
        self.windows.slot(self.key, |slot| slot.line.leave(waiter));
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(window) => f.write_str(window),
            Self::Elsewhere(action) => write!(f, "{action}, redirected"),
        }
    }
}
