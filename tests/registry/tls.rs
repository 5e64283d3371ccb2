//! HTTP/1.1 and HTTP/2 over TLS with a private authority.

use std::sync::Arc;

use fake_registry::Pki;
use fake_registry::Upstream;
use http::Version;
use tidegate::oci::Digest;
use tokio::task::JoinSet;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::open;
use crate::setup::read;

const MEBIBYTE: u64 = 1 << 20;

/// Fetches twenty blobs at once, twice; gives the protocol, and the connections that it took.
async fn fetch(alpn: &[&str]) -> (Version, usize) {
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
    let mut peers: Vec<_> = log.iter().map(|request| request.peer).collect();
    peers.sort();
    peers.dedup();
    (version, peers.len())
}

#[tokio::test]
async fn many_bodies_share_an_http2_connection() {
    let (version, connections) = fetch(&["h2", "http/1.1"]).await;
    assert_eq!((version, connections), (Version::HTTP_2, 1));
}

#[tokio::test]
async fn http1_connections_are_used_again() {
    let (version, connections) = fetch(&["http/1.1"]).await;
    assert_eq!(version, Version::HTTP_11);
    assert!(connections <= 20, "{connections}");
    assert_eq!(fetch(&[]).await.0, Version::HTTP_11, "without ALPN");
}
