use super::*;

fn cron(text: &str, jitter: Option<u64>) -> Schedule {
    Schedule {
        when: When::Cron(text.parse().unwrap()),
        jitter: jitter.map(Duration::from_secs),
    }
}

fn every(seconds: u64) -> Schedule {
    Schedule {
        when: When::Every(Duration::from_secs(seconds)),
        jitter: None,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Central Europe: 02:00 on March 29th, 2026 is followed by 03:00, and 03:00 on October 25th by
/// 02:00.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

#[test]
fn what_has_never_run_is_due_now() {
    let now = at("2026-05-01T12:34:56Z");
    for schedule in [every(3600), cron("0 3 * * 0", None)] {
        assert_eq!(schedule.due(None, now, &TimeZone::UTC), Some(now));
    }
}

#[test]
fn an_interval_is_counted_from_where_the_last_run_began() {
    let schedule = every(6 * 3600);
    let due = |last, now| {
        schedule
            .due(Some(at(last)), at(now), &TimeZone::UTC)
            .unwrap()
    };
    let next = due("2026-05-01T00:10:00Z", "2026-05-01T01:00:00Z");
    assert_eq!(next, at("2026-05-01T06:10:00Z"));
    // Missed, once or often: due now.
    let now = "2026-05-09T01:00:00Z";
    assert_eq!(due("2026-05-01T00:10:00Z", now), at(now));
    // The clock was set back: from now on.
    let next = due("2026-06-01T00:00:00Z", "2026-05-01T00:00:00Z");
    assert_eq!(next, at("2026-05-01T06:00:00Z"));
}

#[test]
fn cron_tells_the_time_of_the_zone() {
    let schedule = cron("30 4 * * *", None);
    let due = |now: &str, zone| schedule.due(Some(at(now)), at(now), &zone).unwrap();
    let now = "2026-07-01T12:00:00Z";
    assert_eq!(due(now, TimeZone::UTC), at("2026-07-02T04:30:00Z"));
    assert_eq!(due(now, berlin()), at("2026-07-02T02:30:00Z"));
    // It has passed since the last run.
    let (last, now) = (at("2026-07-01T12:00:00Z"), at("2026-07-05T12:00:00Z"));
    assert_eq!(schedule.due(Some(last), now, &TimeZone::UTC), Some(now));
}

#[test]
fn cron_copes_with_clocks_that_are_put_forward_and_back() {
    let all = |text: &str, from: &str, until: &str| {
        let (schedule, until) = (cron(text, None), at(until));
        let mut times = Vec::new();
        let mut now = at(from);
        while let Some(due) = schedule.due(Some(now), now, &berlin())
            && due < until
        {
            times.push(due.to_string());
            now = due;
        }
        times
    };
    let spring = |text| all(text, "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z");
    let autumn = |text| all(text, "2026-10-24T12:00:00Z", "2026-10-26T00:00:00Z");
    // 02:30 is not there on that day, and is there twice on the other.
    assert_eq!(spring("30 2 * * *"), ["2026-03-29T01:00:00Z"]);
    assert_eq!(autumn("30 2 * * *"), ["2026-10-25T00:30:00Z"]);
    // What runs each hour does so in each real hour.
    assert_eq!(spring("0 * 29 3 *").len(), 23);
    assert_eq!(autumn("0 * 25 10 *").len(), 25);
}

#[test]
fn jitter_is_a_tenth_and_five_minutes_at_most_unless_said() {
    let now = at("2026-05-01T12:00:00Z");
    let leeway = |schedule: Schedule| schedule.leeway(now, &TimeZone::UTC).as_secs();
    assert_eq!(leeway(every(600)), 60);
    assert_eq!(leeway(every(86400)), 300);
    assert_eq!(leeway(cron("*/10 * * * *", None)), 60);
    assert_eq!(leeway(cron("0 3 * * *", None)), 300);
    assert_eq!(leeway(cron("0 3 * * *", Some(0))), 0);
    assert_eq!(leeway(cron("*/10 * * * *", Some(7200))), 7200);
}

#[test]
fn reads_crontabs_and_refuses_what_would_be_misread() {
    for text in [
        "0 */6 * * *",
        "5 4 * * sun",
        "15,45 8-18 1 jan *",
        "@daily",
        "@hourly",
    ] {
        let schedule = cron(text, None);
        assert_eq!(schedule.to_string(), text);
        let now = at("2026-05-01T12:00:00Z");
        let due = schedule.due(Some(now), now, &TimeZone::UTC);
        assert!(due.is_some_and(|due| due > now), "{text}: {due:?}");
    }
    // Six fields are seconds to some, and years to others.
    for text in [
        "",
        "0 */6 * *",
        "0 0 */6 * * *",
        "60 * * * *",
        "x * * * *",
        "0 0 30 2 *",
    ] {
        let error = text.parse::<Cron>();
        assert!(error.is_err(), "{text}: {error:?}");
    }
    // 0 and 7 are Sundays, as crontab(5) has it: May 3rd, 2026.
    let now = at("2026-05-01T12:00:00Z");
    for text in ["0 0 * * 0", "0 0 * * 7"] {
        let due = cron(text, None).due(Some(now), now, &TimeZone::UTC);
        assert_eq!(due, Some(at("2026-05-03T00:00:00Z")), "{text}");
    }
    // Either day will do where both are said, as crontab(5) has it: the 13th, or a Friday.
    let due = cron("0 0 13 * fri", None).due(Some(now), now, &TimeZone::UTC);
    assert_eq!(due, Some(at("2026-05-08T00:00:00Z")));
}
