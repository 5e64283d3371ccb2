//! Redirects, to where a registry keeps its blobs.

use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Pki;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use http::Method;
use tidegate::ledger::FlowId;
use tidegate::registry::Error;

use crate::setup::REPOSITORY;
use crate::setup::basic;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::head;
use crate::setup::name;
use crate::setup::open;
use crate::setup::put;
use crate::setup::read;

#[tokio::test]
async fn credentials_stay_with_the_host_they_are_for() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    let cdn = Upstream::start().await;
    let digest = upstream.put_blob(REPOSITORY, "0123456789");
    cdn.put_blob(REPOSITORY, "0123456789");
    let to_cdn = upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    let registry = open(me);

    let (flow, parsed) = (FlowId::next(), digest.parse().unwrap());
    let part = registry
        .blob_get(flow, &name(), &parsed, Some(3..6))
        .await
        .unwrap();
    assert_eq!((part.offset, part.total), (3, Some(10)));
    assert_eq!(read(part).await.unwrap(), b"345");
    let asked = cdn.log().pop().unwrap();
    assert_eq!(asked.header("authorization"), None);
    assert_eq!(asked.header("range"), Some("bytes=3-5"));
    assert_eq!(asked.header("accept-encoding"), Some("identity"));

    to_cdn.lift();
    let other = upstream.put_blob("other", "there");
    let here = format!("/v2/other/blobs/{other}");
    upstream.fault(When::get(REPOSITORY), Fault::redirect_to(&here, 302));
    let moved = blob(&registry, &digest).await.unwrap();
    assert_eq!(
        read(moved).await.unwrap(),
        b"there",
        "signed in at the same host"
    );
}

#[tokio::test]
async fn a_head_stays_a_head() {
    let upstream = Upstream::start().await;
    let cdn = Upstream::start().await;
    put(&cdn);
    upstream.fault(When::any(), Fault::redirect_to_host(&cdn.url()));
    head(&open(config(&upstream.url()))).await.unwrap();
    assert_eq!(cdn.log()[0].method, Method::HEAD);
}

#[tokio::test]
async fn a_circle_ends() {
    let upstream = Upstream::start().await;
    upstream.fault(When::any(), Fault::redirect_to("/v2/again", 307));
    let error = head(&open(config(&upstream.url()))).await.unwrap_err();
    assert!(
        matches!(&error, Error::Wrong(text) if text.contains("5 times")),
        "{error:?}"
    );
    assert_eq!(upstream.log().len(), 6, "{}", lines(&upstream.log()));
}

#[tokio::test]
async fn no_redirect_makes_a_connection_less_safe() {
    let pki = Pki::new();
    let upstream = Upstream::builder().tls(&pki).start().await;
    let cdn = Upstream::start().await;
    cdn.put_file("/secret", Content::from(bytes::Bytes::from_static(b"x")));
    let signed = format!("{}/secret?signature=hunter2", cdn.url());
    upstream.fault(When::any(), Fault::redirect_to(&signed, 307));
    let mut safe = config(&upstream.url());
    safe.ca = Some(pki.ca_file());
    safe.plain_http = true;
    let error = head(&open(safe)).await.unwrap_err().to_string();
    assert!(error.contains("not followed from https"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    assert!(cdn.log().is_empty());
}

#[tokio::test]
async fn a_refusal_elsewhere_gets_no_credentials() {
    let upstream = Upstream::start().await;
    let cdn = Upstream::builder().basic("me", "hunter2").start().await;
    upstream.fault(When::any(), Fault::redirect_to_host(&cdn.url()));
    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    let error = head(&open(me)).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { message, .. } if message.contains(&cdn.host())));
    assert_eq!(cdn.log().len(), 1);
    assert_eq!(cdn.log()[0].header("authorization"), None);
}

#[tokio::test]
async fn credentials_stay_behind_when_the_scheme_changes() {
    let pki = Pki::new();
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    let cdn = Upstream::builder().tls(&pki).start().await;
    let digest = upstream.put_blob(REPOSITORY, "content");
    cdn.put_blob(REPOSITORY, "content");
    upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    me.ca = Some(pki.ca_file());
    let followed = blob(&open(me), &digest).await.unwrap();
    assert_eq!(read(followed).await.unwrap(), b"content");
    assert_eq!(cdn.log()[0].header("authorization"), None);
}

#[tokio::test]
async fn credentials_do_not_come_back_with_a_later_hop() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    let cdn = Upstream::start().await;
    put(&upstream);
    let back = format!("{}/v2/team/app/manifests/other", upstream.url());
    upstream.fault(When::path("/latest"), Fault::redirect_to_host(&cdn.url()));
    cdn.fault(When::any(), Fault::redirect_to(&back, 307));
    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    let registry = open(me);
    // The first request tells that the registry wants a password.
    registry.ping(FlowId::next()).await.unwrap();
    upstream.clear_log();
    let error = head(&registry).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );
    let log = upstream.log();
    assert_eq!(log.len(), 2, "{}", lines(&log));
    assert!(log[0].header("authorization").is_some());
    assert_eq!(log[1].header("authorization"), None);
    assert_eq!(cdn.log()[0].header("authorization"), None);
}
