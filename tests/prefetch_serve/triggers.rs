//! `POST /api/v1/prefetch/<set>`.

use std::fs;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use serde_json::Value;

use crate::rig::REPOSITORY;
use crate::rig::Rig;
use crate::rig::set;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_run_on_request_and_its_report_survives_a_restart() {
    let mut rig = Rig::new(&["a", "b"], &set("base", &["a", "b", "gone"], "")).await;
    let before = rig.state("base").await;
    assert!(
        before["last"].is_null() && before["running"].is_null(),
        "{before:#}"
    );
    assert!(
        before["schedule"].is_null() && before["next_run"].is_null(),
        "{before:#}"
    );

    let (status, begun) = rig.trigger("base").await;
    assert_eq!(status, 202);
    let report = rig.report("base", &begun).await;
    assert_eq!(report["outcome"], "partly", "{report:#}");
    assert_eq!(
        (&report["images"]["copied"], &report["images"]["failed"]),
        (&2.into(), &1.into())
    );

    // It is warm: a pull asks the upstream for nothing.
    let asked = rig.upstream.log().len();
    let url = format!("{}/v2/up.test/{REPOSITORY}/manifests/a", rig.tidegate.url());
    let accept = "application/vnd.oci.image.manifest.v1+json, \
                  application/vnd.oci.image.index.v1+json, \
                  application/vnd.docker.distribution.manifest.v2+json, \
                  application/vnd.docker.distribution.manifest.list.v2+json";
    let pull = Client::new().get(url).header("accept", accept);
    let pulled = pull.send().await.unwrap();
    let new: Vec<_> = rig.upstream.log()[asked..]
        .iter()
        .map(|it| it.line())
        .collect();
    assert_eq!(new, [""; 0]);
    assert_eq!(pulled.header("x-cache"), Some("HIT"));

    let folder = rig
        .tidegate
        .folder()
        .join("tidegate-data/tidegate/prefetch");
    let text = fs::read(folder.join("base.json")).unwrap();
    let kept: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(kept["report"], report);
    assert_eq!(kept["cause"], "request");

    rig.tidegate.restart().await;
    let state = rig.state("base").await;
    assert_eq!(state["last"]["report"], report);
    assert!(state["running"].is_null(), "it has no schedule: {state:#}");
    let (_, begun) = rig.trigger("base").await;
    let again = rig.report("base", &begun).await;
    assert_eq!(again["images"]["unchanged"], 2, "{again:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_never_two_runs_of_a_set() {
    let rig = Rig::new(&["a"], &set("base", &["a"], "")).await;
    let gate = Gate::new();
    let fault = rig
        .upstream
        .fault(When::path("/manifests/"), Fault::stall_header(&gate));
    let (one, other) = tokio::join!(rig.trigger("base"), rig.trigger("base"));
    let mut statuses = [one.0, other.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409]);
    assert_eq!(one.1, other.1, "both are told of the same run");
    rig.until("base", |state| state["running"]["begun"] == one.1.as_str())
        .await;
    gate.open();
    let report = rig.report("base", &one.1).await;
    assert_eq!(report["outcome"], "done", "{report:#}");
    assert_eq!(rig.manifests(), 1);

    fault.lift();
    let (status, begun) = rig.trigger("base").await;
    assert_eq!(status, 202);
    assert_ne!(begun, one.1);
    rig.report("base", &begun).await;
    let state = rig.state("base").await;
    assert_eq!(state["runs"]["done"], 2, "{state:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_does_is_on_metrics() {
    let rig = Rig::new(&["a", "b"], &set("base", &["a", "b", "gone"], "")).await;
    let (_, begun) = rig.trigger("base").await;
    rig.report("base", &begun).await;
    let url = format!("{}/metrics", rig.tidegate.admin());
    let page = Client::new()
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "tidegate_prefetch_running{set=\"base\"} 0",
        "tidegate_prefetch_runs_total{outcome=\"partly\",set=\"base\"} 1",
        "tidegate_prefetch_tags_total{outcome=\"copied\",set=\"base\"} 2",
        "tidegate_prefetch_tags_total{outcome=\"failed\",set=\"base\"} 1",
        "tidegate_prefetch_last_success_timestamp_seconds{set=\"base\"} 0",
    ] {
        let mut lines = page.lines().map(sorted);
        assert!(lines.any(|it| it == sorted(line)), "{line}:\n{page}");
    }
    let fetched = "tidegate_prefetch_bytes_total{set=\"base\",direction=\"fetched\"} ";
    let fetched = page
        .lines()
        .find_map(|it| it.strip_prefix(fetched))
        .unwrap();
    assert!(fetched.parse::<f64>().unwrap() > 2000.0, "{fetched}");
}

/// A sample whose labels are in order.
fn sorted(line: &str) -> String {
    let Some((name, rest)) = line.split_once('{') else {
        return line.to_owned();
    };
    let (labels, value) = rest.split_once('}').unwrap_or((rest, ""));
    let mut labels: Vec<_> = labels.split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}{value}", labels.join(","))
}
