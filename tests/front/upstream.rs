//! Answers that an upstream has a part in: what is new, what fails, and how.

use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use http_body_util::BodyExt as _;
use tidegate::oci::media;
use tokio::net::TcpStream;

use crate::client::Got;
use crate::client::ask;
use crate::client::begin;
use crate::client::get;
use crate::client::over_h2;
use crate::client::request;
use crate::house::House;
use crate::house::NOWHERE;
use crate::house::Plan;
use crate::house::upstream;

const SIZE: u64 = 4 << 20;

async fn before(upstream: &Upstream) -> House {
    Plan::with_upstream(&upstream.url()).build().await
}

#[tokio::test]
async fn new_is_a_miss_and_known_a_hit() {
    let upstream = Upstream::start().await;
    upstream.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let blob = upstream.put_generated_blob("a/b", SIZE, 1);
    let house = before(&upstream).await;
    for path in ["/v2/a/b/manifests/x", &format!("/v2/a/b/blobs/{blob}")] {
        let first = get(house.address, path).await;
        assert_eq!((first.status, first.header("x-cache")), (200, "MISS"));
        assert_eq!(first.header("age"), "");
        house.flow.settled().await;
        let second = get(house.address, path).await;
        assert_eq!((second.status, second.header("x-cache")), (200, "HIT"));
        assert_ne!(second.header("age"), "");
        assert_eq!(first.body, second.body);
        for name in [
            "content-length",
            "content-type",
            "docker-content-digest",
            "etag",
        ] {
            assert_eq!(first.header(name), second.header(name));
        }
    }
}

#[tokio::test]
async fn who_comes_while_it_is_fetched_joins() {
    let upstream = Upstream::start().await;
    let blob = upstream.put_generated_blob("a/b", SIZE, 1);
    let gate = Gate::new();
    upstream.fault(When::get(&blob), Fault::stall_after(SIZE / 2, &gate));
    let house = before(&upstream).await;
    let path = format!("/v2/a/b/blobs/{blob}");
    let first = begin(house.address, "GET", &path, &[]).await;
    let second = begin(house.address, "GET", &path, &[]).await;
    assert_eq!(first.headers()["x-cache"], "MISS");
    assert_eq!(second.headers()["x-cache"], "JOIN");
    gate.open();
    let (first, second) = tokio::join!(Got::read(first), Got::read(second));
    assert_eq!(first.unwrap().body, second.unwrap().body);
    assert_eq!(upstream.gets_of(&blob).len(), 1);
}

#[tokio::test]
async fn what_can_not_be_confirmed_is_stale() {
    let upstream = Upstream::start().await;
    upstream.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let mut plan = Plan::with_upstream(&upstream.url());
    plan.upstreams[0].tag_ttl = Duration::ZERO;
    let house = plan.build().await;
    let fresh = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!(fresh.header("warning"), "");
    upstream.fault(When::any(), Fault::status(500));
    let stale = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!((stale.status, stale.text()), (200, "{}"));
    assert_eq!(stale.header("x-cache"), "STALE");
    assert_eq!(stale.header("warning"), "110 - \"Response is Stale\"");
    assert_ne!(stale.header("age"), "");
}

#[tokio::test]
async fn a_head_or_a_304_costs_no_body() {
    let upstream = Upstream::start().await;
    let manifest = upstream.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let blob = upstream.put_generated_blob("a/b", SIZE, 1);
    let house = before(&upstream).await;
    let path = format!("/v2/a/b/blobs/{blob}");
    let head = ask(house.address, "HEAD", &path, &[]).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "4194304")
    );
    assert_eq!(head.header("docker-content-digest"), blob);
    let held = [("If-None-Match", &*format!("\"{blob}\""))];
    let got = ask(house.address, "GET", &path, &held).await;
    assert_eq!(got.status, 304);
    let held = [("If-None-Match", &*format!("\"{manifest}\""))];
    for reference in ["x", &manifest] {
        let path = format!("/v2/a/b/manifests/{reference}");
        let got = ask(house.address, "GET", &path, &held).await;
        assert_eq!(got.status, 304);
    }
    assert_eq!(upstream.count(|asked| asked.method == http::Method::GET), 0);
}

#[tokio::test]
async fn what_the_upstream_refuses_is_refused() {
    let upstream = Upstream::start().await;
    upstream.put_manifest("a/b", "x", media::OCI_MANIFEST, "{}");
    let house = before(&upstream).await;
    let digest = tidegate::oci::Digest::of(b"nothing");
    for (path, code) in [
        ("/v2/a/b/manifests/y".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/b/manifests/{digest}"), "MANIFEST_UNKNOWN"),
        (format!("/v2/a/b/blobs/{digest}"), "BLOB_UNKNOWN"),
        ("/v2/a/nobody/tags/list".to_owned(), "NAME_UNKNOWN"),
    ] {
        let got = get(house.address, &path).await;
        assert_eq!((got.status, &*got.code()), (404, code), "{path}");
        assert!(got.message().contains("docker.io/a/"), "{got:?}");
    }
    for (status, answer, code) in [
        (401, 401, "UNAUTHORIZED"),
        (403, 403, "DENIED"),
        (429, 429, "TOOMANYREQUESTS"),
        (500, 502, "UNAVAILABLE"),
        (418, 502, "UNAVAILABLE"),
    ] {
        let house = before(&upstream).await;
        let fault = Fault::status(status).header("Retry-After", "7");
        let fault = upstream.fault(When::any(), fault);
        for path in ["/v2/a/b/manifests/x", &format!("/v2/a/b/blobs/{digest}")] {
            let got = get(house.address, path).await;
            assert_eq!((got.status, &*got.code()), (answer, code), "{got:?}");
            assert!(got.message().contains("docker.io/a/b"), "{got:?}");
            let retry = if answer == 429 { "7" } else { "" };
            assert_eq!(got.header("retry-after"), retry);
        }
        fault.lift();
    }
}

#[tokio::test]
async fn who_can_not_be_reached_is_told_from_who_is_silent() {
    let house = Plan::with_upstream(NOWHERE).build().await;
    let got = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!((got.status, &*got.code()), (502, "UNAVAILABLE"));
    assert!(got.message().contains("docker.io/a/b"), "{got:?}");

    let silent = Upstream::start().await;
    let gate = Gate::new();
    silent.fault(When::any(), Fault::stall_header(&gate));
    let house = before(&silent).await;
    let got = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!((got.status, &*got.code()), (504, "UNAVAILABLE"));
    gate.open();
}

#[tokio::test]
async fn what_fails_after_its_header_is_reset_and_nothing_is_appended() {
    let upstream = Upstream::start().await;
    let blob = upstream.put_generated_blob("a/b", SIZE, 1);
    upstream.fault(When::get(&blob), Fault::flip_bit_at(SIZE - 1));
    let house = before(&upstream).await;
    let path = format!("/v2/a/b/blobs/{blob}");
    let over_h1 = begin(house.address, "GET", &path, &[]).await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let over_h2 = over_h2(stream, request("GET", &path, &[])).await;
    for response in [over_h1, over_h2] {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-length"], SIZE.to_string());
        let mut body = response.into_body();
        let mut came = 0;
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => came += frame.into_data().unwrap().len() as u64,
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(error.is_some(), "a wrong body looked complete");
        assert!(came < SIZE, "all of it came");
    }
    house.flow.settled().await;
    let head = ask(house.address, "HEAD", &path, &[]).await;
    assert_ne!(head.header("x-cache"), "HIT");
}

#[tokio::test]
async fn a_length_that_was_promised_is_kept_or_the_answer_breaks_off() {
    let upstream = Upstream::start().await;
    let blob = upstream.put_generated_blob("a/b", SIZE, 1);
    upstream.fault(When::get(&blob).nth(1), Fault::cut_after(SIZE / 2));
    upstream.fault(When::get(&blob).after(1), Fault::status(404));
    let house = before(&upstream).await;
    let path = format!("/v2/a/b/blobs/{blob}");
    let response = begin(house.address, "GET", &path, &[]).await;
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn two_upstreams_stay_apart() {
    let (docker, quay) = (Upstream::start().await, Upstream::start().await);
    docker.put_manifest("a/b", "x", media::OCI_MANIFEST, "docker");
    quay.put_manifest("a/b", "x", media::OCI_MANIFEST, "quay");
    let mut plan = Plan::with_upstream(&docker.url());
    plan.upstreams.push(upstream("quay.io", &quay.url()));
    let house = plan.build().await;
    let got = get(house.address, "/v2/a/b/manifests/x?ns=quay.io").await;
    assert_eq!(
        (got.header("oci-namespace"), got.text()),
        ("quay.io", "quay")
    );
    let got = get(house.address, "/v2/a/b/manifests/x").await;
    assert_eq!(
        (got.header("oci-namespace"), got.text()),
        ("docker.io", "docker")
    );
    let refused = get(house.address, "/v2/a/b/manifests/x?ns=ghcr.io").await;
    assert_eq!(refused.status, 404);
    for upstream in [docker, quay] {
        assert!(upstream.count(|_| true) > 0);
        assert_eq!(upstream.count(|asked| asked.path.contains("ns=")), 0);
    }
}
