use super::*;

fn report(set: &str, outcome: Outcome) -> Report {
    Report {
        set: set.into(),
        dry_run: false,
        outcome,
        begun: "2026-05-01T12:00:00Z".parse().unwrap(),
        seconds: 1.5,
        images: Counts {
            copied: 3,
            ..Counts::default()
        },
        traffic: Traffic::default(),
        items: Vec::new(),
        omitted: 0,
    }
}

#[tokio::test]
async fn what_was_written_is_read_and_nothing_else_is_left() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("prefetch");
    let records = Records::new(folder.clone());
    for set in ["base", "../base", ".base", "base images/ü", "base"] {
        assert!(set == "base" || records.read(set).is_none(), "{set}");
        let record = Arc::new(Record::new(
            Cause::Request,
            report(set, Outcome::Done),
            None,
        ));
        records.write(record.clone()).await.unwrap();
        assert_eq!(records.read(set).as_ref(), Some(&*record), "{set}");
    }
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    files.sort();
    let expected = [
        "%2E.%2Fbase.json",
        "%2Ebase.json",
        "base+images%2F%C3%BC.json",
        "base.json",
    ];
    assert_eq!(files, expected);
}

#[tokio::test]
async fn what_is_half_there_is_as_good_as_none() {
    let home = tempfile::tempdir().unwrap();
    let records = Records::new(home.path().to_path_buf());
    for text in ["", "{", "{\"cause\":\"request\"}"] {
        fs::write(home.path().join("base.json"), text).unwrap();
        assert_eq!(records.read("base"), None, "{text}");
    }
    // A store that is gone is not begun anew by a report.
    let gone = home.path().join("gone/prefetch");
    let record = Arc::new(Record::new(
        Cause::Schedule,
        report("base", Outcome::Done),
        None,
    ));
    assert!(Records::new(gone.clone()).write(record).await.is_err());
    assert!(!gone.exists());
}

#[test]
fn the_last_success_outlives_runs_that_fail() {
    let done = Record::new(Cause::Schedule, report("base", Outcome::Done), None);
    assert!(done.last_success.is_some());
    for outcome in [Outcome::Partly, Outcome::Nothing, Outcome::Interrupted] {
        let next = Record::new(Cause::Schedule, report("base", outcome), Some(&done));
        assert_eq!(next.last_success, done.last_success);
    }
    let first = Record::new(Cause::Schedule, report("base", Outcome::Partly), None);
    assert_eq!(first.last_success, None);
}
