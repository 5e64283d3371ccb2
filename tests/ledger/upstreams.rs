//! Connections to upstreams are counted as the kernel counts them.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use fake_registry::Client;
use fake_registry::Pki;
use fake_registry::Upstream;
use fake_registry::digest_of;
use fake_registry::need;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tidegate::ledger::Cdn;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Protocol;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::peer::Counted;
use crate::peer::Peer;
use crate::scene::NAME;
use crate::scene::Scene;
use crate::scene::Settings;

const SIZE: usize = 3 << 20;

/// Answers `blob` to everything.
async fn serve<S>(stream: S, blob: Bytes)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |_| {
        let response = Response::builder()
            .header("age", "7")
            .header("x-cache", "HIT");
        let response = response.body(Full::new(blob.clone()));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Pulls a blob through tidegate, from an upstream that has one socket.
async fn pulled(pki: Option<&Pki>, alpn: &str, protocol: Protocol) {
    if !need(&["ss"]) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let scheme = if pki.is_some() { "https" } else { "http" };
    let settings = Settings {
        upstream: pki,
        ..Settings::default()
    };
    let mut scene = Scene::start(&format!("{scheme}://{address}"), settings).await;
    let blob = Bytes::from(vec![7; SIZE]);
    let digest = digest_of(&blob);
    let acceptor =
        pki.map(|pki| TlsAcceptor::from(Arc::new(pki.server(&[]).server_config(&[alpn]))));

    let url = format!("{}/v2/{NAME}/blobs/{digest}", scene.tidegate.url());
    let pull = tokio::spawn(async move { Client::new().get(url).send().await?.bytes().await });
    let (stream, _) = listener.accept().await.unwrap();
    let (peer, stream) = Peer::accepted(stream);
    let serving = tokio::spawn(async move {
        match acceptor {
            Some(acceptor) => serve(acceptor.accept(stream).await.unwrap(), blob).await,
            None => serve(stream, blob).await,
        }
    });
    assert_eq!(pull.await.unwrap().unwrap().len(), SIZE);
    let counted = peer.freeze(scene.process()).await;
    assert!(counted.rx > SIZE as u64, "{counted:?}");
    serving.abort();
    let _ = serving.await;
    peer.reset().await;

    let books = scene.end().await;
    let connection = books.connection(Leg::Upstream);
    let (tx, rx) = (connection.tx, connection.rx);
    assert_eq!(Counted { tx, rx }, counted);
    assert_eq!(connection.tls, pki.is_some());
    assert_eq!(&*connection.registry, "docker.io");
    assert_eq!(*connection.host, address.to_string());
    let receipts = books.exchanges(Leg::Upstream);
    let got = receipts.iter().find(|it| it.response_bytes > 0).unwrap();
    assert_eq!((got.response_bytes, got.end), (SIZE as u64, End::Complete));
    assert_eq!((got.cdn, got.age), (Some(Cdn::Hit), Some(7)));
    assert_eq!((&got.host, got.protocol), (&connection.host, protocol));
    assert!(got.ttfb.unwrap() <= got.duration);
}

#[tokio::test]
async fn http1_in_clear_text() {
    pulled(None, "", Protocol::H1).await;
}

#[tokio::test]
async fn tls() {
    pulled(Some(&Pki::new()), "http/1.1", Protocol::H1).await;
}

#[tokio::test]
async fn http2() {
    pulled(Some(&Pki::new()), "h2", Protocol::H2).await;
}

#[tokio::test]
async fn what_came_and_nobody_read_counts() {
    if !need(&["ss"]) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let settings = Settings {
        defaults: "on_disconnect = \"abort\"",
        server: "drain_timeout = \"1s\"",
        ..Settings::default()
    };
    let mut scene = Scene::start(&format!("http://{address}"), settings).await;
    let url = format!(
        "{}/v2/{NAME}/blobs/{}",
        scene.tidegate.url(),
        digest_of(b"x")
    );
    let client = tokio::spawn(async move { Client::new().get(url).send().await?.bytes().await });
    let (stream, _) = listener.accept().await.unwrap();
    let (peer, mut stream) = Peer::accepted(stream);
    let mut request = vec![0; 4 << 10];
    let asked = stream.read(&mut request).await.unwrap();
    let header = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    stream.write_all(header.as_bytes()).await.unwrap();
    stream.write_all(&[7; 20_000]).await.unwrap();
    peer.freeze(scene.process()).await;
    // Nobody reads this.
    stream.write_all(&[7; 10_000]).await.unwrap();
    let counted = peer.freeze(scene.process()).await;
    let rx = (header.len() + 30_000) as u64;
    assert_eq!(
        counted,
        Counted {
            tx: asked as u64,
            rx
        }
    );
    drop((stream, listener));
    peer.reset().await;
    client.abort();
    let _ = client.await;
    let books = scene.end().await;
    let connection = books.connection(Leg::Upstream);
    assert_eq!((connection.tx, connection.rx), (counted.tx, counted.rx));
    let receipts = books.exchanges(Leg::Upstream);
    assert_ne!(receipts[0].end, End::Complete);
}

#[tokio::test]
async fn a_failed_handshake_leaves_a_record_and_a_refused_connection_none() {
    let stranger = Pki::new();
    let upstream = Upstream::builder().tls(&stranger).start().await;
    let settings = Settings {
        defaults: "negative_ttl = \"0s\"",
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let url = format!("{}/v2/{NAME}/manifests/x", scene.tidegate.url());
    let reply = Client::new().get(&url).send().await.unwrap();
    assert_eq!(reply.status, 502);
    drop(upstream);
    let refused = format!("{}/v2/{NAME}/manifests/y", scene.tidegate.url());
    assert_eq!(Client::new().get(refused).send().await.unwrap().status, 502);
    let books = scene.end().await;
    let connections = books.connections(Leg::Upstream);
    let receipts = books.exchanges(Leg::Upstream);
    let of = |reference: &str| {
        receipts
            .iter()
            .filter(|it| &*it.reference == reference)
            .count()
    };
    assert_eq!(connections.len(), of("x"), "{connections:?} {receipts:?}");
    assert!(of("x") > 0 && of("y") > 0, "{receipts:?}");
    for connection in connections {
        assert!(connection.tls && connection.tx > 0, "{connection:?}");
    }
    for receipt in receipts {
        assert_eq!(
            (receipt.status, receipt.end),
            (0, End::Failed),
            "{receipt:?}"
        );
    }
}
