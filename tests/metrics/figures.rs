//! Every figure against what was done.

use std::time::SystemTime;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use crate::page::Page;
use crate::scene::MANIFEST;
use crate::scene::MIB;
use crate::scene::Scene;

const REQUESTS: &str = "tidegate_http_requests_total";
const BYTES: &str = "tidegate_http_response_bytes_total";

/// All exchanges of [`Scene::play`].
#[rustfmt::skip]
const EXCHANGES: [(&str, f64); 17] = [
    (r#"{leg="client",upstream="down.test",action="manifest-get",method="GET",status="502",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="limited.test",action="manifest-get",method="GET",status="429",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="main.test",action="blob-get",method="GET",status="200",origin="filled",end="complete"}"#, 4.0),
    (r#"{leg="client",upstream="main.test",action="blob-get",method="GET",status="200",origin="filled",end="reset"}"#, 1.0),
    (r#"{leg="client",upstream="main.test",action="blob-get",method="GET",status="200",origin="hit",end="complete"}"#, 2.0),
    (r#"{leg="client",upstream="main.test",action="manifest-get",method="GET",status="200",origin="filled",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="main.test",action="manifest-get",method="GET",status="200",origin="hit",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="main.test",action="manifest-head",method="HEAD",status="200",origin="hit",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="none",action="other",method="GET",status="401",origin="none",end="complete"}"#, 2.0),
    (r#"{leg="client",upstream="none",action="other",method="GET",status="404",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="client",upstream="none",action="other",method="other",status="405",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="upstream",upstream="down.test",action="manifest-get",method="GET",status="none",origin="none",end="failed"}"#, 4.0),
    (r#"{leg="upstream",upstream="limited.test",action="manifest-get",method="GET",status="429",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="upstream",upstream="main.test",action="blob-get",method="GET",status="200",origin="none",end="complete"}"#, 4.0),
    (r#"{leg="upstream",upstream="main.test",action="blob-get",method="GET",status="200",origin="none",end="failed"}"#, 1.0),
    (r#"{leg="upstream",upstream="main.test",action="blob-get",method="GET",status="206",origin="none",end="complete"}"#, 1.0),
    (r#"{leg="upstream",upstream="main.test",action="manifest-get",method="GET",status="200",origin="none",end="complete"}"#, 1.0),
];

/// Waits until all exchanges of [`Scene::play`] are entered, and nothing is under way.
pub(crate) async fn all_entered(scene: &Scene) -> Page {
    let all: f64 = EXCHANGES.iter().map(|(_, count)| count).sum();
    let is_so = |page: &Page| {
        let is_quiet = page.value("tidegate_ledger_open_accounts") == 0.0;
        page.sum(REQUESTS, &[]) >= all && is_quiet
    };
    scene.until(is_so).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_exchange_is_counted_once() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let page = all_entered(&scene).await;
    assert_eq!(page.counted(REQUESTS), EXCHANGES);
    // The same exchanges, by what they have in common.
    for (name, parts) in [
        ("tidegate_http_request_duration_seconds_count", &[][..]),
        (
            "tidegate_http_request_duration_seconds_bucket",
            &["le=\"+Inf\""],
        ),
    ] {
        for leg in ["leg=\"client\"", "leg=\"upstream\""] {
            let parts = [parts, &[leg]].concat();
            assert_eq!(page.sum(name, &parts), page.sum(REQUESTS, &[leg]), "{name}");
        }
    }
    // A HEAD and what was never answered have no first byte.
    let first_bytes = page.sum("tidegate_http_first_byte_seconds_count", &[]);
    assert_eq!(first_bytes, page.sum(REQUESTS, &[]) - 1.0 - 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_byte_is_counted_once_and_the_books_balance() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let page = all_entered(&scene).await;
    let (mib, manifest) = (MIB as f64, MANIFEST.len() as f64);
    let blobs = |parts: &[&str]| page.sum(BYTES, &[&["action=\"blob-get\""], parts].concat());
    // Five whole blobs, one of them in two halves.
    assert_eq!(blobs(&["leg=\"upstream\""]), 5.0 * mib);
    assert_eq!(blobs(&["origin=\"hit\""]), 2.0 * mib);
    // Of the wrong one, clients get less than all.
    let filled = blobs(&["origin=\"filled\""]);
    assert!(4.0 * mib < filled && filled < 5.0 * mib, "{filled}");
    let manifests = |leg| page.sum(BYTES, &["action=\"manifest-get\"", "status=\"2xx\"", leg]);
    assert_eq!(manifests("leg=\"client\""), 2.0 * manifest);
    assert_eq!(manifests("leg=\"upstream\""), manifest);

    assert_eq!(page.value("tidegate_ledger_imbalance_bytes"), 0.0);
    assert_eq!(page.value("tidegate_ledger_held_bytes"), 0.0);
    let received = page.value("tidegate_ledger_upstream_received_bytes_total");
    assert_eq!(received, page.sum(BYTES, &["leg=\"upstream\""]));
    let uses = "tidegate_ledger_upstream_bytes_total";
    assert_eq!(received, page.sum(uses, &[]));
    let committed = page.sum(uses, &["use=\"committed\""]);
    assert_eq!(committed, 4.0 * mib + manifest);
    let mismatched = page.sum(uses, &["use=\"discarded\"", "reason=\"mismatch\""]);
    assert_eq!(mismatched, mib);
    let sent = page.value("tidegate_ledger_client_sent_bytes_total");
    assert_eq!(sent, page.sum(BYTES, &["leg=\"client\""]));
    let sources = "tidegate_ledger_client_bytes_total";
    assert_eq!(sent, page.sum(sources, &[]));
    let stored = page.sum(sources, &["source=\"store\""]);
    assert_eq!(stored, 2.0 * mib + manifest);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_store_doors_and_journal_are_as_they_are() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let page = all_entered(&scene).await;
    let host = scene.limited.host();
    let mib = MIB as f64;
    let expected = [
        ("tidegate_upstream_up{upstream=\"main.test\"}", 1.0),
        ("tidegate_upstream_up{upstream=\"limited.test\"}", 0.0),
        ("tidegate_upstream_up{upstream=\"down.test\"}", 0.0),
        (
            "tidegate_upstream_retries_total{upstream=\"down.test\"}",
            3.0,
        ),
        (
            "tidegate_upstream_retries_total{upstream=\"main.test\"}",
            0.0,
        ),
        (
            "tidegate_upstream_resumes_total{upstream=\"main.test\"}",
            1.0,
        ),
        (
            "tidegate_upstream_mismatches_total{upstream=\"main.test\"}",
            1.0,
        ),
        ("tidegate_store_size_bytes", 3.0 * mib + 19.0),
        ("tidegate_store_max_size_bytes", 3.5 * mib),
        ("tidegate_store_objects", 4.0),
        ("tidegate_store_reserved_bytes", 0.0),
        ("tidegate_store_indexed", 1.0),
        ("tidegate_store_ready", 1.0),
        ("tidegate_store_evictions_total", 1.0),
        ("tidegate_store_evicted_bytes_total", mib),
        ("tidegate_front_max_connections", 64.0),
        ("tidegate_front_max_connections_per_client", 16.0),
        ("tidegate_journal_dropped_records_total", 0.0),
        ("tidegate_journal_ready", 1.0),
        ("tidegate_draining", 0.0),
    ];
    for (sample, value) in expected {
        assert_eq!(page.samples.get(sample), Some(&value), "{sample}");
    }
    for (reason, count) in [("missing", 1.0), ("wrong", 1.0), ("throttled", 0.0)] {
        let labels = format!("{{listener=\"front\",reason=\"{reason}\"}}");
        let refused = page.value(&format!("tidegate_logins_refused_total{labels}"));
        assert_eq!(refused, count, "{reason}");
    }
    let limit = format!("{{upstream=\"limited.test\",host=\"{host}\",window=\"reads\"}}");
    let quota = |what: &str| page.value(&format!("tidegate_upstream_{what}{limit}"));
    assert_eq!(quota("quota_remaining"), 7.0);
    assert_eq!(quota("quota_limit"), 100.0);
    assert_eq!(quota("quota_window_seconds"), 21_600.0);
    let pause = quota("pause_seconds");
    assert!((1800.0..=3600.0).contains(&pause), "{pause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_configured_is_no_label() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let text = scene.scrape().await;
    for word in ["evil.example", "BREW", "demo/app", "sha256", "alice"] {
        assert!(!text.contains(word), "{word} is in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_when_they_end() {
    let mut scene = Scene::set().await;
    let blob = scene.blob(1);
    scene.pull(&blob).await;
    let page = scene.settled().await;
    assert_eq!(page.value("tidegate_front_connections"), 1.0);
    assert_eq!(page.sum("tidegate_connections_total", &[]), 0.0);
    scene.hang_up();
    let client = "{leg=\"client\",upstream=\"none\",tls=\"false\"}";
    let ended = format!("tidegate_connections_total{client}");
    let page = scene.until(|page| page.value(&ended) == 1.0).await;
    assert_eq!(page.value("tidegate_front_connections"), 0.0);
    let bytes = |what| page.value(&format!("tidegate_connection_{what}_bytes_total{client}"));
    // The blob and a header; a request without a body.
    let (sent, received) = (bytes("sent"), bytes("received"));
    let header = sent - MIB as f64;
    assert!((100.0..2000.0).contains(&header), "{sent}");
    assert!((100.0..1000.0).contains(&received), "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_seen_and_who_has_too_much_is_counted() {
    let scene = Scene::set().await;
    let (blob, gate) = (scene.blob(1), Gate::new());
    let stall = Fault::stall_after(MIB / 2, &gate);
    scene.main.fault(When::get(&blob), stall);
    let url = format!("{}/v2/demo/app/blobs/{blob}", scene.tidegate.url());
    let ask = async |client: &Client| {
        let request = client
            .get(&url)
            .header("authorization", crate::scene::TOKEN);
        request.send().await
    };
    let clients: Vec<_> = std::iter::repeat_with(Client::new).take(16).collect();
    let mut replies = Vec::new();
    for client in &clients {
        replies.push(ask(client).await.unwrap());
    }
    assert!(ask(&Client::new()).await.is_err());
    let turned_away = "tidegate_front_connections_turned_away_total";
    let page = scene.until(|page| page.value(turned_away) > 0.0).await;
    assert_eq!(page.value("tidegate_fills_in_flight"), 1.0);
    assert_eq!(page.value("tidegate_fill_followers_in_flight"), 16.0);
    assert_eq!(page.value("tidegate_front_connections"), 16.0);
    assert_eq!(page.value("tidegate_store_reserved_bytes"), MIB as f64);
    assert!(page.value("tidegate_ledger_open_accounts") >= 17.0);
    gate.open();
    for reply in replies {
        assert!(reply.digest().await.unwrap() == blob);
    }
    let page = scene.settled().await;
    assert_eq!(page.value("tidegate_fill_followers_in_flight"), 0.0);
    let page = scene
        .until(|page| page.sum(REQUESTS, &["leg=\"client\""]) == 16.0)
        .await;
    assert_eq!(page.sum(REQUESTS, &["origin=\"joined\""]), 15.0);
    assert_eq!(page.sum(REQUESTS, &["leg=\"upstream\""]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_is_as_the_system_says() {
    let scene = Scene::set().await;
    let process = scene.tidegate.process();
    let before = process.cpu_seconds();
    let page = Page::parse(&scene.scrape().await);
    let cpu = page.value("process_cpu_seconds_total");
    assert!(before <= cpu && cpu <= process.cpu_seconds(), "{cpu}");
    let resident = page.value("process_resident_memory_bytes");
    assert!((1e6..=process.peak_rss() as f64).contains(&resident));
    assert!(page.value("process_virtual_memory_bytes") >= resident);
    let open = page.value("process_open_fds");
    assert!((5.0..50.0).contains(&open), "{open}");
    assert!(page.value("process_max_fds") >= 1024.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let age = now.unwrap().as_secs_f64() - page.value("process_start_time_seconds");
    assert!((-2.0..600.0).contains(&age), "{age}");
}
