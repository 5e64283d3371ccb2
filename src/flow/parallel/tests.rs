use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One blob, looked at every quarter of a second.
struct Course {
    begun: Instant,
    parallel: Parallel,
    rest: Arc<Rest>,
    millis: u64,
    arrived: u64,
    fills: usize,
}

impl Course {
    fn new(size: u64, most: usize) -> Self {
        Self::of(
            size,
            Ranges {
                most,
                ..Ranges::default()
            },
        )
    }

    fn of(size: u64, ranges: Ranges) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            rest: ranges.rest.clone(),
            parallel: Parallel::new(ranges, size, begun),
            millis: 0,
            arrived: 0,
            fills: 1,
        }
    }

    fn seen(&self) -> Seen {
        Seen {
            now: self.begun + Duration::from_millis(self.millis),
            arrived: self.arrived,
            fills: self.fills,
            is_held: false,
            is_ahead: true,
        }
    }

    /// So many MiB come in a quarter of a second.
    fn quarter(&mut self, mib: u64) -> Step {
        self.millis += 250;
        self.arrived += mib * MIB;
        self.parallel.look(self.seen())
    }

    /// Begins, and is given the first range.
    fn given(size: u64, mib: u64) -> Self {
        let mut course = Self::new(size, 4);
        while course.quarter(mib) != Step::Begin {}
        course.parallel.answered(course.seen());
        course
    }
}

#[test]
fn a_gigabyte_at_20_mb_a_second_is_split_once_the_speed_is_known() {
    let mut course = Course::new(GIB, 4);
    assert_eq!(course.parallel.places(1), None);
    assert!((0..3).all(|_| course.quarter(5) == Step::Stay));
    assert_eq!(course.quarter(5), Step::Begin);
    assert_eq!(course.parallel.part(), 32 * MIB);
    assert_eq!(course.parallel.places(1), Some(2), "one, to see");
    course.parallel.answered(course.seen());
    assert_eq!(course.parallel.places(1), Some(4));
    assert_eq!(course.quarter(30), Step::Stay);
}

#[test]
fn what_is_there_soon_is_never_split() {
    let mut course = Course::new(512 * MIB, 4);
    for _ in 0..3 {
        assert_eq!(course.quarter(150), Step::Stay);
    }
    assert!(!course.parallel.is_over());
    assert_eq!(course.quarter(50), Step::Stay);
    assert!(course.parallel.is_over(), "too little is left");
}

#[test]
fn what_becomes_slow_is_split_later() {
    let mut course = Course::new(8 * GIB, 4);
    for _ in 0..4 {
        assert_eq!(course.quarter(1500), Step::Stay);
    }
    let steps = (0..8).map(|_| course.quarter(0));
    assert!(steps.into_iter().any(|step| step == Step::Begin));
}

#[test]
fn small_blobs_and_metered_upstreams_are_left_alone() {
    assert!(Course::new(64 * MIB, 4).parallel.is_over());
    assert!(!Course::new(64 * MIB + 1, 4).parallel.is_over());
    assert!(Course::new(GIB, 1).parallel.is_over());
    assert!(Course::new(GIB, 0).parallel.is_over());
}

#[test]
fn many_fills_share_the_requests() {
    let mut course = Course::given(GIB, 5);
    let places = [1, 3, 4, 5, 8, 9, 64].map(|fills| course.parallel.places(fills).unwrap());
    assert_eq!(places, [4, 4, 4, 3, 2, 1, 1]);
    course = Course::new(GIB, 4);
    course.fills = 9;
    assert!((0..40).all(|_| course.quarter(5) == Step::Stay));
    course.fills = 8;
    assert_eq!(course.quarter(0), Step::Begin);
}

#[test]
fn ranges_that_are_no_faster_together_are_given_up_and_not_tried_again_soon() {
    let mut course = Course::given(4 * GIB, 5);
    let steps: Vec<_> = (0..12).map(|_| course.quarter(6)).collect();
    assert_eq!(steps.last(), Some(&Step::End));
    assert!(steps[..11].iter().all(|step| *step == Step::Stay));
    assert!(course.parallel.is_over());
    let at = |seconds| {
        let ranges = Ranges {
            most: 4,
            rest: course.rest.clone(),
            ..Ranges::default()
        };
        Parallel::new(ranges, GIB, course.begun + Duration::from_secs(seconds)).is_over()
    };
    assert!(at(5) && at(600) && !at(610));
}

#[test]
fn ranges_that_are_faster_together_are_kept_whatever_comes_later() {
    let mut course = Course::given(GIB, 5);
    assert!((0..12).all(|_| course.quarter(7) == Step::Stay));
    assert!((0..40).all(|_| course.quarter(1) == Step::Stay));
    assert_eq!(course.parallel.places(1), Some(4));
}

#[test]
fn what_we_hold_back_ourselves_is_not_slow() {
    let limited = |limit| Ranges {
        most: 4,
        limit: Some(limit),
        ..Ranges::default()
    };
    let mut course = Course::of(GIB, limited(20 * MIB));
    assert!((0..10).all(|_| course.quarter(5) == Step::Stay));
    let mut course = Course::of(GIB, limited(100 * MIB));
    assert!((0..3).all(|_| course.quarter(5) == Step::Stay));
    assert_eq!(course.quarter(5), Step::Begin);
    for (is_held, is_ahead) in [(true, true), (false, false), (true, false)] {
        let mut course = Course::new(GIB, 4);
        for _ in 0..10 {
            course.millis += 250;
            let seen = Seen {
                is_held,
                is_ahead,
                ..course.seen()
            };
            assert_eq!(course.parallel.look(seen), Step::Stay);
        }
        assert_eq!(course.quarter(0), Step::Begin, "no longer");
    }
}

#[test]
fn a_first_range_that_has_no_room_is_tried_again_at_the_next_look() {
    let mut course = Course::new(GIB, 4);
    while course.quarter(5) != Step::Begin {}
    assert!(course.parallel.postponed());
    assert_eq!(course.parallel.places(1), None);
    assert_eq!(course.quarter(5), Step::Begin);
    course.parallel.answered(course.seen());
    assert!(!course.parallel.postponed());
    assert_eq!(course.parallel.places(1), Some(4));
}

#[test]
fn a_refusal_ends_it_for_a_while() {
    for (why, minutes) in [(NoUse::Ignored, 60), (NoUse::Refused, 10)] {
        let rest = Rest::default();
        let now = Instant::now();
        rest.begin(why, now);
        let after = |minutes: u64| rest.is_on(now + Duration::from_secs(minutes * 60));
        assert!(after(minutes - 1) && !after(minutes), "{why:?}");
    }
}

#[test]
fn a_connection_that_still_speeds_up_is_left_alone() {
    let mut course = Course::new(GIB, 4);
    for mib in [0, 1, 2, 3, 4, 5, 6, 7] {
        assert_eq!(course.quarter(mib), Step::Stay, "{mib}");
    }
    assert_eq!(course.quarter(7), Step::Stay);
    assert_eq!(course.quarter(7), Step::Begin, "it is as fast as it gets");
}

#[test]
fn a_fast_connection_is_left_alone_however_much_is_left() {
    let mut course = Course::new(100 * GIB, 4);
    for _ in 0..20 {
        assert_eq!(course.quarter(30), Step::Stay);
    }
    assert_eq!(course.quarter(1), Step::Stay, "a moment says little");
}
