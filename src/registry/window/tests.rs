//! What holds of a window, whatever happens, at times that a test makes up.

use std::time::Duration;
use std::time::Instant;

use proptest::prelude::*;

use super::state::Asker;
use super::state::Turn;
use super::state::Window;
use super::verdict::Left;
use crate::registry::Priority;

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A request wants to leave: of a client, or not; whether a client's waits too.
    Ask(bool, bool),
    /// The answer to one of those in flight comes.
    Answer(usize, Answer),
    /// So many milliseconds pass.
    Pass(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Fine,
    TooMuch,
    Broken,
    /// Whoever asked has left.
    Dropped,
}

const BASE: Duration = Duration::from_millis(100);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let answer = prop_oneof![
        6 => Just(Answer::Fine),
        1 => Just(Answer::TooMuch),
        1 => Just(Answer::Broken),
        1 => Just(Answer::Dropped),
    ];
    let event = prop_oneof![
        6 => (any::<bool>(), any::<bool>()).prop_map(|(client, other)| Event::Ask(client, other)),
        6 => (any::<usize>(), answer).prop_map(|(which, answer)| Event::Answer(which, answer)),
        2 => (0_u64..3000).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..400)
}

/// A window, and what a test knows of it.
struct Course {
    window: Window,
    now: Instant,
    in_flight: Vec<(Left, Priority)>,
    cap: usize,
    /// When it last became smaller.
    decreased: Option<Instant>,
}

impl Course {
    fn new(cap: usize) -> Self {
        Self {
            window: Window::new(cap, None),
            now: Instant::now(),
            in_flight: Vec::new(),
            cap,
            decreased: None,
        }
    }

    fn of(&self, priority: Priority) -> usize {
        let all = self.in_flight.iter();
        all.filter(|it| it.1 == priority).count()
    }

    fn ask(&mut self, priority: Priority, is_behind: bool) -> Turn {
        let asker = Asker {
            priority,
            since: self.now,
            paced: false,
            is_behind,
        };
        let turn = self.window.turn(self.now, asker);
        if let Turn::Go { paced } = turn {
            let left = self.window.depart(self.now, priority, paced);
            self.in_flight.push((left, priority));
        }
        turn
    }

    fn answer(&mut self, which: usize, answer: Answer) {
        if self.in_flight.is_empty() {
            return;
        }
        let (left, priority) = self.in_flight.remove(which % self.in_flight.len());
        let (size, decreases) = (self.window.size(), self.window.decreases);
        let is_news = self.decreased.is_none_or(|at| left.at >= at);
        match answer {
            Answer::Fine => {
                self.window.accepted(&left, self.now);
                self.window.pause.answered(left.at, true);
                self.window.succeeded(&left, self.now);
                assert!(
                    left.full || self.window.size() == size,
                    "it grew though not full"
                );
                assert!(
                    is_news || self.window.size() == size,
                    "old news made it grow"
                );
                assert!(self.window.size() <= 2 * size, "it more than doubled");
            }
            Answer::TooMuch => {
                self.window.refused(&left, self.now);
                self.window.pause.begin((left.at, self.now), None, BASE);
            }
            Answer::Broken => {
                self.window.troubled(&left, self.now);
                self.window.pause.answered(left.at, false);
            }
            Answer::Dropped => {}
        }
        self.window.ended(self.now, priority);
        let fell = self.window.decreases - decreases;
        let is_bad = matches!(answer, Answer::TooMuch | Answer::Broken);
        assert_eq!(fell, u64::from(is_bad && is_news), "one decrease an epoch");
        if fell > 0 {
            assert!(self.window.size() <= size);
            self.decreased = Some(self.now);
            // What follows is seen to have left later.
            self.now += Duration::from_millis(1);
        }
    }

    fn check(&self) {
        let size = self.window.size();
        assert!((1..=self.cap).contains(&size), "{size}");
        assert_eq!(self.window.in_flight(), self.in_flight.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn it_keeps_its_bounds(cap in 1_usize..40, events in events()) {
        let mut course = Course::new(cap);
        for event in events {
            match event {
                Event::Ask(true, _) => {
                    course.ask(Priority::Foreground, false);
                }
                Event::Ask(false, is_behind) => {
                    let before = course.of(Priority::Background);
                    let turn = course.ask(Priority::Background, is_behind);
                    if let Turn::Go { .. } = turn {
                        // What is concluded from the last refusals is concluded now.
                        let size = course.window.size();
                        prop_assert!(before < size, "{before} of {size}");
                        prop_assert!(!is_behind, "clients go first");
                    }
                }
                Event::Answer(which, answer) => course.answer(which, answer),
                Event::Pass(millis) => course.now += Duration::from_millis(millis),
            }
            course.check();
        }
    }
}

/// Fills the window with background work.
fn fill(course: &mut Course) -> usize {
    let before = course.in_flight.len();
    while matches!(course.ask(Priority::Background, false), Turn::Go { .. }) {}
    course.in_flight.len() - before
}

/// A round trip of all that is in flight.
fn round(course: &mut Course) {
    fill(course);
    course.now += Duration::from_millis(10);
    for _ in 0..course.in_flight.len() {
        course.answer(0, Answer::Fine);
    }
}

#[test]
fn it_doubles_until_it_was_too_much_and_is_halved_then() {
    let mut course = Course::new(64);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(course.window.size());
        round(&mut course);
    }
    // The last of each round trip alone finds the window full.
    assert!(sizes.windows(2).all(|two| two[0] < two[1]), "{sizes:?}");
    fill(&mut course);
    let size = course.window.size();
    course.answer(0, Answer::Broken);
    assert_eq!(course.window.size(), size / 2);
}

#[test]
fn a_decrease_binds_those_who_wait() {
    let mut course = Course::new(64);
    for _ in 0..10 {
        round(&mut course);
    }
    let size = fill(&mut course);
    assert!(size >= 8, "{size}");
    course.answer(0, Answer::Broken);
    while course.in_flight.len() > size / 2 {
        let turn = course.ask(Priority::Background, false);
        assert!(matches!(turn, Turn::Wait { .. }), "{turn:?}");
        course.answer(0, Answer::Dropped);
    }
    course.answer(0, Answer::Dropped);
    let turn = course.ask(Priority::Background, false);
    assert!(matches!(turn, Turn::Go { .. }), "{turn:?}");
}

#[test]
fn background_work_shrinks_while_clients_are_served() {
    let mut course = Course::new(64);
    for _ in 0..20 {
        round(&mut course);
    }
    let alone = course.window.background_share(course.now);
    assert!(matches!(
        course.ask(Priority::Foreground, false),
        Turn::Go { .. }
    ));
    let beside = course.window.background_share(course.now);
    assert!(beside <= alone / 3 && beside >= 1, "{beside} of {alone}");
    assert_eq!(fill(&mut course), beside);
    course.answer(0, Answer::Fine);
    let turn = course.ask(Priority::Background, false);
    assert!(
        matches!(turn, Turn::Wait { until: Some(_), .. }),
        "{turn:?}"
    );
    course.now += Duration::from_secs(2);
    assert!(fill(&mut course) > 0, "the client has gone");
}

#[test]
fn a_client_waits_for_what_was_learned_but_not_for_long() {
    let mut course = Course::new(64);
    course.ask(Priority::Foreground, false);
    course.answer(0, Answer::Broken);
    assert_eq!(course.window.size(), 2);
    let asks = |course: &mut Course| course.ask(Priority::Foreground, false);
    for _ in 0..16 {
        let turn = asks(&mut course);
        assert!(matches!(turn, Turn::Go { .. }), "{turn:?}");
    }
    let Turn::Wait {
        until: Some(until), ..
    } = asks(&mut course)
    else {
        panic!("seventeen clients at once")
    };
    let asker = Asker {
        priority: Priority::Foreground,
        since: course.now,
        paced: false,
        is_behind: false,
    };
    let turn = course.window.turn(until, asker);
    assert!(matches!(turn, Turn::Go { .. }), "{turn:?}");
    assert!(until <= course.now + Duration::from_secs(2));
}

#[test]
fn what_can_be_done_without_leaves_only_where_there_is_room() {
    let now = Instant::now();
    let mut window = Window::new(64, None);
    let mut in_flight = Vec::new();
    while window.has_room(now) {
        in_flight.push(window.depart(now, Priority::Background, false));
    }
    assert_eq!(in_flight.len(), window.size());
    // A client's request does not wait for those.
    let asker = Asker {
        priority: Priority::Foreground,
        since: now,
        paced: false,
        is_behind: false,
    };
    assert_eq!(window.turn(now, asker), Turn::Go { paced: false });
    window.ended(now, Priority::Background);
    assert!(window.has_room(now));
    window.pause.begin((now, now), None, BASE);
    assert!(!window.has_room(now));
    let later = now + 10 * BASE;
    assert!(window.pause.left(later).is_none());
    assert!(!window.has_room(later), "another goes first");
    window.pause.answered(later, true);
    assert!(window.has_room(later));
}
