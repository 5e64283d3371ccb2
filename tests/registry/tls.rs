//! HTTP/1.1 and HTTP/2 over TLS with a private authority.

use std::collections::HashSet;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use fake_registry::Pki;
use fake_registry::Recorded;
use fake_registry::Upstream;
use http::Version;
use tidegate::ledger::Fate;
use tidegate::oci::Digest;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::open;
use crate::setup::read;

const MEBIBYTE: u64 = 1 << 20;

/// Fetches twenty blobs at once, twice; gives the protocol, and how many connections that took in
/// all, and the second time.
async fn fetch(alpn: &[&str]) -> (Version, [usize; 2]) {
    let pki = Pki::new();
    let upstream = Upstream::builder().tls_with(&pki, alpn).start().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 3 * MEBIBYTE + 1, 7);
    let mut trusting = config(&upstream.url());
    trusting.ca = Some(pki.ca_file());
    let registry = Arc::new(open(trusting));
    for _ in 0..2 {
        let mut fetches = JoinSet::new();
        for _ in 0..20 {
            let (registry, digest) = (registry.clone(), digest.clone());
            fetches.spawn(async move {
                let fetched = blob(&registry, &digest).await.unwrap();
                assert_eq!(fetched.total, Some(3 * MEBIBYTE + 1));
                let bytes = read(fetched).await.unwrap();
                assert_eq!(Digest::of(&bytes).as_str(), digest);
            });
        }
        fetches.join_all().await;
    }
    let log = upstream.log();
    assert_eq!(log.len(), 40);
    let version = log[0].version;
    assert!(log.iter().all(|request| request.version == version));
    let connections = |log: &[Recorded]| {
        let peers: HashSet<_> = log.iter().map(|request| request.peer).collect();
        peers.len()
    };
    (version, [connections(&log), connections(&log[20..])])
}

#[tokio::test]
async fn many_bodies_share_an_http2_connection() {
    let (version, connections) = fetch(&["h2", "http/1.1"]).await;
    assert_eq!(version, Version::HTTP_2);
    // The first is made before it is known how near the registry is, and has another window.
    assert!(connections[0] <= 2, "{connections:?}");
    assert_eq!(connections[1], 1);
}

#[tokio::test]
async fn http1_connections_are_used_again() {
    let (version, connections) = fetch(&["http/1.1"]).await;
    assert_eq!(version, Version::HTTP_11);
    assert!(connections[0] <= 20, "{connections:?}");
    assert_eq!(fetch(&[]).await.0, Version::HTTP_11, "without ALPN");
}

/// A registry that counts resets (CVE-2023-44487) must not take a client for a bad one that has all
/// it came for, and stops reading before it hears that this is all.
#[tokio::test]
async fn a_stream_whose_bytes_have_all_come_is_not_reset() {
    let pki = Pki::new();
    let certificate = Arc::new(pki.server(&[]).server_config(&["h2"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (read, all_is_read) = oneshot::channel();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let stream = TlsAcceptor::from(certificate).accept(stream).await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let answer = http::Response::builder().header("content-length", 5);
        let mut body = respond
            .send_response(answer.body(()).unwrap(), false)
            .unwrap();
        body.send_data("hello".into(), false).unwrap();
        let script = async {
            all_is_read.await.unwrap();
            // What it has sent before it answers has come by then.
            pings.ping(h2::Ping::opaque()).await.unwrap();
            let reset = std::future::poll_fn(|cx| Poll::Ready(body.poll_reset(cx)));
            assert!(matches!(reset.await, Poll::Pending));
            body.send_data(Bytes::new(), true).unwrap();
        };
        tokio::select! {
            () = script => {}
            _ = connection.accept() => panic!("nothing else is asked for"),
        }
        connection.graceful_shutdown();
        while let Some(Ok(more)) = connection.accept().await {
            drop(more);
        }
    };
    let ask = async {
        let mut trusting = config(&format!("https://{address}"));
        trusting.ca = Some(pki.ca_file());
        let registry = open(trusting);
        let mut fetched = blob(&registry, Digest::of(b"hello").as_str())
            .await
            .unwrap();
        let bytes = fetched.body.chunk().await.unwrap().unwrap();
        assert!(bytes == "hello");
        fetched.body.account().enter(Fate::Passed, 5);
        drop(fetched);
        read.send(()).unwrap();
    };
    tokio::join!(serve, ask);
}
