//! Runs that begin by themselves.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use crate::rig::Rig;
use crate::rig::set;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_run_at_the_start_and_again_when_it_is_due() {
    let rig = Rig::new(
        &["a"],
        &set("base", &["a"], "every = \"1s\"\njitter = \"0s\""),
    )
    .await;
    let state = rig
        .until("base", |state| state["runs"]["done"].as_u64() >= Some(3))
        .await;
    assert_eq!(state["schedule"], "every 1s");
    assert_eq!(state["last"]["cause"], "schedule");
    assert_eq!(
        state["last"]["report"]["images"]["unchanged"], 1,
        "{state:#}"
    );
    // What is known costs a HEAD.
    assert_eq!(rig.manifests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_due_beside_one_is_left_out_and_counted() {
    let rig = Rig::new(&["a"], "").await;
    let (upstream, gate) = (rig.upstream, Gate::new());
    upstream.fault(When::path("/manifests/"), Fault::stall_header(&gate));
    let sets = set("base", &["a"], "every = \"1s\"\njitter = \"0s\"");
    let rig = Rig::over(upstream, &sets).await;
    let state = rig
        .until("base", |state| state["runs"]["missed"].as_u64() >= Some(2))
        .await;
    assert_eq!(state["runs"]["done"], 0, "{state:#}");
    assert_eq!(rig.manifests(), 1);
    gate.open();
    rig.until("base", |state| state["runs"]["done"].as_u64() >= Some(1))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_ran_before_the_start_waits_until_it_is_due() {
    let sets = set("base", &["a"], "schedule = \"0 0 1 1 *\"\njitter = \"0s\"");
    let mut rig = Rig::new(&["a"], &sets).await;
    let ran = rig.until("base", |state| state["runs"]["done"] == 1).await;
    assert!(
        ran["next_run"]
            .as_str()
            .unwrap()
            .ends_with("-01-01T00:00:00Z"),
        "{ran:#}"
    );
    rig.tidegate.restart().await;
    let state = rig
        .until("base", |state| state["next_run"].is_string())
        .await;
    assert_eq!(state["next_run"], ran["next_run"]);
    assert_eq!(state["last"], ran["last"]);
    assert!(state["running"].is_null(), "{state:#}");
}
