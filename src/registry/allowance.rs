//! What the configuration allows one registry, all its actions together: how many exchanges at a time,
//! how many requests and bytes a
//! second.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

use super::Config;
use super::Priority;
use super::Rate;
use super::bandwidth::Bandwidth;
use super::bucket::Bucket;

/// Who waits here stands in a line elsewhere, and is told when there may be room.
#[derive(Debug)]
pub(super) struct Allowance {
    state: Mutex<State>,
    /// How many bytes of bodies a second.
    pub(super) bandwidth: Arc<Bandwidth>,
}

#[derive(Debug)]
struct State {
    most: Option<usize>,
    rate: Option<Bucket>,
    foreground: usize,
    background: usize,
    /// When a request that somebody waits for last came.
    seen: Option<Instant>,
    /// Who is to be told, by whether somebody waits for it.
    bells: [Vec<Weak<Notify>>; 2],
}

/// One exchange that is allowed. Its drop makes room for another one.
#[derive(Debug)]
pub(super) struct Share {
    allowance: Arc<Allowance>,
    priority: Priority,
}

/// It has to wait, for a [`Share`] to be dropped or until this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Later(pub(super) Option<Instant>);

/// So long after a client's request background work keeps to its share.
const COURTESY: Duration = Duration::from_secs(1);
/// Which is one of so many parts; as many are kept free for clients at all times.
const PARTS: usize = 4;
/// So much of a second may leave at once.
const BURST: f64 = 0.1;

impl Allowance {
    /// As `config` has it.
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                most: config.max_concurrent.map(|most| most.max(1)),
                rate: config.rate.map(bucket),
                foreground: 0,
                background: 0,
                seen: None,
                bells: Default::default(),
            }),
            bandwidth: Bandwidth::new(config),
        })
    }

    /// From now on as `config` has it.
    pub(super) fn set(&self, config: &Config) {
        self.bandwidth.set(config);
        let mut state = self.state();
        state.most = config.max_concurrent.map(|most| most.max(1));
        state.rate = config.rate.map(bucket);
        state.ring();
    }

    /// Leave for one exchange now; where there is none, `bell` is told when to ask again.
    ///
    /// # Errors
    /// When to ask again at the latest.
    pub(super) fn take(
        self: &Arc<Self>,
        now: Instant,
        priority: Priority,
        bell: &Arc<Notify>,
    ) -> Result<Share, Later> {
        let mut state = self.state();
        if priority == Priority::Foreground {
            state.seen = Some(now);
        }
        if let Some(later) = state.refuses(now, priority) {
            let bells = &mut state.bells[priority as usize];
            bells.retain(|other| other.strong_count() > 0);
            if !bells.iter().any(|it| std::ptr::eq(it.as_ptr(), &**bell)) {
                bells.push(Arc::downgrade(bell));
            }
            return Err(later);
        }
        let me = Arc::as_ptr(bell);
        state.bells[priority as usize].retain(|other| other.as_ptr() != me);
        Ok(self.share(&mut state, now, priority))
    }

    /// Leave for one exchange that can be done without, in the background; only where another one
    /// could still leave after it.
    pub(super) fn take_spare(self: &Arc<Self>, now: Instant) -> Option<Share> {
        let mut state = self.state();
        let priority = Priority::Background;
        let taken = state.foreground + state.background;
        let is_last = state.most.is_some_and(|most| taken + 1 >= most);
        if is_last || state.refuses(now, priority).is_some() {
            return None;
        }
        Some(self.share(&mut state, now, priority))
    }

    fn share(self: &Arc<Self>, state: &mut State, now: Instant, priority: Priority) -> Share {
        if let Some(rate) = &mut state.rate {
            rate.take(now, 1.0);
        }
        match priority {
            Priority::Foreground => state.foreground += 1,
            Priority::Background => state.background += 1,
        }
        Share {
            allowance: self.clone(),
            priority,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuses(&mut self, now: Instant, priority: Priority) -> Option<Later> {
        if self.most.is_none() && self.rate.is_none() {
            return None;
        }
        let is_foreground = priority == Priority::Foreground;
        let free = self.seen.map(|seen| seen + COURTESY);
        let free = free.filter(|free| *free > now);
        if !is_foreground && self.is_wanted() {
            return Some(Later(None));
        }
        if let Some(most) = self.most {
            let share = match free {
                _ if self.foreground == 0 && free.is_none() => most - most / PARTS,
                _ => most / PARTS,
            };
            let is_full = self.foreground + self.background >= most;
            if is_full || (!is_foreground && self.background >= share.max(1)) {
                return Some(Later(free.filter(|_| !is_foreground)));
            }
        }
        let rate = self.rate.as_mut()?;
        let floor = if is_foreground { 0.0 } else { rate.half() };
        rate.next(now, floor).map(|next| Later(Some(next)))
    }

    /// Whether somebody waits who goes first.
    fn is_wanted(&self) -> bool {
        let mut waiting = self.bells[Priority::Foreground as usize].iter();
        waiting.any(|bell| bell.strong_count() > 0)
    }

    /// Tells all who wait; they are known until they have what they wait for, or give up.
    fn ring(&mut self) {
        for bell in self.bells.iter().flatten().filter_map(Weak::upgrade) {
            bell.notify_one();
        }
    }
}

fn bucket(rate: Rate) -> Bucket {
    let per_second = rate.per_second();
    Bucket::new(per_second, (per_second * BURST).ceil().max(2.0))
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.allowance.state();
        match self.priority {
            Priority::Foreground => state.foreground -= 1,
            Priority::Background => state.background -= 1,
        }
        state.ring();
    }
}
