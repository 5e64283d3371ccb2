//! Whether several ranges of one blob are fetched at a time: without a wire, and without a clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

/// What is known of an upstream before a blob is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    /// The most at a time.
    pub(super) most: usize,
    /// How many bytes a second we take from it at most, where we limit that ourselves.
    pub(super) limit: Option<u64>,
    pub(super) rest: Arc<Rest>,
}

/// Until when an upstream's blobs are not asked for in ranges, because that was no use.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<Option<Instant>>);

/// Why ranges were no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoUse {
    /// Their answer is the whole blob.
    Ignored,
    /// The upstream does not want to be asked, or not so often.
    Refused,
    /// All together they are no faster than one request.
    NoGain,
}

/// Decides for one blob.
#[derive(Debug)]
pub(super) struct Parallel {
    ranges: Ranges,
    size: u64,
    state: State,
    speed: Speed,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// One request brings all.
    Off,
    /// One request brings all, as long as it is fast enough.
    Watching,
    /// One range is asked for, to see whether it is given.
    Asking {
        /// How fast the first request was, in bytes a second.
        alone: f64,
    },
    On {
        alone: f64,
        /// When it began, and how many bytes had come by then; `None` once it has proved to be of
        /// use.
        begun: Option<Mark>,
    },
}

/// What is seen of a blob at some time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// When.
    pub(super) now: Instant,
    /// How many of its bytes are there.
    pub(super) arrived: u64,
    /// How many blobs are being fetched, this one too.
    pub(super) fills: usize,
    /// Whether we ourselves hold it back.
    pub(super) is_held: bool,
    /// Whether we wait for the upstream, not it for us.
    pub(super) is_ahead: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Stay,
    /// The first request gives up what comes after its part, and one range is asked for.
    Begin,
    /// One request brings the rest.
    End,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    arrived: u64,
}

/// How fast a blob came at the last looks, the oldest of them first.
#[derive(Debug)]
struct Speed(VecDeque<Mark>);

/// A blob that is no longer is fetched by one request, in bytes.
const LARGE: u64 = 64 << 20;
/// The shortest and the longest part, in bytes; about [`PARTS`] of them in between.
const SHORTEST: u64 = 16 << 20;
const LONGEST: u64 = 64 << 20;
/// So many requests does a blob cost, where its size allows.
const PARTS: u64 = 32;
/// How often to look.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// So many of them tell a speed, and whether it rises: one second.
const LOOKS: usize = 5;
/// A connection of so many bytes a second is no slow one: what it lacks to the link's rate, others
/// beside it would rather take from it than add.
const FAST: f64 = (64 << 20) as f64;
/// A connection that is so many times as fast as it was a moment ago is still finding out how fast it
/// may be (slow start, RFC 5681, 3.1): over 150 ms that takes two seconds.
const RISING: f64 = 1.15;
/// What will be there within this is waited for: further connections have to be made first, and
/// begin slowly.
const SOON: Duration = Duration::from_secs(3);
/// So long ranges are tried before it is judged whether they are of use.
const TRIAL: Duration = Duration::from_secs(3);
/// They are where the blob comes so many times as fast.
const GAIN: f64 = 1.25;
/// The most that is fetched at a time by all fills that have more than one request: what one of
/// several may hold in memory is small, but not nothing.
const ALL: usize = 16;
/// The upstream is not tried again before this: where it ignores ranges,
const IGNORED: Duration = Duration::from_secs(60 * 60);
/// and where they were of no use otherwise.
const USELESS: Duration = Duration::from_secs(10 * 60);

impl Rest {
    /// Ranges were no use.
    pub(super) fn begin(&self, why: NoUse, now: Instant) {
        let pause = match why {
            NoUse::Ignored => IGNORED,
            NoUse::Refused | NoUse::NoGain => USELESS,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now + pause);
    }

    fn is_on(&self, now: Instant) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| now < until)
    }
}

impl Parallel {
    /// For a blob of `size` bytes, whose first request has been answered now.
    pub(super) fn new(ranges: Ranges, size: u64, now: Instant) -> Self {
        let may = ranges.most > 1 && size > LARGE && !ranges.rest.is_on(now);
        let begin = Mark {
            at: now,
            arrived: 0,
        };
        Self {
            ranges,
            size,
            state: match may {
                true => State::Watching,
                false => State::Off,
            },
            speed: Speed(VecDeque::from([begin])),
        }
    }

    /// Whether there is still something to decide, or to do, from time to time.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// How long a part is, in bytes.
    pub(super) fn part(&self) -> u64 {
        (self.size / PARTS).clamp(SHORTEST, LONGEST)
    }

    /// How many requests for the blob may be under way; `None` where it is one for each gap.
    pub(super) fn places(&self, fills: usize) -> Option<usize> {
        match self.state {
            State::Off | State::Watching => None,
            State::Asking { .. } => Some(self.most(fills).min(2)),
            State::On { .. } => Some(self.most(fills)),
        }
    }

    fn most(&self, fills: usize) -> usize {
        self.ranges.most.min(ALL / fills.max(1)).max(1)
    }

    /// Takes a look.
    pub(super) fn look(&mut self, seen: Seen) -> Step {
        let fresh = Mark {
            at: seen.now,
            arrived: seen.arrived,
        };
        let speed = self.speed.look(fresh);
        match self.state {
            State::Watching => self.watch(seen, speed),
            State::On {
                alone,
                begun: Some(begun),
            } if fresh.at >= begun.at + TRIAL && !seen.is_held => {
                if speed_since(begun, fresh) < alone * GAIN {
                    self.stop(NoUse::NoGain, seen.now);
                    return Step::End;
                }
                self.state = State::On { alone, begun: None };
                Step::Stay
            }
            _ => Step::Stay,
        }
    }

    fn watch(&mut self, seen: Seen, speed: f64) -> Step {
        let left = self.size.saturating_sub(seen.arrived);
        if left < 2 * self.part() || self.ranges.rest.is_on(seen.now) {
            self.state = State::Off;
            return Step::Stay;
        }
        let is_steady = self.speed.is_steady();
        let is_slow = speed < FAST && left as f64 > speed * SOON.as_secs_f64();
        let is_limited = self
            .ranges
            .limit
            .is_some_and(|limit| speed * 2.0 > limit as f64);
        let is_ours = is_limited || seen.is_held || !seen.is_ahead;
        if !is_steady || !is_slow || is_ours || self.most(seen.fills) < 2 {
            return Step::Stay;
        }
        self.state = State::Asking { alone: speed };
        Step::Begin
    }

    /// A range is given as it was asked for: more of them may be asked for.
    pub(super) fn answered(&mut self, seen: Seen) {
        if let State::Asking { alone } = self.state {
            let begun = Mark {
                at: seen.now,
                arrived: seen.arrived,
            };
            self.state = State::On {
                alone,
                begun: Some(begun),
            };
        }
    }

    /// What was asked for can't be asked now: it is tried again at another look, where nothing was
    /// ever given so far. Whether it is as if nothing had been asked.
    pub(super) fn postponed(&mut self) -> bool {
        let is_first = matches!(self.state, State::Asking { .. });
        if is_first {
            self.state = State::Watching;
        }
        is_first
    }

    /// No more ranges for this blob, nor, for a while, for others of the upstream.
    pub(super) fn stop(&mut self, why: NoUse, now: Instant) {
        self.state = State::Off;
        self.ranges.rest.begin(why, now);
    }
}

impl Speed {
    /// The speed until now, in bytes a second.
    fn look(&mut self, fresh: Mark) -> f64 {
        self.0.push_back(fresh);
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        self.0
            .front()
            .map_or(0.0, |first| speed_since(*first, fresh))
    }

    /// Whether it is known, and does not rise any more.
    fn is_steady(&self) -> bool {
        if self.0.len() < LOOKS {
            return false;
        }
        let [first, middle, last] = [0, LOOKS / 2, LOOKS - 1].map(|at| self.0[at]);
        speed_since(middle, last) <= speed_since(first, middle) * RISING
    }
}

fn speed_since(before: Mark, now: Mark) -> f64 {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    now.arrived.saturating_sub(before.arrived) as f64 / seconds.max(0.001)
}

#[cfg(test)]
mod tests;
