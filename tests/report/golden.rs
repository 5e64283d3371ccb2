//! Small journals with all sequences that are hard to count, against figures counted by hand.

use std::path::Path;

use http::Method;
use tidegate::ledger::Action;
use tidegate::ledger::Cdn;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Origin;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;

use crate::command::folder;
use crate::command::report;
use crate::craft::But as _;
use crate::craft::connection;
use crate::craft::digest;
use crate::craft::exchange;
use crate::craft::get;
use crate::craft::mount;
use crate::craft::run;
use crate::craft::write;

/// A `GET` of a blob at the tap.
fn blob(number: u64, status: u16, bytes: u64) -> Receipt {
    get(Leg::Tap, Action::BlobGet, number, (status, bytes))
}

/// The hop that a redirect led to.
fn landed(number: u64, (status, bytes): (u16, u64), cdn: Cdn) -> Receipt {
    get(Leg::Tap, Action::Redirect, number, (status, bytes)).but(|it| {
        it.host = "cdn.test".into();
        it.cdn = Some(cdn);
    })
}

fn asks(action: Action, status: u16, bytes: u64) -> Receipt {
    exchange(Leg::Tap, action).but(|it| {
        it.status = status;
        it.response_bytes = bytes;
    })
}

/// What a tool did, in its order.
fn tapped() -> Vec<Record> {
    let manifest = |status, bytes| asks(Action::ManifestGet, status, bytes);
    let token = asks(Action::Token, 200, 200).but(|it| it.host = "auth.test:443".into());
    let exchanges = [
        asks(Action::Ping, 401, 100).but(|it| it.cdn = Some(Cdn::Miss)),
        token,
        asks(Action::Ping, 200, 2),
        manifest(200, 500).but(|it| it.reference = "v1".into()),
        // A manifest that is redirected is no blob.
        manifest(307, 0).but(|it| it.reference = digest(1).into()),
        landed(1, (200, 700), Cdn::Hit),
        // A blob: signed in for, redirected, cut off, resumed, then got once more.
        blob(2, 401, 100),
        blob(2, 307, 30),
        landed(2, (200, 1000), Cdn::Miss).but(|it| it.end = End::Failed),
        blob(2, 307, 30),
        landed(2, (206, 2000), Cdn::Hit),
        blob(2, 307, 30),
        landed(2, (200, 3000), Cdn::Hit),
        // Without a redirect; then too often.
        blob(3, 200, 400),
        blob(3, 429, 50),
        asks(Action::BlobHead, 200, 0).but(|it| it.reference = digest(3).into()),
        // A HEAD that was redirected, and answers without content.
        landed(4, (200, 0), Cdn::Hit).but(|it| it.method = Method::HEAD),
        blob(4, 404, 60),
        blob(4, 304, 0),
        // Left before the first byte; then nobody answered.
        blob(4, 200, 0).but(|it| it.end = End::Cancelled),
        blob(4, 0, 0).but(|it| it.end = End::Failed),
        mount(Leg::Tap, 5, 401),
        mount(Leg::Tap, 5, 201),
        mount(Leg::Tap, 6, 503),
        mount(Leg::Tap, 6, 202),
        asks(Action::UploadFinish, 201, 0).but(|it| it.request_bytes = 5000),
        asks(Action::Referrers, 401, 0),
        asks(Action::Referrers, 404, 60),
        asks(Action::Referrers, 200, 90),
    ];
    let mut records: Vec<Record> = exchanges.into_iter().map(|it| it.record()).collect();
    records.extend([
        connection(Leg::Tap, "registry.test:443", (100, 1000)).record(),
        connection(Leg::Tap, "cdn.test:443", (200, 9000)).record(),
        connection(Leg::Client, "127.0.0.1:50000", (10_000, 300)).record(),
        run("skopeo copy a b", 2, 1 << 20),
    ]);
    records
}

/// What a mirror did.
fn mirrored() -> Vec<Record> {
    let client = |action, origin, bytes| {
        exchange(Leg::Client, action).but(|it| {
            it.host = "192.0.2.7".into();
            it.origin = Some(origin);
            it.response_bytes = bytes;
        })
    };
    let exchanges = [
        exchange(Leg::Client, Action::Ping).but(|it| it.response_bytes = 2),
        client(Action::ManifestGet, Origin::Hit, 500),
        client(Action::BlobGet, Origin::Hit, 1000),
        client(Action::BlobGet, Origin::Joined, 1000),
        client(Action::BlobGet, Origin::Filled, 1000),
        client(Action::BlobGet, Origin::Stale, 300),
        client(Action::BlobGet, Origin::Bypassed, 200),
        get(Leg::Client, Action::BlobGet, 9, (404, 60)),
        get(Leg::Upstream, Action::BlobGet, 1, (307, 0)),
        get(Leg::Upstream, Action::Redirect, 1, (200, 1000)),
        get(Leg::Upstream, Action::BlobGet, 2, (206, 200)),
        exchange(Leg::Upstream, Action::ManifestHead),
        // A target is written to; what is read from it is no source's.
        mount(Leg::Target, 1, 201),
        get(Leg::Target, Action::BlobGet, 1, (200, 70)),
    ];
    exchanges.into_iter().map(|it| it.record()).collect()
}

/// Both, in raw units: tap, mirror.
const FIGURES: &[(&str, &str, &str)] = &[
    ("wall_seconds", "2.0", "0.01"),
    ("peak_rss_bytes", "1048576", ""),
    ("cpu_seconds", "0.8", ""),
    ("runs_failed", "0", ""),
    ("records_dropped", "0", "0"),
    ("requests", "29", "6"),
    ("requests_unanswered", "1", "0"),
    ("requests_cut_short", "2", "0"),
    ("request_bytes", "5000", "0"),
    ("response_bytes", "8352", "1270"),
    ("blob_gets", "5", "2"),
    ("blob_get_bytes", "6400", "1200"),
    ("blob_gets_duplicate", "1", "0"),
    ("blob_duplicate_bytes", "1000", "0"),
    ("mounts_accepted", "1", "1"),
    ("mounts_attempted", "2", "1"),
    ("cdn_hits", "3", "0"),
    ("cdn_misses", "1", "0"),
    ("throttled", "1", "0"),
    ("referrers_calls", "2", "0"),
    ("connections", "2", "0"),
    ("socket_tx_bytes", "300", "0"),
    ("socket_rx_bytes", "10000", "0"),
    ("client_requests", "", "8"),
    ("client_response_bytes", "", "4062"),
    ("saved_requests", "", "4"),
    ("saved_bytes", "", "2862"),
    ("hit_ratio", "", "0.5"),
    ("byte_hit_ratio", "", "0.45"),
    ("client_cut_short", "", "0"),
    ("client_throttled", "", "0"),
    ("client_connections", "", "0"),
    ("action.ping.requests", "2", "0"),
    ("action.ping.response_bytes", "102", "0"),
    ("action.token.requests", "1", "0"),
    ("action.manifest-head.requests", "0", "1"),
    ("action.manifest-get.requests", "2", "0"),
    ("action.blob-get.requests", "10", "3"),
    ("action.blob-get.response_bytes", "700", "270"),
    ("action.blob-mount.requests", "4", "1"),
    ("action.upload-finish.request_bytes", "5000", "0"),
    ("action.redirect.requests", "5", "1"),
    ("action.redirect.response_bytes", "6700", "1000"),
    ("host.registry.test.requests", "23", "6"),
    ("host.registry.test.connections", "1", "0"),
    ("host.registry.test.throttled", "1", "0"),
    ("host.cdn.test.requests", "5", "0"),
    ("host.cdn.test.response_bytes", "6700", "0"),
    ("host.cdn.test.socket_rx_bytes", "9000", "0"),
    ("host.auth.test.requests", "1", "0"),
    ("origin.hit.requests", "0", "2"),
    ("origin.hit.response_bytes", "0", "1500"),
    ("origin.joined.response_bytes", "0", "1000"),
    ("origin.filled.response_bytes", "0", "1000"),
    ("origin.stale.response_bytes", "0", "300"),
    ("origin.bypassed.response_bytes", "0", "200"),
    ("leg.client.requests", "0", "8"),
    ("leg.client.connections", "1", "0"),
    ("leg.upstream.requests", "0", "4"),
    ("leg.target.requests", "0", "2"),
    ("leg.tap.requests", "29", "0"),
];

#[test]
fn every_figure_is_as_counted_by_hand() {
    let folder = folder();
    write(folder.path(), "tap.jsonl", &tapped());
    write(folder.path(), "mirror.jsonl", &mirrored());
    let args = ["tap.jsonl", "mirror.jsonl", "--format", "tsv"];
    let tsv = report(folder.path(), &args).well();
    assert!(tsv.starts_with("metric\tunit\ttap\tmirror\n"), "{tsv}");
    let rows: Vec<Vec<&str>> = tsv.lines().map(|line| line.split('\t').collect()).collect();
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
    }
    for (key, tap, mirror) in FIGURES {
        let row = rows.iter().find(|row| row[0] == *key);
        let row = row.unwrap_or_else(|| panic!("no {key} in\n{tsv}"));
        assert_eq!((row[2], row[3]), (*tap, *mirror), "{key}");
    }
    // Each row without a dot is in the list above.
    let plain = rows[1..].iter().filter(|row| !row[0].contains('.'));
    for row in plain {
        assert!(FIGURES.iter().any(|(key, _, _)| *key == row[0]), "{row:?}");
    }
}

#[test]
fn json_has_the_same_figures_and_all_definitions() {
    let folder = folder();
    write(folder.path(), "tap.jsonl", &tapped());
    write(folder.path(), "mirror.jsonl", &mirrored());
    let args = ["tap.jsonl", "mirror.jsonl", "--format", "json"];
    let json = report(folder.path(), &args).well();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], 1);
    for (at, name) in [(0, "tap"), (1, "mirror")] {
        let journal = &json["journals"][at];
        assert_eq!(journal["name"], name);
        for (key, tap, mirror) in FIGURES {
            let expected = [tap, mirror][at];
            let groups = ["action.", "host.", "origin.", "leg."];
            let group = groups.iter().find(|group| key.starts_with(**group));
            let value = match group {
                None => &journal[key],
                Some(group) => {
                    let (name, figure) = key[group.len()..].rsplit_once('.').unwrap();
                    &journal[group.trim_end_matches('.')][name][figure]
                }
            };
            let text = match value {
                serde_json::Value::Null => String::new(),
                value => value.to_string(),
            };
            assert_eq!(text, *expected, "{name}: {key}");
            let definition =
                &json["definitions"][group.map_or(*key, |it| it.trim_end_matches('.'))];
            assert!(
                definition.as_str().is_some_and(|text| text.len() > 10),
                "{key}"
            );
        }
    }
    assert_eq!(json["journals"][0]["command"][0], "skopeo");
    assert_eq!(json["journals"][0]["runs"], 1);
    assert_eq!(json["journals"][1]["start"], "2026-05-28T20:26:40.000000Z");
    assert_eq!(json["journals"][1]["end"], "2026-05-28T20:26:40.010000Z");
}

#[test]
fn markdown_is_aligned_and_defines_what_it_shows() {
    let folder = folder();
    write(folder.path(), "tap.jsonl", &tapped());
    write(folder.path(), "mirror.jsonl", &mirrored());
    let text = report(folder.path(), &["tap.jsonl", "mirror.jsonl"]).well();
    for line in [
        "- tap: ran skopeo copy a b",
        "| wall clock        |   2.00 s | 10.0 ms (0.01) |",
        "| peak memory (RSS) | 1.00 MiB |              - |",
        "| source blob GETs           |        5 |        2 (0.40) |",
        "| response bytes             | 8.16 KiB | 1.24 KiB (0.15) |",
        "| client requests          |   - |        8 |",
        "| hit ratio                |   - |   50.0 % |",
        "| redirect      | 5 · ↓ 6.54 KiB | 1 · ↓ 1000 B |",
        "- **429s**: answers with status 429 (Too Many Requests).",
    ] {
        assert!(text.contains(line), "no\n{line}\nin\n{text}");
    }
    // The lines of a table are as wide as each other.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let widths: Vec<_> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{table}");
    }
    let alone = report(folder.path(), &["tap.jsonl"]).well();
    assert!(!alone.contains("client requests"), "{alone}");
    assert!(!alone.contains("records missing"), "{alone}");
}

#[test]
fn the_documentation_has_every_row_and_what_it_means() {
    let folder = folder();
    write(folder.path(), "mirror.jsonl", &mirrored());
    let json = report(folder.path(), &["mirror.jsonl", "--format", "json"]).well();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/report.md");
    let page = std::fs::read_to_string(page).unwrap();
    let definitions = json["definitions"].as_object().unwrap();
    assert!(definitions.len() > 30);
    for (key, about) in definitions {
        assert!(page.contains(&format!("| `{key}")), "no row {key}");
        assert!(
            page.contains(about.as_str().unwrap()),
            "{key} is not: {about}"
        );
    }
    for key in json["journals"][0].as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{key}")) || page.contains(&format!("`.{key}")),
            "no {key}"
        );
    }
}
