//! What is tried again, how often, and what is not.

use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use http::Method;
use tidegate::ledger::FlowId;
use tidegate::registry::Error;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::setup::basic;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::open;
use crate::setup::pair;
use crate::setup::put;

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (upstream, registry) = pair().await;
        upstream.fault(When::any().times(2), Fault::status(status));
        get(&registry).await.unwrap();
        assert_eq!(upstream.log().len(), 3, "{status}");
    }
    for status in [400, 403, 404, 405, 501] {
        let (upstream, registry) = pair().await;
        upstream.fault(When::any(), Fault::status(status));
        get(&registry).await.unwrap_err();
        assert_eq!(upstream.log().len(), 1, "{status}");
    }
}

/// Closes the first connections once a request has come, and answers the next.
async fn breaking(connections: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for nth in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            if nth >= connections {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let address = breaking(2).await;
    let registry = open(config(&format!("http://{address}")));
    registry.ping(FlowId::next()).await.unwrap();

    let address = breaking(3).await;
    let registry = open(config(&format!("http://{address}")));
    let error = registry.ping(FlowId::next()).await.unwrap_err();
    let Error::Unreachable(text) = error else {
        panic!("{error:?}");
    };
    assert!(
        text.contains(&format!("broke the connection to {address}")),
        "{text}"
    );
}

#[tokio::test]
async fn a_manifest_that_breaks_off_is_tried_again() {
    let (upstream, registry) = pair().await;
    upstream.fault(When::get("/manifests/").times(1), Fault::cut_after(5));
    get(&registry).await.unwrap();
    assert_eq!(upstream.log().len(), 2, "{}", lines(&upstream.log()));
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let (upstream, registry) = pair().await;
    upstream.fault(
        When::any().times(1),
        Fault::status(429).header("retry-after", "1"),
    );
    let start = Instant::now();
    head(&registry).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(upstream.log().len(), 2);
    assert!(
        upstream
            .log()
            .iter()
            .all(|request| request.method == Method::HEAD)
    );
}

#[tokio::test]
async fn a_long_retry_after_is_reported_at_once() {
    let (upstream, registry) = pair().await;
    upstream.fault(
        When::any(),
        Fault::status(429).header("retry-after", "3600"),
    );
    let told = Error::Throttled {
        retry_after: Some(Duration::from_secs(3600)),
    };
    assert_eq!(head(&registry).await, Err(told));
    assert_eq!(upstream.log().len(), 1);
}

#[tokio::test]
async fn retries_do_not_multiply_an_outage() {
    let (upstream, _) = pair().await;
    let down = upstream.fault(When::any(), Fault::status(503));
    let mut eager = config(&upstream.url());
    eager.retries.attempts = 10;
    eager.retries.cap = Duration::from_millis(1);
    let registry = open(eager);
    let start = Instant::now();
    for _ in 0..100 {
        let error = head(&registry).await.unwrap_err();
        assert!(
            matches!(error, Error::Status { status: 503, .. }),
            "{error:?}"
        );
    }
    // A reserve of ten, a fifth of the requests, and one more every two seconds.
    let most = 131 + start.elapsed().as_secs() as usize;
    assert!(
        (110..=most).contains(&down.hits()),
        "{} attempts",
        down.hits()
    );
    down.lift();
    head(&registry).await.unwrap();
}

#[tokio::test]
async fn a_silent_server_is_waited_for_twice() {
    let (upstream, _) = pair().await;
    upstream.fault(When::any(), Fault::stall_header(&Gate::new()));
    let mut hasty = config(&upstream.url());
    hasty.timeouts.header = Duration::from_millis(100);
    hasty.retries.attempts = 5;
    let error = head(&open(hasty)).await.unwrap_err();
    let Error::TimedOut(text) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        text,
        format!("no answer from {} within 100ms", upstream.host())
    );
    assert_eq!(upstream.log().len(), 2, "{}", lines(&upstream.log()));
}

#[tokio::test]
async fn a_fallback_helps_when_the_main_one_is_down() {
    let (main, _) = pair().await;
    let (spare, _) = pair().await;
    let mut two = config(&main.url());
    two.fallback = vec![spare.url().parse().unwrap()];
    two.credentials = basic("me", "hunter2");
    let registry = open(two);
    head(&registry).await.unwrap();
    assert!(spare.log().is_empty());

    main.fault(When::any(), Fault::status(503));
    get(&registry).await.unwrap();
    assert_eq!(main.log().len(), 4);
    main.stop().await;
    get(&registry).await.unwrap();
    assert_eq!(spare.log().len(), 2);
}

#[tokio::test]
async fn a_fallbacks_failure_is_not_the_answer() {
    let (main, _) = pair().await;
    let spare = Upstream::builder().basic("me", "hunter2").start().await;
    let mut two = config(&main.url());
    two.fallback = vec![spare.url().parse().unwrap()];
    two.credentials = basic("me", "hunter2");
    let registry = open(two);

    main.fault(When::get("/manifests/").times(1), Fault::status(404));
    let error = get(&registry).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(spare.log().is_empty(), "the main one has answered");

    put(&spare);
    main.stop().await;
    let error = get(&registry).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(!spare.log().is_empty());
    assert!(
        spare
            .log()
            .iter()
            .all(|request| request.header("authorization").is_none()),
        "the password is for the main one alone"
    );
}
