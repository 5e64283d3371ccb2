//! What a real Prometheus, and its linter, make of it.

use fake_registry::Client;
use fake_registry::need;

use crate::figures::all_entered;
use crate::page::Page;
use crate::prometheus::Prometheus;
use crate::prometheus::promtool;
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_to_say() {
    if !need(&["promtool"]) {
        return;
    }
    let mut scene = Scene::set().await;
    let check = ["check", "metrics"];
    let quiet = scene.scrape().await;
    assert_eq!(promtool(&check, &quiet), (true, String::new()), "{quiet}");
    scene.play().await;
    all_entered(&scene).await;
    let busy = scene.scrape().await;
    assert_eq!(promtool(&check, &busy), (true, String::new()), "{busy}");
    // It does look: what breaks a convention is found.
    let broken = busy.replace("tidegate_store_evictions_total", "tidegate_evictions");
    assert!(!promtool(&check, &broken).0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_it_and_answers_for_it() {
    if !need(&["prometheus"]) {
        return;
    }
    let scene = Scene::set().await;
    let prometheus = Prometheus::watching(scene.tidegate.admin()).await;
    let target = prometheus.target().await;
    assert_eq!(target["health"], "up", "{target}");
    assert_eq!(target["lastError"], "", "{target}");
    let blob = scene.blob(1);
    scene.pull(&blob).await;
    let page = scene.settled().await;
    let hits = "sum(tidegate_http_requests_total{leg=\"client\", origin=\"hit\"})";
    let has = |count: f64| format!("{hits} == {count}");
    scene.pull(&blob).await;
    prometheus.first(&has(1.0)).await;
    // A rate is what lies between two scrapes.
    scene.pull(&blob).await;
    scene.pull(&blob).await;
    prometheus.first(&has(3.0)).await;
    let rate = "sum(rate(tidegate_http_requests_total{leg=\"client\"}[1m])) > 0";
    assert!(prometheus.first(rate).await > 0.0);
    let quantile = "histogram_quantile(0.5, sum by (le) \
                    (rate(tidegate_http_first_byte_seconds_bucket{origin=\"hit\"}[1m]))) > 0";
    assert!(prometheus.first(quantile).await < 30.0);
    // What each family is has arrived, too.
    let metadata = prometheus.metadata().await;
    for (name, family) in &page.families {
        let told = &metadata[name][0];
        assert_eq!(told["type"], family.kind, "{name}");
        assert_eq!(told["help"], family.help, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_text_format_whatever_is_asked_for() {
    let scene = Scene::set().await;
    let url = format!("{}/metrics", scene.tidegate.admin());
    let openmetrics = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
    for accept in [openmetrics, "text/plain;version=0.0.4", "*/*"] {
        let request = Client::new().get(&url).header("accept", accept);
        let reply = request.send().await.unwrap();
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; version=0.0.4")
        );
        let page = Page::parse(&reply.text().await.unwrap());
        assert_eq!(page.sum("tidegate_build_info", &[]), 1.0);
    }
}
