//! The admin listener.

use std::net::SocketAddr;

use tidegate::admin;
use tidegate::admin::Admin;
use tidegate::admin::Readiness;

use crate::client::ask;
use crate::client::get;
use crate::house::House;

async fn listen(house: &House) -> (SocketAddr, Readiness) {
    let readiness = Readiness::new(house.store.clone(), house.flow.clone());
    let config = admin::Config {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
    };
    let admin = Admin::bind(config, readiness.clone()).await.unwrap();
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
    assert_eq!(json["upstreams"][1]["name"], "quay.io");
}

#[tokio::test]
async fn it_shows_what_there_is_and_takes_no_writes() {
    let house = House::build().await;
    let (address, _) = listen(&house).await;
    assert!(get(address, "/").await.text().contains("/readyz"));
    assert_eq!(get(address, "/elsewhere").await.status, 404);
    for path in ["/healthz", "/readyz", "/api/v1/status"] {
        let refused = ask(address, "POST", path, &[]).await;
        assert_eq!(refused.status, 405);
        assert_eq!(refused.header("allow"), "GET, HEAD");
    }
    let readiness = Readiness::new(house.store.clone(), house.flow.clone());
    let config = admin::Config {
        listen: Some(address),
    };
    let error = Admin::bind(config, readiness).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
