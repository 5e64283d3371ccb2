use super::*;
use crate::prefetch::When;

struct Bench {
    schedule: Schedule,
    quiet: Quiet,
    timing: Timing,
}

impl Bench {
    fn every(seconds: u64, jitter: u64) -> Self {
        Self {
            schedule: Schedule {
                when: When::Every(Duration::from_secs(seconds)),
                jitter: Some(Duration::from_secs(jitter)),
            },
            quiet: Quiet::default(),
            timing: Timing::default(),
        }
    }

    fn quiet(self, hours: &str) -> Self {
        let quiet = Quiet::new(vec![hours.parse().unwrap()]);
        Self { quiet, ..self }
    }

    fn ran(mut self, last: &str) -> Self {
        self.timing.last = Some(at(last));
        self
    }

    fn look(&mut self, now: &str, is_running: bool) -> Due {
        let plan = Plan {
            schedule: Some(&self.schedule),
            quiet: &self.quiet,
            zone: &TimeZone::UTC,
        };
        // Half of the jitter is waited for.
        self.timing.look(plan, at(now), is_running, || 0.5)
    }

    fn next(&self) -> Option<String> {
        self.timing.next.map(|next| next.to_string())
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_set_that_has_never_run_does_so_soon() {
    let mut set = Bench::every(3600, 60);
    assert_eq!(set.look("2026-05-01T12:00:00Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T12:00:30Z");
    assert_eq!(set.look("2026-05-01T12:00:29Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T12:00:30Z");
    assert_eq!(set.look("2026-05-01T12:00:30Z", false), Due::Now);
    assert_eq!(set.next().unwrap(), "2026-05-01T13:01:00Z");
    // Without jitter it does so now.
    let mut set = Bench::every(3600, 0);
    assert_eq!(set.look("2026-05-01T12:00:00Z", false), Due::Now);
}

#[test]
fn what_was_missed_is_made_up_for_once() {
    let mut set = Bench::every(3600, 0).ran("2026-05-01T00:00:00Z");
    assert_eq!(set.look("2026-05-01T12:34:00Z", false), Due::Now);
    assert_eq!(set.look("2026-05-01T12:34:00Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T13:34:00Z");
}

#[test]
fn a_run_that_is_due_beside_one_is_left_out() {
    let mut set = Bench::every(3600, 0).ran("2026-05-01T00:00:00Z");
    assert_eq!(set.look("2026-05-01T01:00:00Z", true), Due::Missed);
    assert_eq!(set.look("2026-05-01T01:00:00Z", true), Due::Later);
    // Nor is it made up for as soon as that one has ended.
    assert_eq!(set.look("2026-05-01T01:30:00Z", false), Due::Later);
    assert_eq!(set.look("2026-05-01T02:00:00Z", false), Due::Now);
}

#[test]
fn a_clock_that_is_set_puts_nothing_off_for_long() {
    let mut set = Bench::every(3600, 60);
    assert_eq!(set.look("2026-05-08T12:00:00Z", false), Due::Later);
    assert_eq!(set.look("2026-05-08T12:01:00Z", false), Due::Now);
    // A week back.
    assert_eq!(set.look("2026-05-01T12:00:00Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T13:00:30Z");
    assert_eq!(set.look("2026-05-01T12:59:00Z", false), Due::Later);
    assert_eq!(set.look("2026-05-01T13:00:30Z", false), Due::Now);
    // A year ahead.
    assert_eq!(set.look("2027-05-01T12:00:00Z", false), Due::Now);
    assert_eq!(set.next().unwrap(), "2027-05-01T13:00:30Z");
}

#[test]
fn nothing_is_due_in_quiet_hours() {
    let mut set = Bench::every(3600, 60).quiet("08:00-18:00");
    assert_eq!(set.look("2026-05-01T12:00:00Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T18:00:30Z");
    assert_eq!(set.look("2026-05-01T18:00:30Z", false), Due::Now);
    // Where jitter leads into them, too.
    let mut set = Bench::every(3600, 60).quiet("08:00-18:00");
    assert_eq!(set.look("2026-05-01T07:59:50Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T08:00:20Z");
    assert_eq!(set.look("2026-05-01T08:00:20Z", false), Due::Later);
    assert_eq!(set.next().unwrap(), "2026-05-01T18:00:30Z");
}

#[test]
fn without_a_schedule_nothing_is_due() {
    let mut timing = Timing::default();
    let plan = Plan {
        schedule: None,
        quiet: &Quiet::default(),
        zone: &TimeZone::UTC,
    };
    let now = at("2026-05-01T12:00:00Z");
    assert_eq!(timing.look(plan, now, false, || 0.0), Due::Later);
    assert_eq!(timing.next, None);
    timing.came(plan, now, || 0.0);
    assert_eq!(timing.next, None);
}
