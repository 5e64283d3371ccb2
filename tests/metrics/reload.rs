//! Counters go on over a reload.

use crate::figures::all_entered;
use crate::page::Page;
use crate::scene::Scene;

const COUNTERS: [&str; 4] = [
    "tidegate_upstream_retries_total{upstream=\"down.test\"}",
    "tidegate_upstream_resumes_total{upstream=\"main.test\"}",
    "tidegate_upstream_mismatches_total{upstream=\"main.test\"}",
    "tidegate_store_evictions_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn counters_survive_a_reload() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let before = all_entered(&scene).await;
    // Every client for an upstream is a new one.
    let url = scene.main.url();
    let config = scene.config_with(&format!(
        "[defaults]\nheader_timeout = \"29s\"\n\
         [[upstream]]\nname = \"late.test\"\nurl = \"{url}\"\nplain_http = true\n"
    ));
    scene.tidegate.reload(&config);
    scene.tidegate.wait_for_log("reloaded").await;
    let after = Page::parse(&scene.scrape().await);
    for (sample, value) in &before.samples {
        let name = sample.split('{').next().unwrap_or(sample);
        if before.families[&before.family_of(name)].kind == "counter" {
            assert!(after.value(sample) >= *value, "{sample}");
        }
    }
    for counter in COUNTERS {
        assert!(before.value(counter) > 0.0, "{counter}");
        assert_eq!(after.value(counter), before.value(counter), "{counter}");
    }
    // They do count on, and a new upstream has its name.
    assert_eq!(scene.get("a/manifests/v2?ns=down.test").await.0, 502);
    assert_eq!(scene.get("demo/app/manifests/v1?ns=late.test").await.0, 200);
    let late = "upstream=\"late.test\"";
    let is_so = |page: &Page| page.sum("tidegate_http_requests_total", &[late]) == 2.0;
    let page = scene.until(is_so).await;
    assert_eq!(page.value(COUNTERS[0]), before.value(COUNTERS[0]) + 3.0);
    assert_eq!(page.sum("tidegate_upstream_up", &[late]), 1.0);
}
