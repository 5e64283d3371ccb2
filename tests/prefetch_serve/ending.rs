//! A shutdown in the middle of a run.

use std::fs;
use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::PATIENCE;
use fake_registry::When;
use serde_json::Value;

use crate::rig::Rig;
use crate::rig::many;
use crate::rig::set;

fn kept(rig: &Rig) -> Value {
    let file = "tidegate-data/tidegate/prefetch/base.json";
    let text = fs::read(rig.tidegate.folder().join(file)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_finished_and_nothing_new_is_begun() {
    let tags = many(100);
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let sets = set("base", &tags, "every = \"1h\"\njitter = \"0s\"");
    let upstream = Rig::new(&tags, "").await.upstream;
    let gate = Gate::new();
    upstream.fault(When::path("/manifests/"), Fault::stall_header(&gate));
    let mut rig = Rig::over(upstream, &sets).await;
    rig.until("base", |state| {
        let active = state["running"]["progress"]["active"].as_array();
        active.is_some_and(|active| active.len() == 64)
    })
    .await;
    rig.tidegate.process_mut().terminate();
    rig.tidegate.wait_for_log("ending; what is under way").await;
    gate.open();
    let status = rig.tidegate.process_mut().wait(2 * PATIENCE).await;
    assert!(status.success(), "{}", rig.tidegate.log());
    let record = kept(&rig);
    let (report, images) = (&record["report"], &record["report"]["images"]);
    assert_eq!(report["outcome"], "interrupted", "{record:#}");
    let count = |key: &str| images[key].as_u64().unwrap();
    assert_eq!((count("copied"), count("failed")), (64, 0), "{record:#}");
    assert_eq!(record["last_success"], Value::Null);

    // It is gone on with at the next start, whatever the schedule; nothing comes twice.
    rig.upstream.clear_log();
    rig.tidegate.restart().await;
    let state = rig.until("base", |state| state["runs"]["done"] == 1).await;
    let images = &state["last"]["report"]["images"];
    assert_eq!(
        (&images["unchanged"], &images["copied"]),
        (&64.into(), &36.into()),
        "{state:#}"
    );
    assert_eq!(rig.manifests(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_the_drain_is_broken_off_and_told_of() {
    let sets = set("base", &["a", "b"], "");
    let upstream = fake_registry::Upstream::start().await;
    for (seed, tag) in [(1, "a"), (2, "b")] {
        let image = fake_registry::ImageBuilder::new(seed).build();
        image.push_to(&upstream, crate::rig::REPOSITORY, tag);
    }
    let gate = Gate::new();
    upstream.fault(When::path("/manifests/b"), Fault::stall_header(&gate));
    let config = Rig::config(&upstream, &sets).replace("\"30s\"", "\"300ms\"");
    let builder = fake_registry::Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config);
    let tidegate = builder.start().await;
    let mut rig = Rig { upstream, tidegate };
    rig.trigger("base").await;
    rig.until("base", |state| {
        state["running"]["progress"]["images"]["copied"] == 1
    })
    .await;
    rig.tidegate.process_mut().terminate();
    let status = rig
        .tidegate
        .process_mut()
        .wait(Duration::from_secs(60))
        .await;
    assert!(status.success(), "{}", rig.tidegate.log());
    let record = kept(&rig);
    assert_eq!(record["report"]["outcome"], "interrupted", "{record:#}");
    assert_eq!(record["report"]["images"]["copied"], 1, "{record:#}");
    gate.open();
}
