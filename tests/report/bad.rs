//! Journals that are none, or not whole.

use std::fmt::Write as _;
use std::path::Path;

use tidegate::ledger::Action;
use tidegate::ledger::Dropped;
use tidegate::ledger::Leg;
use tidegate::ledger::Record;

use crate::command::folder;
use crate::command::report;
use crate::command::report_of;
use crate::craft::But as _;
use crate::craft::exchange;
use crate::craft::lines;
use crate::craft::write;
use crate::craft::zero;

fn records(many: usize) -> Vec<Record> {
    let one = || {
        exchange(Leg::Tap, Action::Ping)
            .but(|it| it.response_bytes = 10)
            .record()
    };
    std::iter::repeat_with(one).take(many).collect()
}

/// The figure of a row of the first journal, as TSV.
#[track_caller]
fn figure(tsv: &str, key: &str) -> String {
    let line = tsv
        .lines()
        .find(|line| line.split('\t').next() == Some(key));
    let line = line.unwrap_or_else(|| panic!("no {key} in\n{tsv}"));
    line.split('\t').nth(2).unwrap().to_owned()
}

/// What it says of one journal with these bytes, which it can't use.
#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let folder = folder();
    std::fs::write(folder.path().join("x.jsonl"), bytes).unwrap();
    let said = report(folder.path(), &["x.jsonl"]);
    assert_eq!(said.stdout, "");
    said.failed(2)
}

#[test]
fn a_cut_off_line_is_said_and_the_rest_is_used() {
    let folder = folder();
    let whole = lines(&records(3));
    let text = whole.trim_end();
    for cut in [1, 20, 200] {
        std::fs::write(folder.path().join("x.jsonl"), &text[..text.len() - cut]).unwrap();
        let said = report(folder.path(), &["x.jsonl", "--format", "tsv"]);
        let warning = "x.jsonl:4 is cut off after";
        assert!(said.stderr.contains(warning), "{}", said.stderr);
        assert!(
            said.stderr.contains("(kind: exchange) is lost"),
            "{}",
            said.stderr
        );
        assert_eq!(figure(&said.well(), "requests"), "2");
    }
    // Only the newline is missing: nothing is lost.
    std::fs::write(folder.path().join("x.jsonl"), text).unwrap();
    let said = report(folder.path(), &["x.jsonl", "--format", "tsv"]);
    assert_eq!(said.stderr, "");
    assert_eq!(figure(&said.well(), "requests"), "3");
}

#[test]
fn a_journal_that_was_gone_on_with_after_a_crash_is_used() {
    let folder = folder();
    let first = lines(&records(2));
    let cut = &first[..first.len() - 50];
    let zeros = "\0".repeat(300);
    let text = format!(
        "{cut}\n{}\n{zeros}\n{}",
        lines(&records(4)),
        lines(&records(1))
    );
    std::fs::write(folder.path().join("x.jsonl"), text).unwrap();
    let said = report(folder.path(), &["x.jsonl", "--format", "tsv"]);
    assert!(
        said.stderr.contains("x.jsonl:3 is cut off"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("x.jsonl:10 is cut off"),
        "{}",
        said.stderr
    );
    assert_eq!(figure(&said.well(), "requests"), "6");
}

#[test]
fn a_newer_version_is_refused_by_line() {
    let newer = lines(&records(1)).replace("\"version\":1", "\"version\":2");
    let said = refused(newer.as_bytes());
    assert!(said.contains("x.jsonl:1 is of version 2"), "{said}");
    assert!(said.contains("reads up to 1: use a newer one"), "{said}");
    let later = format!("{}{newer}", lines(&records(1)));
    let said = refused(later.as_bytes());
    assert!(said.contains("x.jsonl:3 is of version 2"), "{said}");
    // Even where its header has nothing else that we know.
    let said = refused(b"{\"kind\":\"journal\",\"version\":70000000000}\n");
    assert!(said.contains("of version 70000000000"), "{said}");
}

#[test]
fn what_is_no_journal_is_called_what_it_is() {
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03rest";
    let mut long = vec![b'a'; 5 << 20];
    long.push(b'\n');
    let without_header = lines(&records(1)).lines().nth(1).unwrap().to_owned();
    for (bytes, why) in [
        (&b""[..], "it is empty"),
        (b"hello\n", "it is not JSON (expected value)"),
        (b"\n\n", "it is empty"),
        (
            b"[1, 2]\n",
            "x.jsonl:1 is not the first line of a journal: ",
        ),
        (b"{\"kind\":\"receipt\"}\n", "it is of kind 'receipt'"),
        (b"{\"level\":\"info\"}\n", "missing field `kind`"),
        (without_header.as_bytes(), "it is of kind 'exchange'"),
        (b"\x7fELF\x02\x01\x01\x00\x00\x00", "it is a binary file"),
        (
            gzip,
            "it is compressed; unpack it, as in `zcat FILE | tidegate report -`",
        ),
        (&long, "it is longer than 4194304 bytes"),
        (b"{\"kind\":\"journal\",\"ver", "it is not JSON (EOF"),
    ] {
        let said = refused(bytes);
        assert!(said.contains(why), "{why}: {said}");
        assert!(said.contains("x.jsonl:1 "), "{said}");
    }
}

#[test]
fn a_line_that_nobody_wrote_is_refused_by_number() {
    let good = lines(&records(2));
    let wrong_type = good
        .lines()
        .nth(1)
        .unwrap()
        .replace("\"status\":200", "\"status\":\"fine\"");
    let unknown_action = good
        .lines()
        .nth(1)
        .unwrap()
        .replace("\"ping\"", "\"dance\"");
    let huge = format!(
        "{{\"kind\":\"exchange\",\"x\":\"{}\"}}",
        "y".repeat(5 << 20)
    );
    for (line, why) in [
        ("garbage", "it is not JSON"),
        ("{\"kind\":\"exchange\"}", "missing field"),
        (&*wrong_type, "invalid type: string \"fine\""),
        (&*unknown_action, "unknown variant `dance`"),
        (&*huge, "it is longer than 4194304 bytes"),
    ] {
        let said = refused(format!("{good}{line}\n{good}").as_bytes());
        assert!(said.contains("x.jsonl:4 is no record: "), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn unknown_kinds_and_fields_are_skipped() {
    let folder = folder();
    let mut text = lines(&records(1));
    text += "{\"kind\":\"weather\",\"sun\":[1,{\"kind\":\"exchange\"}]}\n\n";
    let more = lines(&records(1));
    text += &more
        .lines()
        .nth(1)
        .unwrap()
        .replace('{', "{\"mood\":{\"a\":[]},");
    text += "\r\n";
    std::fs::write(folder.path().join("x.jsonl"), text).unwrap();
    let said = report(folder.path(), &["x.jsonl", "--format", "json"]).well();
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["journals"][0]["requests"], 2);
    assert_eq!(json["journals"][0]["records_skipped"], 1);
    assert_eq!(json["journals"][0]["warnings"], serde_json::json!([]));
}

#[test]
fn a_file_that_cannot_be_read_is_2_and_said() {
    let folder = folder();
    let said = report(folder.path(), &["nowhere.jsonl"]).failed(2);
    assert!(
        said.contains("nowhere.jsonl can't be read: No such file"),
        "{said}"
    );
    std::fs::create_dir(folder.path().join("dir")).unwrap();
    let said = report(folder.path(), &["dir"]).failed(2);
    assert!(said.contains("dir can't be read: Is a directory"), "{said}");
    let said = report::<&str>(folder.path(), &[]).failed(2);
    assert!(said.contains("<JOURNAL>..."), "{said}");
    let said = report(folder.path(), &["x", "--format", "pdf"]).failed(2);
    assert!(
        said.contains("[possible values: md, json, html, tsv]"),
        "{said}"
    );
}

#[test]
fn one_broken_of_several_is_1_and_the_others_are_reported() {
    let folder = folder();
    write(folder.path(), "a.jsonl", &records(3));
    write(folder.path(), "c.jsonl", &records(5));
    std::fs::write(folder.path().join("b.jsonl"), "hello").unwrap();
    let said = report(
        folder.path(),
        &["a.jsonl", "b.jsonl", "c.jsonl", "--format", "tsv"],
    );
    assert!(
        said.stdout.starts_with("metric\tunit\ta\tc\n"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("\nrequests\tcount\t3\t5\n"),
        "{}",
        said.stdout
    );
    let stderr = said.failed(1);
    assert!(
        stderr.contains("b.jsonl:1 is not the first line"),
        "{stderr}"
    );
    // Where none is left, all are named.
    let said = report(folder.path(), &["b.jsonl", "nowhere"]).failed(2);
    assert!(
        said.contains("b.jsonl:1") && said.contains("nowhere can't"),
        "{said}"
    );
}

#[test]
fn standard_input_is_a_journal_too() {
    let folder = folder();
    let text = lines(&records(4));
    let tsv = report_of(folder.path(), &["-", "--format", "tsv"], text.as_bytes()).well();
    assert!(tsv.starts_with("metric\tunit\tstdin\n"), "{tsv}");
    assert_eq!(figure(&tsv, "requests"), "4");
    let said = report_of(folder.path(), &["-"], b"").failed(2);
    assert!(
        said.contains("stdin:1 is not the first line of a journal: it is empty"),
        "{said}"
    );
    let said = report_of(folder.path(), &["-", "-"], text.as_bytes()).failed(2);
    assert!(said.contains("can be read once only"), "{said}");
}

#[test]
fn parts_that_were_rotated_away_belong_to_their_journal() {
    let folder = folder();
    let of = |args: &[&str]| {
        let args: Vec<_> = args.iter().chain(&["--format", "tsv"]).collect();
        report(folder.path(), &args).well()
    };
    write(folder.path(), "x.jsonl", &records(1));
    write(folder.path(), "x.jsonl.1", &records(2));
    write(folder.path(), "x.jsonl.2", &records(4));
    // Not in a row: of an older configuration.
    write(folder.path(), "x.jsonl.7", &records(8));
    assert_eq!(figure(&of(&["x.jsonl"]), "requests"), "7");
    assert_eq!(figure(&of(&["x.jsonl.1"]), "requests"), "2");
    let text = report(folder.path(), &["x.jsonl"]).well();
    assert!(text.contains("- x: read from 3 files"), "{text}");
    // Who names a part means each for itself.
    let apart = of(&["x.jsonl", "./x.jsonl.1"]);
    assert!(apart.starts_with("metric\tunit\tx\tx.jsonl.1\n"), "{apart}");
    assert!(apart.contains("\nrequests\tcount\t1\t2\n"), "{apart}");
    // An old part that is broken spoils its journal.
    std::fs::write(folder.path().join("x.jsonl.2"), "hello").unwrap();
    let said = report(folder.path(), &["x.jsonl"]).failed(2);
    assert!(said.contains("x.jsonl.2:1 is not"), "{said}");
}

#[test]
fn missing_records_are_said_loudly() {
    let folder = folder();
    let mut all = records(2);
    all.push(Record::Dropped(Dropped {
        ts: zero(),
        records: 1234,
    }));
    write(folder.path(), "x.jsonl", &all);
    let loud = "x: 1,234 RECORDS ARE MISSING";
    for format in ["md", "json", "html", "tsv"] {
        let said = report(folder.path(), &["x.jsonl", "--format", format]);
        assert!(said.stderr.contains(loud), "{format}: {}", said.stderr);
        let stdout = said.well();
        match format {
            "tsv" => assert_eq!(figure(&stdout, "records_dropped"), "1234"),
            _ => assert!(stdout.contains(loud), "{format}: {stdout}"),
        }
    }
}

#[test]
fn a_report_goes_to_a_file_in_the_format_of_its_name() {
    let folder = folder();
    let journal = write(folder.path(), "x.jsonl", &records(1));
    let journal = std::fs::read_to_string(journal).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let to = |name: &str, more: &[&str]| {
        let args: Vec<_> = ["x.jsonl", "-o", name]
            .iter()
            .chain(more)
            .copied()
            .collect();
        assert_eq!(report(folder.path(), &args).well(), "");
        read(name)
    };
    assert!(to("r.html", &[]).starts_with("<!DOCTYPE html>"));
    assert!(to("r.json", &[]).starts_with('{'));
    assert!(to("r.tsv", &[]).starts_with("metric\t"));
    assert!(to("r.txt", &[]).starts_with("# Report"));
    assert!(to("r.html", &["--format", "tsv"]).starts_with("metric\t"));
    let said = report(folder.path(), &["x.jsonl", "-o", "./x.jsonl"]).failed(2);
    assert!(said.contains("x.jsonl is a journal to be read"), "{said}");
    assert_eq!(read("x.jsonl"), journal);
    let nowhere = Path::new("no/folder/r.md");
    let said = report(
        folder.path(),
        &[Path::new("x.jsonl"), Path::new("-o"), nowhere],
    )
    .failed(3);
    assert!(
        said.contains("no/folder/r.md can't be written: No such file"),
        "{said}"
    );
}

#[test]
fn many_journals_stand_side_by_side() {
    let folder = folder();
    let mut names = Vec::new();
    for number in 0..12 {
        names.push(format!("run-{number}.jsonl"));
        write(folder.path(), &names[number], &records(number));
    }
    let mut expected = "requests\tcount".to_owned();
    (0..12).for_each(|number| write!(expected, "\t{number}").unwrap());
    names.extend(["--format".to_owned(), "tsv".to_owned()]);
    let tsv = report(folder.path(), &names).well();
    assert!(tsv.contains(&expected), "{tsv}");
}
