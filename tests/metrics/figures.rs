//! Every figure against what was done.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use crate::page::Page;
use crate::scene::MIB;
use crate::scene::Scene;

const REQUESTS: &str = "tidegate_http_requests_total";

#[tokio::test(flavor = "multi_thread")]
async fn each_exchange_is_counted_once() {
    let mut scene = Scene::set().await;
    scene.play().await;
    let page = scene.until(|page| page.sum(REQUESTS, &[]) >= 21.0).await;
    for (l, v) in page.counted(REQUESTS) {
        eprintln!("{l} {v}");
    }
    eprintln!("{}", scene.scrape().await);
    let _ = (Gate::new(), Fault::status(429), When::any(), MIB);
    let _: &Page = &page;
}
