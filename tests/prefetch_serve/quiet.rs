//! Quiet hours.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use jiff::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::rig::Rig;
use crate::rig::many;
use crate::rig::set;

/// Hours that began two hours ago, and end in three.
fn now_and_then() -> (String, Timestamp) {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let (from, until) = (&now - 2.hours(), &now + 3.hours());
    let until = until.with().second(0).subsec_nanosecond(0).build().unwrap();
    let hours = format!("{}-{}", from.strftime("%H:%M"), until.strftime("%H:%M"));
    (hours, until.timestamp())
}

const EVERY: &str = "every = \"1h\"\njitter = \"0s\"";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_in_them_but_what_somebody_asks_for() {
    let (hours, end) = now_and_then();
    let sets = set("base", &["a"], &format!("{EVERY}\nquiet = [\"{hours}\"]"));
    let rig = Rig::new(&["a"], &sets).await;
    let state = rig
        .until("base", |state| state["next_run"].is_string())
        .await;
    assert_eq!(state["next_run"], end.to_string(), "{state:#}");
    assert!(state["running"].is_null(), "{state:#}");
    assert_eq!(rig.upstream.log().len(), 0);
    let (status, begun) = rig.trigger("base").await;
    assert_eq!(status, 202);
    assert_eq!(rig.report("base", &begun).await["outcome"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_comes_into_them_begins_nothing_new_until_they_are_over() {
    let tags = many(100);
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let upstream = Rig::new(&tags, "").await.upstream;
    let gate = Gate::new();
    upstream.fault(When::path("/manifests/"), Fault::stall_header(&gate));
    let mut rig = Rig::over(upstream, &set("base", &tags, EVERY)).await;
    let active = |state: &Value| {
        let active = state["running"]["progress"]["active"].as_array();
        active.map_or(0, Vec::len)
    };
    rig.until("base", |state| active(state) == 64).await;
    let (hours, _) = now_and_then();
    let quiet = format!("{EVERY}\nquiet = [\"{hours}\"]");
    rig.reload(&set("base", &tags, &quiet)).await;
    rig.until("base", |state| state["running"]["held"] == true)
        .await;
    gate.open();
    // What was begun is finished, and then nothing is under way.
    let state = rig.until("base", |state| active(state) == 0).await;
    assert_eq!(
        state["running"]["progress"]["images"]["copied"], 64,
        "{state:#}"
    );
    assert_eq!(rig.manifests(), 64);
    rig.reload(&set("base", &tags, EVERY)).await;
    let state = rig.until("base", |state| state["runs"]["done"] == 1).await;
    assert_eq!(
        state["last"]["report"]["images"]["copied"], 100,
        "{state:#}"
    );
    assert_eq!(state["last"]["cause"], "schedule", "{state:#}");
}
