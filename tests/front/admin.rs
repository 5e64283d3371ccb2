//! The admin listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::admin;
use tidegate::admin::Admin;
use tidegate::admin::Readiness;
use tidegate::login;

use crate::client::ask;
use crate::client::get;
use crate::house::House;
use crate::house::Plan;
use crate::people::ALICE;
use crate::people::ALICE_WRONG;
use crate::people::People;

async fn listen(house: &House) -> (SocketAddr, Readiness) {
    listen_with(house, None).await
}

async fn listen_with(house: &House, login: Option<login::Config>) -> (SocketAddr, Readiness) {
    let readiness = Readiness::new(
        house.store.clone(),
        house.flow.clone(),
        house.premises.ledger(),
    );
    let config = admin::Config {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        login,
    };
    let admin = Admin::bind(config, readiness.clone(), Arc::default())
        .await
        .unwrap();
    let address = admin.local_addr().unwrap();
    tokio::spawn(admin.run(std::future::pending()));
    (address, readiness)
}

#[tokio::test]
async fn it_is_ready_until_it_drains() {
    let house = House::build().await;
    let (address, readiness) = listen(&house).await;
    assert_eq!(get(address, "/healthz").await.status, 200);
    let ready = get(address, "/readyz").await;
    assert_eq!(ready.status, 200);
    let json: serde_json::Value = serde_json::from_slice(&ready.body).unwrap();
    assert_eq!(json["ready"], true);
    assert_eq!(json["upstreams"][0]["name"], "docker.io");
    assert_eq!(json["upstreams"][0]["state"], "up");
    readiness.drain();
    let draining = get(address, "/readyz").await;
    assert_eq!(draining.status, 503);
    let json: serde_json::Value = serde_json::from_slice(&draining.body).unwrap();
    assert_eq!(json["problems"][0], "shutting down");
    assert_eq!(get(address, "/healthz").await.status, 200);
}

#[tokio::test]
async fn the_status_says_what_is_stored() {
    let house = House::build().await;
    house.put_blob("docker.io/a", b"0123456789").await;
    let (address, _) = listen(&house).await;
    let status = get(address, "/api/v1/status").await;
    assert_eq!(status.header("content-type"), "application/json");
    let json: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["store"]["bytes"], 10);
    assert_eq!(json["books"]["committed"], 0, "no upstream gave it");
    assert_eq!(json["books"]["imbalance"], 0);
    assert_eq!(json["upstreams"][1]["name"], "quay.io");
}

#[tokio::test]
async fn it_shows_what_there_is_and_takes_no_writes() {
    let house = House::build().await;
    let (address, _) = listen(&house).await;
    assert!(get(address, "/").await.text().contains("/readyz"));
    assert_eq!(get(address, "/elsewhere").await.status, 404);
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/v1/status",
        "/api/v1/targets",
    ] {
        let refused = ask(address, "POST", path, &[]).await;
        assert_eq!(refused.status, 405);
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    let readiness = Readiness::new(
        house.store.clone(),
        house.flow.clone(),
        house.premises.ledger(),
    );
    let config = admin::Config {
        listen: Some(address),
        login: None,
    };
    let error = Admin::bind(config, readiness, Arc::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

/// How it is with targets, `tests/cli/target.rs` shows.
#[tokio::test]
async fn without_targets_there_is_nothing_to_show_or_forget() {
    let house = House::build().await;
    let (address, _) = listen(&house).await;
    let list = get(address, "/api/v1/targets").await;
    assert_eq!(list.text(), r#"{"targets":[]}"#);
    let forget = "/api/v1/targets/a/forget";
    let refused = get(address, forget).await;
    assert_eq!((refused.status, refused.header("allow")), (405, "POST"));
    assert_eq!(ask(address, "POST", forget, &[]).await.status, 404);
    let misspelt = ask(address, "POST", &format!("{forget}?repositry=x"), &[]).await;
    assert_eq!(misspelt.status, 400);
    let page = [("Origin", "https://evil.example")];
    assert_eq!(ask(address, "POST", forget, &page).await.status, 403);
}

#[tokio::test]
async fn it_shows_what_is_left_of_a_quota_and_what_is_paused() {
    let upstream = Upstream::start().await;
    let told = Fault::status(429)
        .header("retry-after", "3600")
        .header("ratelimit-limit", "100;w=21600")
        .header("ratelimit-remaining", "0;w=21600");
    upstream.fault(When::any(), told);
    let house = Plan::with_upstream(&upstream.url()).build().await;
    let (address, _) = listen(&house).await;
    let json = async |path| -> serde_json::Value {
        serde_json::from_slice(&get(address, path).await.body).unwrap()
    };
    let before = json("/api/v1/status").await;
    assert_eq!(before["upstreams"][0]["limits"], serde_json::json!([]));

    assert_eq!(get(house.address, "/v2/a/manifests/x").await.status, 429);
    for path in ["/api/v1/status", "/readyz"] {
        let limits = &json(path).await["upstreams"][0]["limits"];
        let limit = &limits[0];
        assert_eq!(limits.as_array().unwrap().len(), 1, "{limits}");
        assert_eq!(limit["host"], upstream.host(), "{limit}");
        assert_eq!(limit["window"], "reads", "{limit}");
        assert_eq!(limit["limit"], 100, "{limit}");
        assert_eq!(limit["remaining"], 0, "{limit}");
        assert_eq!(limit["window_seconds"], 21_600, "{limit}");
        let paused = limit["paused_seconds"].as_u64().unwrap();
        assert!((1800..=3600).contains(&paused), "{limit}");
        assert!(limit["seen_seconds_ago"].is_u64(), "{limit}");
        assert!(limit.get("reset_seconds").is_none(), "{limit}");
    }
    assert_eq!(get(address, "/readyz").await.status, 200);
}

#[tokio::test]
async fn with_a_login_only_health_is_for_everybody() {
    let (house, people) = (House::build().await, People::new());
    let (address, _) = listen_with(&house, Some(people.config())).await;
    assert_eq!(get(address, "/healthz").await.status, 200);
    let forget = ask(address, "POST", "/api/v1/targets/a/forget", &[]).await;
    assert_eq!(forget.status, 401);
    for path in ["/", "/readyz", "/metrics", "/api/v1/targets", "/elsewhere"] {
        for headers in [&[][..], &[("Authorization", ALICE_WRONG)]] {
            let refused = ask(address, "GET", path, headers).await;
            assert_eq!(refused.status, 401, "{path}");
            let challenge = refused.header("www-authenticate");
            assert_eq!(challenge, "Basic realm=\"tidegate admin\"");
            assert!(!refused.text().contains("docker.io"), "{refused:?}");
        }
        let known = ask(address, "GET", path, &[("Authorization", ALICE)]).await;
        assert_eq!(known.status, if path == "/elsewhere" { 404 } else { 200 });
    }
    let throttled = async {
        let wrong = [("Authorization", ALICE_WRONG)];
        while ask(address, "GET", "/", &wrong).await.status != 429 {}
    };
    let throttled = tokio::time::timeout(Duration::from_secs(60), throttled).await;
    throttled.expect("wrong logins are never throttled");
    assert_eq!(get(address, "/healthz").await.status, 200);
}
