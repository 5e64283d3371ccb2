//! Which upstream a request is for.

use crate::client::ask;
use crate::client::get;
use crate::house::House;

/// `upstream text`, for a path and a `Host`.
async fn served(house: &House, path: &str, host: &str) -> String {
    let got = ask(house.address, "GET", path, &[("Host", host)]).await;
    if got.status == 200 {
        format!("{} {}", got.header("oci-namespace"), got.text())
    } else {
        format!("{} {}", got.status, got.code())
    }
}

#[tokio::test]
async fn ns_then_path_then_host_then_default() {
    let house = House::build().await;
    house.put_manifest("docker.io/a/b", "x", "docker").await;
    house.put_manifest("quay.io/a/b", "x", "quay").await;
    house.put_manifest("quay.io/docker.io/b", "x", "odd").await;
    house
        .put_manifest("docker.io/library/c", "x", "library")
        .await;
    let us = "127.0.0.1:5000";
    for (path, host, expected) in [
        ("/v2/a/b/manifests/x", us, "docker.io docker"),
        ("/v2/c/manifests/x", us, "docker.io library"),
        ("/v2/a/b/manifests/x", "quay.io", "quay.io quay"),
        ("/v2/a/b/manifests/x", "QUAY.IO:443", "quay.io quay"),
        (
            "/v2/a/b/manifests/x",
            "registry-1.docker.io",
            "docker.io docker",
        ),
        (
            "/v2/a/b/manifests/x",
            "quay.example:443",
            "docker.io docker",
        ),
        ("/v2/quay.io/a/b/manifests/x", us, "quay.io quay"),
        ("/v2/quay.io/a/b/manifests/x", "docker.io", "quay.io quay"),
        ("/v2/docker.io/c/manifests/x", us, "docker.io library"),
        ("/v2/a/b/manifests/x?ns=quay.io", us, "quay.io quay"),
        (
            "/v2/a/b/manifests/x?ns=quay.io",
            "docker.io",
            "quay.io quay",
        ),
        ("/v2/quay.io/a/b/manifests/x?ns=quay.io", us, "quay.io quay"),
        ("/v2/docker.io/b/manifests/x?ns=quay.io", us, "quay.io odd"),
        ("/v2/quay.io%2Fa/b/manifests/x", us, "quay.io quay"),
        ("/v2/ghcr.io/a/b/manifests/x", us, "404 NAME_UNKNOWN"),
        ("/v2/localhost/b/manifests/x", us, "404 NAME_UNKNOWN"),
        ("/v2/a/b/manifests/x?ns=ghcr.io", us, "404 NAME_UNKNOWN"),
    ] {
        assert_eq!(
            served(&house, path, host).await,
            expected,
            "{path} at {host}"
        );
    }
}

#[tokio::test]
async fn the_default_can_be_changed_while_running() {
    let house = House::build().await;
    house.put_manifest("quay.io/a/b", "x", "quay").await;
    house.handle.reconfigure(Some("quay.io".parse().unwrap()));
    let got = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!((got.status, got.text()), (200, "quay"));
    house.handle.reconfigure(None);
    let got = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!((got.status, &*got.code()), (404, "NAME_UNKNOWN"));
    assert!(got.message().contains("none is the default"), "{got:?}");
}
