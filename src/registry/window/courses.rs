//! Whole courses against a registry that refuses what is above its limit, at times that a test makes
//! up: what is used of the limit, what is refused, and how soon another limit is found.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::time::Duration;
use std::time::Instant;

use super::state::Asker;
use super::state::Turn;
use super::state::Window;
use super::verdict::Left;
use crate::registry::Priority;

/// What is too much.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Requests a second, as a bucket of a tenth of that has it.
    Rate(f64),
    AtOnce(usize),
}

/// A registry, and what happens to its limit.
#[derive(Clone, Debug)]
struct Course {
    limit: Limit,
    /// How long answers take, in milliseconds.
    delay: u64,
    retry_after: Option<u64>,
    /// In seconds.
    length: u64,
    /// At which second the limit becomes so many times what it was.
    changes: Vec<(f64, f64)>,
}

/// What came of it.
#[derive(Debug)]
struct Outcome {
    /// The share of the limit that was used from the tenth second on.
    used: f64,
    /// The share of the requests that was refused.
    refused: f64,
    /// How many seconds after each change two seconds began in which 85 % were used.
    found: Vec<Option<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(u64),
    /// The registry is done with a request.
    Done,
    Answer(u64, bool),
    Wake,
    Changes(usize),
    Sample,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    let_in: u32,
    refused: u32,
    allowed: f64,
}

struct World {
    course: Course,
    window: Window,
    start: Instant,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    last: u64,
    in_flight: BTreeMap<u64, Left>,
    paced: bool,
    wake: Option<Instant>,
    scale: f64,
    tokens: f64,
    filled: Instant,
    at_once: usize,
    sample: Sample,
    samples: Vec<Sample>,
    random: fastrand::Rng,
}

const REQUESTERS: usize = 64;
const BASE: Duration = Duration::from_millis(200);
const TENTH: Duration = Duration::from_millis(100);

impl Course {
    fn new(limit: Limit, delay: u64, retry_after: Option<u64>) -> Self {
        Self {
            limit,
            delay,
            retry_after,
            length: 40,
            changes: Vec::new(),
        }
    }

    /// The limit is halved and doubled again.
    fn changing(mut self, seed: u64) -> Self {
        self.length = 60;
        let shift = seed as f64 * 1.37;
        self.changes = vec![(18.0 + shift, 0.5), (38.0 + shift * 0.7, 2.0)];
        self
    }

    fn run(&self, seed: u64) -> Outcome {
        // Pauses have a jitter of their own.
        fastrand::seed(seed);
        let start = Instant::now();
        let mut world = World {
            course: self.clone(),
            window: Window::new(64, None),
            start,
            now: start,
            events: BinaryHeap::new(),
            last: 0,
            in_flight: BTreeMap::new(),
            paced: false,
            wake: None,
            scale: 1.0,
            tokens: 0.0,
            filled: start,
            at_once: 0,
            sample: Sample::default(),
            samples: Vec::new(),
            random: fastrand::Rng::with_seed(seed),
        };
        world.run();
        world.outcome()
    }

    /// Requests a second that are let in, of requesters who are so far away.
    fn allows(&self) -> f64 {
        let of = |at_once: usize| at_once as f64 / (self.delay as f64 + 0.8) * 1000.0;
        match self.limit {
            Limit::Rate(rate) => rate.min(of(REQUESTERS)),
            Limit::AtOnce(most) => of(most),
        }
    }
}

impl World {
    fn run(&mut self) {
        let end = self.start + Duration::from_secs(self.course.length);
        for (which, change) in self.course.changes.clone().into_iter().enumerate() {
            let at = self.start + Duration::from_secs_f64(change.0);
            self.at(at, Event::Changes(which));
        }
        self.at(self.start + TENTH, Event::Sample);
        self.leave();
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                return;
            }
            self.now = at;
            self.happens(event);
            self.leave();
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.last += 1;
        self.events.push(Reverse((at, self.last, event)));
    }

    /// In so many microseconds, and up to as many more.
    fn after(&mut self, micros: u64, jitter: u64, event: Event) {
        let micros = micros + self.random.u64(0..=jitter);
        self.at(self.now + Duration::from_micros(micros), event);
    }

    fn happens(&mut self, event: Event) {
        let delay = self.course.delay * 1000;
        match event {
            Event::Arrives(request) => match self.takes() {
                true => {
                    self.at_once += 1;
                    self.sample.let_in += 1;
                    self.after(delay, 400, Event::Done);
                    self.after(delay + 200, 400, Event::Answer(request, true));
                }
                false => {
                    self.sample.refused += 1;
                    self.after(400, 0, Event::Answer(request, false));
                }
            },
            Event::Done => self.at_once -= 1,
            Event::Answer(request, is_let_in) => self.answered(request, is_let_in),
            Event::Wake => {}
            Event::Changes(which) => self.scale *= self.course.changes[which].1,
            Event::Sample => {
                self.sample.allowed = self.course.allows() * self.scale / 10.0;
                self.samples.push(std::mem::take(&mut self.sample));
                self.at(self.now + TENTH, Event::Sample);
            }
        }
    }

    fn takes(&mut self) -> bool {
        match self.course.limit {
            Limit::AtOnce(most) => self.at_once < ((most as f64 * self.scale) as usize).max(1),
            Limit::Rate(rate) => {
                let rate = rate * self.scale;
                let passed = (self.now - self.filled).as_secs_f64();
                self.filled = self.now;
                self.tokens = (self.tokens + passed * rate).min((rate / 10.0).max(1.0));
                let takes = self.tokens >= 1.0;
                self.tokens -= f64::from(u8::from(takes));
                takes
            }
        }
    }

    fn answered(&mut self, request: u64, is_let_in: bool) {
        let left = self.in_flight.remove(&request).unwrap();
        if is_let_in {
            self.window.accepted(&left, self.now);
            self.window.pause.answered(left.at, true);
            self.window.succeeded(&left, self.now);
        } else {
            self.window.refused(&left, self.now);
            let told = self.course.retry_after.map(Duration::from_secs);
            self.window.pause.begin((left.at, self.now), told, BASE);
        }
        self.window.ended(self.now, Priority::Background);
    }

    fn leave(&mut self) {
        while self.in_flight.len() < REQUESTERS {
            let asker = Asker {
                priority: Priority::Background,
                since: self.now,
                paced: self.paced,
                is_behind: false,
            };
            let until = match self.window.turn(self.now, asker) {
                Turn::Go { paced } => {
                    let left = self.window.depart(self.now, Priority::Background, paced);
                    self.paced = false;
                    let request = self.last;
                    self.in_flight.insert(request, left);
                    self.after(200, 300, Event::Arrives(request));
                    continue;
                }
                Turn::Wait { until, paced } => {
                    self.paced = paced;
                    until
                }
                Turn::Paused(left) => Some(self.now + left),
            };
            if let Some(until) = until {
                self.wake_at(until);
            }
            return;
        }
    }

    /// Timers count in milliseconds, and are late.
    fn wake_at(&mut self, until: Instant) {
        let millis = (until - self.start).as_micros().div_ceil(1000) as u64;
        let until = self.start + Duration::from_millis(millis);
        let until = until + Duration::from_micros(self.random.u64(100..=1100));
        if self.wake.is_none_or(|at| at <= self.now || until < at) {
            self.wake = Some(until);
            self.at(until, Event::Wake);
        }
    }

    fn outcome(&self) -> Outcome {
        let all = self.samples.iter();
        let refused: u32 = all.clone().map(|it| it.refused).sum();
        let let_in: u32 = all.map(|it| it.let_in).sum();
        let found = self.course.changes.iter().map(|(at, _)| {
            let first = (at * 10.0) as usize + 1;
            let mut windows = self.samples[first..].windows(20);
            windows
                .position(|it| used(it) >= 0.85)
                .map(|it| it as f64 / 10.0)
        });
        Outcome {
            used: used(&self.samples[100..]),
            refused: f64::from(refused) / f64::from(refused + let_in),
            found: found.collect(),
        }
    }
}

fn used(samples: &[Sample]) -> f64 {
    let let_in: u32 = samples.iter().map(|it| it.let_in).sum();
    let allowed: f64 = samples.iter().map(|it| it.allowed).sum();
    f64::from(let_in) / allowed
}

/// The worst of several runs.
fn worst(course: impl Fn(u64) -> Course) -> (f64, f64, f64) {
    let mut worst = (1.0_f64, 0.0_f64, 0.0_f64);
    for seed in 0..5 {
        let outcome = course(seed).run(seed);
        let found = outcome.found.iter().map(|it| it.unwrap_or(f64::INFINITY));
        worst.0 = worst.0.min(outcome.used);
        worst.1 = worst.1.max(outcome.refused);
        worst.2 = found.fold(worst.2, f64::max);
    }
    worst
}

const LIMITS: [Limit; 4] = [
    Limit::Rate(60.0),
    Limit::Rate(500.0),
    Limit::AtOnce(8),
    Limit::AtOnce(32),
];

#[test]
fn a_limit_is_used_and_seldom_run_into() {
    for limit in LIMITS {
        for (delay, least) in [(5, 0.85), (50, 0.85), (200, 0.55)] {
            let (used, refused, _) = worst(|_| Course::new(limit, delay, None));
            let what = format!("{limit:?} {delay} ms: {used:.3} used, {refused:.4} refused");
            assert!(used >= least && refused <= 0.03, "{what}");
        }
    }
}

#[test]
fn a_pause_that_is_asked_for_costs_no_more_than_it_must() {
    for limit in [Limit::Rate(60.0), Limit::AtOnce(8), Limit::AtOnce(32)] {
        for delay in [5, 50] {
            let (used, refused, _) = worst(|_| Course::new(limit, delay, Some(1)));
            let what = format!("{limit:?} {delay} ms: {used:.3} used, {refused:.4} refused");
            assert!(used >= 0.8 && refused <= 0.03, "{what}");
        }
    }
}

#[test]
fn another_limit_is_found_soon() {
    for (limit, retry_after) in [
        (Limit::Rate(60.0), None),
        (Limit::Rate(60.0), Some(1)),
        (Limit::AtOnce(16), None),
        (Limit::AtOnce(16), Some(1)),
    ] {
        let course = |seed| Course::new(limit, 50, retry_after).changing(seed);
        let (used, refused, found) = worst(course);
        let what = format!(
            "{limit:?} {retry_after:?}: {used:.3} used, {refused:.4} refused, {found:.1} s"
        );
        // Where each try costs a pause of a second, it is not made so often.
        let (least, longest) = match retry_after {
            None => (0.8, 8.0),
            Some(_) => (0.7, 11.0),
        };
        assert!(
            used >= least && refused <= 0.03 && found <= longest,
            "{what}"
        );
    }
}
