use super::*;

fn quiet(hours: &[&str]) -> Quiet {
    Quiet::new(hours.iter().map(|text| text.parse().unwrap()).collect())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ends(hours: &[&str], now: &str) -> Option<String> {
    let end = quiet(hours).ends(at(now), &TimeZone::UTC);
    end.map(|end| end.to_string())
}

fn turns(hours: &[&str], now: &str) -> Option<String> {
    let turn = quiet(hours).turns(at(now), &TimeZone::UTC);
    turn.map(|turn| turn.to_string())
}

#[test]
fn it_is_quiet_from_the_first_minute_until_the_last() {
    let hours = &["08:00-18:00"];
    assert_eq!(ends(hours, "2026-05-01T07:59:59Z"), None);
    let end = Some("2026-05-01T18:00:00Z".to_owned());
    assert_eq!(ends(hours, "2026-05-01T08:00:00Z"), end);
    assert_eq!(ends(hours, "2026-05-01T17:59:59Z"), end);
    assert_eq!(ends(hours, "2026-05-01T18:00:00Z"), None);
    assert_eq!(ends(&[], "2026-05-01T12:00:00Z"), None);
}

#[test]
fn hours_go_over_midnight_and_into_each_other() {
    let end = Some("2026-05-02T06:00:00Z".to_owned());
    assert_eq!(ends(&["22:00-06:00"], "2026-05-01T23:00:00Z"), end);
    assert_eq!(ends(&["22:00-06:00"], "2026-05-02T05:00:00Z"), end);
    assert_eq!(
        ends(&["22:00-24:00", "00:00-06:00"], "2026-05-01T23:00:00Z"),
        end
    );
    assert_eq!(
        ends(&["20:00-23:30", "22:00-06:00"], "2026-05-01T21:00:00Z"),
        end
    );
    // It is never not quiet: these are no hours, rather than that nothing would ever be done.
    assert_eq!(
        ends(&["08:00-18:00", "18:00-08:00"], "2026-05-01T21:00:00Z"),
        None
    );
}

#[test]
fn the_next_turn_is_an_end_or_a_beginning() {
    let hours = &["08:00-12:00", "13:00-18:00"];
    let cases = [
        ("2026-05-01T07:00:00Z", "2026-05-01T08:00:00Z"),
        ("2026-05-01T09:00:00Z", "2026-05-01T12:00:00Z"),
        ("2026-05-01T12:00:00Z", "2026-05-01T13:00:00Z"),
        ("2026-05-01T19:00:00Z", "2026-05-02T08:00:00Z"),
    ];
    for (now, turn) in cases {
        assert_eq!(turns(hours, now).as_deref(), Some(turn), "{now}");
    }
    assert_eq!(turns(&[], "2026-05-01T12:00:00Z"), None);
}

#[test]
fn the_hours_are_those_of_the_zone() {
    // 02:00 on March 29th, 2026 is followed by 03:00: the hours that end at 02:30 do so then.
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let hours = quiet(&["01:00-02:30"]);
    let end = hours.ends(at("2026-03-29T00:30:00Z"), &berlin).unwrap();
    assert!(end >= at("2026-03-29T01:00:00Z"), "{end}");
    assert!(end <= at("2026-03-29T01:30:00Z"), "{end}");
    assert_eq!(hours.ends(end, &berlin), None);
    let hours = quiet(&["08:00-18:00"]);
    let end = hours.ends(at("2026-07-01T06:30:00Z"), &berlin);
    assert_eq!(end, Some(at("2026-07-01T16:00:00Z")));
}

#[test]
fn hours_are_two_times_of_the_day() {
    for text in ["08:00-18:00", "22:00-06:00", "00:00-23:59"] {
        assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
    }
    assert_eq!(
        "18:00 - 24:00".parse::<Hours>().unwrap().to_string(),
        "18:00-00:00"
    );
    for text in [
        "",
        "08:00",
        "8-18",
        "08:00-25:00",
        "08:00-08:00",
        "00:00-24:00",
        "a-b",
    ] {
        assert!(text.parse::<Hours>().is_err(), "{text}");
    }
}
