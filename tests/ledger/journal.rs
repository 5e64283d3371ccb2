//! The journal's files: begun, gone on with, rotated; and what happens when they take nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use fake_registry::PATIENCE;
use tempfile::TempDir;
use tidegate::ledger::Connection;
use tidegate::ledger::Header;
use tidegate::ledger::Journal;
use tidegate::ledger::Leg;
use tidegate::ledger::Record;
use tidegate::ledger::Rotation;
use tidegate::ledger::Sink as _;
use tidegate::ledger::VERSION;

use crate::scene;
use crate::scene::Books;

fn connection(number: u64) -> Connection {
    Connection {
        ts: SystemTime::now(),
        duration: Duration::from_micros(17),
        leg: Leg::Upstream,
        registry: "docker.io".into(),
        host: "registry-1.docker.io".into(),
        tx: number,
        rx: 2,
        tls: true,
    }
}

fn enter(journal: &Journal, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| journal.connection(&connection(number)));
}

fn numbers(books: &Books) -> Vec<u64> {
    let connections = books.connections(Leg::Upstream);
    connections.iter().map(|connection| connection.tx).collect()
}

fn dropped(books: &Books) -> u64 {
    let of = |record: &Record| match record {
        Record::Dropped(dropped) => Some(dropped.records),
        _ => None,
    };
    books.0.iter().filter_map(of).sum()
}

fn headers(books: &Books) -> usize {
    let is_header = |record: &&Record| matches!(record, Record::Journal(_));
    books.0.iter().filter(is_header).count()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("journal.jsonl");
    (folder, path)
}

fn open(path: &Path) -> Arc<Journal> {
    Journal::open(path, Rotation::NEVER).unwrap()
}

#[test]
fn what_is_entered_is_written_in_order_and_seen_soon() {
    let (_folder, path) = place();
    let journal = open(&path);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    enter(&journal, 0..1);
    // Without being closed.
    let lines = || fs::read_to_string(&path).unwrap().lines().count();
    until("a line", || lines() == 2);
    enter(&journal, 1..3000);
    journal.close();
    enter(&journal, 3000..3001);
    assert_eq!((journal.written(), journal.dropped()), (3000, 1));
    let books = scene::read(&path);
    assert_eq!(books.0[1], Record::Connection(connection_like(&books, 0)));
    assert_eq!(numbers(&books), (0..3000).collect::<Vec<_>>());
}

/// What was entered under `number`, with the time as it was written.
fn connection_like(books: &Books, number: u64) -> Connection {
    let written = books.connections(Leg::Upstream);
    let ts = written[usize::try_from(number).unwrap()].ts;
    Connection {
        ts,
        ..connection(number)
    }
}

#[test]
fn a_file_that_is_there_is_gone_on_with_behind_a_line_that_was_cut() {
    let (_folder, path) = place();
    for round in 0..3 {
        let journal = open(&path);
        enter(&journal, round..round + 1);
        drop(journal);
    }
    let whole = fs::read_to_string(&path).unwrap();
    let books = scene::read(&path);
    // Each process says so where it begins.
    assert_eq!((numbers(&books), headers(&books)), (vec![0, 1, 2], 3));
    fs::write(&path, &whole[..whole.len() - 20]).unwrap();
    let journal = open(&path);
    enter(&journal, 7..8);
    drop(journal);
    let text = fs::read_to_string(&path).unwrap();
    let is_right = |line: &&str| serde_json::from_str::<Record>(line).is_ok();
    let (right, wrong): (Vec<_>, Vec<_>) = text.lines().partition(|line| is_right(line));
    assert_eq!((right.len(), wrong.len()), (7, 1), "{text}");
    // A header that was cut is no header.
    fs::write(&path, &whole[..10]).unwrap();
    drop(open(&path));
    assert_eq!(scene::read(&path).0.len(), 1);
}

#[test]
fn what_is_no_journal_is_left_alone() {
    let (folder, path) = place();
    let long = format!("{{\"kind\":\"journal\"{}", " ".repeat(5000));
    for text in [
        "[server]\nlisten = 1\n",
        "{\"kind\":\"exchange\"}\n",
        "x",
        &long,
    ] {
        fs::write(&path, text).unwrap();
        for refused in [
            Journal::open(&path, Rotation::default()).map(drop),
            Journal::probe(&path),
        ] {
            let said = refused.unwrap_err().to_string();
            assert!(
                said.contains("journal.jsonl") && said.contains("no journal"),
                "{said}"
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let none = folder.path().join("none/journal.jsonl");
    let said = Journal::open(&none, Rotation::default()).unwrap_err();
    assert!(said.to_string().contains("none/journal.jsonl"), "{said}");
    assert!(Journal::probe(&none).is_err());
}

#[test]
fn a_probe_leaves_nothing_and_disturbs_nobody() {
    let (folder, path) = place();
    Journal::probe(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let journal = open(&path);
    Journal::probe(&path).unwrap();
    let said = Journal::open(&path, Rotation::NEVER).unwrap_err();
    assert_eq!(said.kind(), std::io::ErrorKind::ResourceBusy);
    assert!(said.to_string().contains("another process"), "{said}");
    drop(journal);
    drop(open(&path));
}

#[test]
fn a_file_of_another_version_is_kept_apart() {
    let (folder, path) = place();
    let mut header = Header::now();
    header.version = VERSION + 1;
    let line = serde_json::to_string(&Record::Journal(header)).unwrap() + "\n";
    fs::write(&path, &line).unwrap();
    drop(Journal::open(&path, Rotation::default()).unwrap());
    assert_eq!(scene::read(&path).0.len(), 1);
    let before = folder.path().join("journal.jsonl.1");
    assert_eq!(fs::read_to_string(before).unwrap(), line);
}

#[test]
fn files_are_rotated_by_size_and_none_grows_beyond_it() {
    let (folder, path) = place();
    let (most, count) = (8 << 10, 1000);
    let line = serde_json::to_string(&Record::Connection(connection(999)))
        .unwrap()
        .len() as u64
        + 1;
    // More than there will be, so that nothing is removed.
    let rotation = Rotation {
        max_size: Some(most),
        files: 1000,
    };
    let journal = Journal::open(&path, rotation).unwrap();
    enter(&journal, 0..count);
    journal.close();
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert!(files as u64 >= count * (line - 10) / most, "{files}");
    let mut all = Vec::new();
    for number in (1..files).rev() {
        let path = folder.path().join(format!("journal.jsonl.{number}"));
        let size = fs::metadata(&path).unwrap().len();
        assert!(size >= most && size < most + line, "{size}");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        all.extend(numbers(&scene::read(&path)));
    }
    all.extend(numbers(&scene::read(&path)));
    assert_eq!(all, (0..count).collect::<Vec<_>>());

    // Fewer are kept now.
    let rotation = Rotation {
        max_size: Some(most),
        files: 3,
    };
    let journal = Journal::open(&path, rotation).unwrap();
    enter(&journal, 0..count);
    journal.close();
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["journal.jsonl", "journal.jsonl.1", "journal.jsonl.2"]
    );
    assert_eq!(numbers(&scene::read(&path)).last(), Some(&(count - 1)));
    // One file alone is begun anew.
    let rotation = Rotation {
        max_size: Some(most),
        files: 1,
    };
    drop(journal);
    let journal = Journal::open(&path, rotation).unwrap();
    enter(&journal, 0..count);
    journal.close();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(fs::metadata(&path).unwrap().len() < most + line);
}

/// `/dev/full` takes no byte: the journal's name leads there, until it leads to a file.
#[test]
fn a_full_disk_holds_up_nobody_and_what_is_lost_is_counted_and_told() {
    let (folder, path) = place();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let journal = open(&path);
    until("it fails", || journal.problem().is_some());
    let count = 50_000;
    let since = Instant::now();
    enter(&journal, 0..count);
    assert!(since.elapsed() < PATIENCE);
    let lost = journal.dropped();
    assert!(lost > 30_000 && lost < count, "{lost}");
    let file = folder.path().join("real.jsonl");
    fs::write(&file, "").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    fs::rename(&link, &path).unwrap();
    until("it heals", || journal.problem().is_none());
    enter(&journal, count..count + 10);
    journal.close();
    assert_eq!(journal.dropped(), lost);
    let books = scene::read(&file);
    assert_eq!(dropped(&books), lost);
    let numbers = numbers(&books);
    assert_eq!(numbers.len() as u64, count + 10 - lost);
    assert_eq!(&numbers[..100], (0..100).collect::<Vec<_>>());
    assert_eq!(numbers.last(), Some(&(count + 9)));
}

#[test]
fn a_file_that_is_taken_away_is_begun_anew() {
    let (folder, path) = place();
    let journal = open(&path);
    enter(&journal, 0..10);
    until("ten lines", || journal.written() == 10);
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    enter(&journal, 10..20);
    journal.close();
    let mut all = numbers(&scene::read(&folder.path().join("elsewhere")));
    if path.exists() {
        all.extend(numbers(&scene::read(&path)));
    }
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    assert!(path.exists());
}

#[test]
fn a_close_is_bounded_where_nothing_can_be_written() {
    let (_folder, path) = place();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let journal = open(&path);
    enter(&journal, 0..10);
    journal.close();
    journal.close();
    assert!(journal.problem().unwrap().contains("No space left"));
}
