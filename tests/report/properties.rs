//! What must hold for any records.

use fake_registry::Fuzz;
use proptest::prelude::*;
use tidegate::ledger::Action;
use tidegate::ledger::Cdn;
use tidegate::ledger::Dropped;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Mount;
use tidegate::ledger::Origin;
use tidegate::ledger::Record;
use tidegate::ledger::Sink as _;
use tidegate::report::Column;
use tidegate::report::Live;
use tidegate::report::Records;
use tidegate::report::Summary;

use crate::craft::But as _;
use crate::craft::connection;
use crate::craft::digest;
use crate::craft::exchange;
use crate::craft::lines;
use crate::craft::ms;
use crate::craft::zero;

/// Rows that are sums: the figure of two journals one after the other is that of both, added.
const SUMS: [&str; 24] = [
    "records_dropped",
    "requests",
    "requests_unanswered",
    "requests_cut_short",
    "request_bytes",
    "response_bytes",
    "mounts_accepted",
    "mounts_attempted",
    "cdn_hits",
    "cdn_misses",
    "throttled",
    "referrers_calls",
    "connections",
    "socket_tx_bytes",
    "socket_rx_bytes",
    "client_requests",
    "client_response_bytes",
    "saved_requests",
    "saved_bytes",
    "client_cut_short",
    "client_throttled",
    "client_connections",
    "blob_gets",
    "blob_get_bytes",
];

/// Rows that may be more than the sum, as one part alone doesn't know what came before.
const AT_LEAST: [&str; 2] = ["blob_gets_duplicate", "blob_duplicate_bytes"];

fn of<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(all)
}

/// Any record but a tap's: whether there is one decides what is counted at all.
fn record() -> impl Strategy<Value = Record> {
    const LEGS: [Leg; 3] = [Leg::Client, Leg::Upstream, Leg::Target];
    const STATUS: [u16; 12] = [0, 200, 201, 202, 206, 304, 307, 401, 404, 416, 429, 503];
    const HOSTS: [&str; 4] = ["a.test", "a.test:443", "b.test:5000", "[::1]:80"];
    let what = (of(&LEGS), of(Action::ALL), of(&STATUS), of(End::ALL));
    let said = (
        proptest::option::of(of(Origin::ALL)),
        proptest::option::of(of(Cdn::ALL)),
        proptest::option::of(any::<bool>()),
    );
    let figures = (
        0u64..1 << 40,
        0u64..1 << 40,
        0u64..100_000,
        0u64..100_000,
        0u64..6,
    );
    let exchanged = (what, said, figures, of(&HOSTS)).prop_map(|(what, said, figures, host)| {
        let (leg, action, status, end) = what;
        let (origin, cdn, accepted) = said;
        let (down, up, at, took, number) = figures;
        exchange(leg, action)
            .but(|it| {
                it.ts = zero() + ms(at);
                it.duration = ms(took);
                it.ttfb = Some(ms(took / 2));
                it.status = status;
                it.end = end;
                it.origin = origin;
                it.cdn = cdn;
                it.mount = accepted.map(|accepted| Mount {
                    from: "x".into(),
                    accepted,
                });
                it.response_bytes = down;
                it.request_bytes = up;
                it.host = host.into();
                // Blobs and manifests don't share digests, as their bytes differ.
                let offset = if action == Action::ManifestGet {
                    100
                } else {
                    0
                };
                it.reference = if number == 5 {
                    "tag".to_owned()
                } else {
                    digest(number + offset)
                }
                .into();
            })
            .record()
    });
    let connected = (of(&LEGS), of(&HOSTS), 0u64..1 << 40, 0u64..1 << 40);
    let connected =
        connected.prop_map(|(leg, host, tx, rx)| connection(leg, host, (tx, rx)).record());
    let dropped = (0u64..1 << 30).prop_map(|records| {
        Record::Dropped(Dropped {
            ts: zero(),
            records,
        })
    });
    prop_oneof![8 => exchanged, 2 => connected, 1 => dropped]
}

fn summary<'a>(records: impl Iterator<Item = &'a Record>) -> Summary {
    let mut summary = Summary::default();
    records.for_each(|record| summary.add(record));
    summary
}

/// The figures of several summaries, by their keys.
fn figures(summaries: Vec<Summary>) -> Vec<(String, Vec<i128>)> {
    let columns = summaries.into_iter().enumerate();
    let columns: Vec<_> = columns
        .map(|(at, it)| Column::of(at.to_string(), it))
        .collect();
    let tsv = tidegate::report::tsv(&columns);
    let row = |line: &str| {
        let mut cells = line.split('\t');
        let key = cells.next().unwrap().to_owned();
        let cells = cells.skip(1).map(|cell| match cell {
            "" => 0,
            number => number.parse::<f64>().unwrap() as i128,
        });
        (key, cells.collect())
    };
    tsv.lines().skip(1).map(row).collect()
}

/// Two parts of a journal.
fn two() -> impl Strategy<Value = (Vec<Record>, Vec<Record>)> {
    let part = || proptest::collection::vec(record(), 0..40);
    (part(), part())
}

#[test]
fn parts_add_up() {
    Fuzz::costly(300, 100).run("journals in parts", &two(), |(one, other)| {
        let both = summary(one.iter().chain(&other));
        let parts = vec![both, summary(one.iter()), summary(other.iter())];
        let is_client =
            |record: &Record| matches!(record, Record::Exchange(it) if it.leg == Leg::Client);
        // What a mirror's clients asked is only known of a part that has clients.
        let is_whole = one.iter().any(is_client) && other.iter().any(is_client);
        for (key, cells) in figures(parts) {
            let sum = cells[1] + cells[2];
            let is_sum = SUMS.contains(&&*key) || key.contains('.');
            let is_of_clients = key.starts_with("client") || key.starts_with("saved");
            if is_sum && (is_whole || !is_of_clients) {
                assert_eq!(cells[0], sum, "{key}");
            } else if AT_LEAST.contains(&&*key) {
                assert!(cells[0] >= sum, "{key}: {cells:?}");
            }
        }
    });
}

#[test]
fn the_order_of_records_does_not_matter() {
    Fuzz::costly(300, 100).run("journals in another order", &two(), |(one, other)| {
        let forth = summary(one.iter().chain(&other));
        assert!(forth == summary(other.iter().chain(one.iter().rev())));
    });
}

#[test]
fn a_journal_says_what_a_live_summary_says() {
    let records = proptest::collection::vec(record(), 0..40);
    Fuzz::costly(100, 1000).run("journals and their pages", &records, |records| {
        let live = Live::default();
        for record in &records {
            match record {
                Record::Exchange(receipt) => live.exchange(receipt),
                Record::Connection(connection) => live.connection(connection),
                other => live.note(other),
            }
        }
        let read = read(lines(&records).into_bytes()).unwrap();
        let live = tidegate::report::tsv(&[Column::of("x", live.summary())]);
        assert_eq!(tidegate::report::tsv(std::slice::from_ref(&read)), live);
        // Nothing makes a page that can't be drawn.
        let page = tidegate::report::html(&[read]);
        assert!(!page.contains("NaN") && !page.contains("\"inf"));
    });
}

#[test]
fn any_bytes_in_a_journal_are_read_or_refused_by_name() {
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    let inputs = (bytes, any::<proptest::sample::Index>());
    Fuzz::new(2000).run("journals, broken", &inputs, |(bytes, at)| {
        let mut text = lines(&[exchange(Leg::Tap, Action::Ping).record()]).into_bytes();
        let at = at.index(text.len());
        text.splice(at..at, bytes);
        if let Err(error) = read(text) {
            assert!(error.to_string().starts_with("x:"), "{error}");
        }
    });
}

fn read(text: Vec<u8>) -> Result<Column, tidegate::report::Error> {
    let from = Box::new(std::io::Cursor::new(text));
    Column::read("x", vec![Records::new("x".to_owned(), from)], true)
}
