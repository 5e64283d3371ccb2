//! A run in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::life::Report;
use super::proxy::MAX_SIZE;
use super::series::Sample;
use super::tally::Tally;
use crate::report::Aim;
use crate::report::Line;
use crate::report::OWN;
use crate::report::Section;

/// Rows of the series that are shown.
const ROWS: usize = 12;

/// All of it.
pub(crate) fn render(tally: &Tally, report: &Report, (seed, took): (u64, Duration)) -> String {
    let mut text = String::new();
    let verdict = if tally.failures().is_empty() {
        "nothing was wrong"
    } else {
        "FAILED"
    };
    let _ = writeln!(
        text,
        "Soaked for {} s, seed {seed}: {verdict}.\n",
        took.as_secs()
    );
    for failure in tally.failures() {
        let _ = writeln!(text, "- WRONG {failure}");
    }
    requests(&mut text, tally);
    let events = tally.events();
    let events: Vec<_> = events
        .iter()
        .map(|(what, times)| format!("{what} {times}"))
        .collect();
    let _ = writeln!(
        text,
        "\nWhat happened, and how often: {}.\n",
        events.join(", ")
    );
    let (client, upstream) = tally.bytes();
    let _ = writeln!(
        text,
        "Clients received {}, upstreams sent {} ({:.2} times that). The store held {} at most, of \
         {}. `store verify` at the end: {} blobs, {}, {} links, no problem. Pulled at the end, all \
         right: {}.\n",
        mib(client),
        mib(upstream),
        upstream as f64 / client.max(1) as f64,
        mib(report.most_stored),
        mib(MAX_SIZE),
        report.verified["blobs"],
        mib(report.verified["bytes"].as_u64().unwrap_or(0)),
        report.verified["links"],
        report.pulled_at_end,
    );
    series(&mut text, report);
    text
}

/// The same in the shape of all results.
pub(super) fn section(tally: &Tally, report: &Report) -> Section {
    let requests = tally.requests();
    let right: u64 = requests.values().map(|counts| counts.right).sum();
    let peak = report.samples.iter().map(|sample| sample.rss).max();
    let events: u64 = tally.events().values().sum();
    let wrong = tally.failures().len();
    let rows = [
        ("wrong bytes and broken promises", "times", wrong as f64),
        ("- requests that ended right", "requests", right as f64),
        (
            "- faults, restarts and other events",
            "times",
            events as f64,
        ),
        ("- peak memory", "MiB", peak.unwrap_or(0) as f64 / 1024.0),
    ];
    let lines = rows.iter().map(|(title, unit, figure)| {
        let line = Line::new(title, unit);
        let first = *title == rows[0].0;
        let mut line = if first {
            line.aim(Aim::AtMost(0.0))
        } else {
            line
        };
        line.add(OWN, *figure);
        line
    });
    Section {
        name: super::NAME.to_owned(),
        question: "Does anything break under pulls, faults, restarts and a full store at once?"
            .to_owned(),
        lines: lines.collect(),
        took: 0.0,
    }
}

fn requests(text: &mut String, tally: &Tally) {
    text.push_str(
        "| requests | right | refused | broken off | the client left |\n|---|---|---|---|---|\n",
    );
    for (kind, counts) in tally.requests() {
        let _ = writeln!(
            text,
            "| {kind} | {} | {} | {} | {} |",
            counts.right, counts.refused, counts.broken, counts.left
        );
    }
    let statuses = tally.statuses();
    let statuses: Vec<_> = statuses
        .iter()
        .map(|(status, times)| format!("{times} x {status}"))
        .collect();
    let _ = writeln!(text, "\nRefused with: {}.", statuses.join(", "));
}

fn series(text: &mut String, report: &Report) {
    text.push_str("| s of one process | RSS | of it anonymous | descriptors | threads |\n|---|---|---|---|---|\n");
    let mut row = |sample: &Sample, what: &str| {
        let _ = writeln!(
            text,
            "| {}{what} | {} | {} | {} | {} |",
            sample.at.as_secs(),
            mib(sample.rss << 10),
            mib(sample.anonymous << 10),
            sample.descriptors,
            sample.threads
        );
    };
    let step = report.samples.len().div_ceil(ROWS).max(1);
    report
        .samples
        .iter()
        .step_by(step)
        .for_each(|sample| row(sample, ""));
    report
        .at_rest
        .iter()
        .for_each(|sample| row(sample, ", at rest"));
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
