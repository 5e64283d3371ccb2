//! SIGHUP.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use http::Method;

use crate::rig::Rig;
use crate::rig::set;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_goes_on_as_it_began_and_what_is_new_holds_for_the_next() {
    let mut rig = Rig::new(&["a", "b", "c"], &set("base", &["a"], "")).await;
    let gate = Gate::new();
    let fault = rig
        .upstream
        .fault(When::path("/manifests/"), Fault::stall_header(&gate));
    let (_, begun) = rig.trigger("base").await;
    rig.reload(&(set("base", &["a", "b"], "") + &set("more", &["c"], "")))
        .await;
    let state = rig.state("base").await;
    assert_eq!(state["running"]["begun"], begun.as_str(), "{state:#}");
    gate.open();
    let report = rig.report("base", &begun).await;
    assert_eq!(report["images"]["copied"], 1, "{report:#}");
    fault.lift();
    for (name, unchanged, copied) in [("base", 1, 1), ("more", 0, 1)] {
        let (status, begun) = rig.trigger(name).await;
        assert_eq!(status, 202);
        let report = rig.report(name, &begun).await;
        assert_eq!(report["images"]["unchanged"], unchanged, "{report:#}");
        assert_eq!(report["images"]["copied"], copied, "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_gone_is_seen_until_its_run_has_ended() {
    let sets = set("base", &["a"], "every = \"1h\"\njitter = \"0s\"") + &set("more", &["b"], "");
    let mut rig = Rig::new(&["a", "b"], &set("more", &["b"], "")).await;
    let gate = Gate::new();
    let fault = rig
        .upstream
        .fault(When::path("/manifests/a"), Fault::stall_header(&gate));
    rig.reload(&sets).await;
    // It is run as it has never been, and waits for the registry.
    rig.until("base", |state| {
        state["running"]["progress"]["active"][0]["image"].is_string()
    })
    .await;
    rig.reload(&set("more", &["b"], "")).await;
    let state = rig.state("base").await;
    assert!(
        !state["running"].is_null() && state["next_run"].is_null(),
        "{state:#}"
    );
    let refused = rig.ask(Method::POST, "/api/v1/prefetch/base").await;
    assert_eq!(refused.status, 404);
    gate.open();
    rig.tidegate.wait_for_log("a prefetch is done").await;
    loop {
        let reply = rig.ask(Method::GET, "/api/v1/prefetch/base").await;
        if reply.status == 404 {
            break;
        }
        tokio::task::yield_now().await;
    }
    fault.lift();
    // Back again, it is known when it ran.
    rig.reload(&sets).await;
    let state = rig.state("base").await;
    assert_eq!(state["last"]["report"]["images"]["copied"], 1, "{state:#}");
    assert!(
        state["running"].is_null() && state["next_run"].is_string(),
        "{state:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_changes_nothing() {
    let mut rig = Rig::new(&["a"], &set("base", &["a"], "")).await;
    let config = Rig::config(&rig.upstream, &set("other", &["a"], "schedule = \"often\""));
    rig.tidegate.reload(&config);
    rig.tidegate
        .wait_for_log("keeping the old configuration")
        .await;
    let (status, begun) = rig.trigger("base").await;
    assert_eq!(status, 202);
    assert_eq!(rig.report("base", &begun).await["outcome"], "done");
}
