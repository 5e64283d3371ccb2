//! Connections of clients are counted as the kernel counts them.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use fake_registry::Pki;
use fake_registry::Upstream;
use fake_registry::need;
use http::Request;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tidegate::ledger::Leg;
use tidegate::ledger::Origin;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::peer::Counted;
use crate::peer::Peer;
use crate::scene::NAME;
use crate::scene::Scene;
use crate::scene::Settings;

async fn dial(scene: &Scene) -> (Peer, TcpStream) {
    Peer::dialled(TcpStream::connect(scene.tidegate.host()).await.unwrap())
}

async fn shake_hands(pki: &Pki, stream: TcpStream, alpn: &str) -> TlsStream<TcpStream> {
    let mut config = pki.client_config();
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let name = "127.0.0.1".try_into().unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

/// Gets each path, whole, over HTTP/1.1, and gives what must be kept for the stream to stay open.
async fn get_h1<S>(stream: S, host: &str, paths: &[String]) -> impl Sized
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut connection = Box::pin(connection);
    for path in paths {
        let request = Request::get(path).header("host", host);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let got = async { sender.send_request(request).await.unwrap().collect().await };
        tokio::select! {
            got = got => assert!(got.is_ok(), "{path}"),
            ended = &mut connection => panic!("{path}: {ended:?}"),
        }
    }
    (sender, connection)
}

/// The same over HTTP/2.
async fn get_h2<S>(stream: S, host: &str, paths: &[String]) -> impl Sized
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    let mut connection = Box::pin(connection);
    for path in paths {
        let request = Request::get(format!("https://{host}{path}"));
        let mut sender = sender.clone().ready().await.unwrap();
        let (answer, _) = sender
            .send_request(request.body(()).unwrap(), true)
            .unwrap();
        let got = async {
            let mut body = answer.await.unwrap().into_body();
            while let Some(bytes) = body.data().await {
                let bytes = bytes.unwrap().len();
                body.flow_control().release_capacity(bytes).unwrap();
            }
        };
        tokio::select! {
            () = got => {}
            ended = &mut connection => panic!("{path}: {ended:?}"),
        }
    }
    (sender, connection)
}

/// A blob twice: fetched, then from the store; a small one; and what is not there.
fn paths(upstream: &Upstream) -> Vec<String> {
    let blob = upstream.put_generated_blob(NAME, 3 << 20, 1);
    let small = upstream.put_blob(NAME, "small");
    let blob = format!("/v2/{NAME}/blobs/{blob}");
    let small = format!("/v2/{NAME}/blobs/{small}");
    let none = format!("/v2/{NAME}/manifests/none");
    vec![blob.clone(), small, blob.clone(), none, blob]
}

/// Ends the scene, and holds its only client's record beside what the kernel counted.
async fn compare(mut scene: Scene, counted: Counted, tls: bool) {
    let books = scene.end().await;
    let connection = books.connection(Leg::Client);
    let (tx, rx) = (connection.tx, connection.rx);
    assert_eq!(Counted { tx, rx }, counted);
    assert_eq!(connection.tls, tls);
    assert_eq!(
        (&*connection.host, &*connection.registry),
        ("127.0.0.1", "")
    );
}

#[tokio::test]
async fn http1_in_clear_text_with_sendfile() {
    if !need(&["ss"]) {
        return;
    }
    let upstream = Upstream::start().await;
    let paths = paths(&upstream);
    let mut scene = Scene::start(&upstream.url(), Settings::default()).await;
    let (peer, stream) = dial(&scene).await;
    let host = scene.tidegate.host().to_owned();
    let open = get_h1(stream, &host, &paths).await;
    let counted = peer.freeze(scene.process()).await;
    assert!(counted.tx > 9 << 20, "{counted:?}");
    drop(open);
    peer.reset().await;
    compare(scene, counted, false).await;
}

#[tokio::test]
async fn tls() {
    if !need(&["ss"]) {
        return;
    }
    let (upstream, pki) = (Upstream::start().await, Pki::new());
    let paths = paths(&upstream);
    let front = Some(&pki);
    let settings = Settings {
        front,
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let (peer, stream) = dial(&scene).await;
    let host = scene.tidegate.host().to_owned();
    let stream = shake_hands(&pki, stream, "http/1.1").await;
    let open = get_h1(stream, &host, &paths).await;
    let counted = peer.freeze(scene.process()).await;
    drop(open);
    peer.reset().await;
    compare(scene, counted, true).await;
}

#[tokio::test]
async fn http2() {
    if !need(&["ss"]) {
        return;
    }
    let (upstream, pki) = (Upstream::start().await, Pki::new());
    let paths = paths(&upstream);
    let front = Some(&pki);
    let settings = Settings {
        front,
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let (peer, stream) = dial(&scene).await;
    let host = scene.tidegate.host().to_owned();
    let stream = shake_hands(&pki, stream, "h2").await;
    let open = get_h2(stream, &host, &paths).await;
    let counted = peer.freeze(scene.process()).await;
    drop(open);
    peer.reset().await;
    compare(scene, counted, true).await;
}

#[tokio::test]
async fn a_connection_that_the_front_closes_counts_its_farewell() {
    if !need(&["ss"]) {
        return;
    }
    let (upstream, pki) = (Upstream::start().await, Pki::new());
    let front = Some(&pki);
    let settings = Settings {
        front,
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let (peer, stream) = dial(&scene).await;
    let mut stream = shake_hands(&pki, stream, "http/1.1").await;
    let request = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // With a close_notify, so that this is no error.
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    let counted = peer.after_the_end().await;
    drop(stream);
    let books = scene.end().await;
    let connection = books.connection(Leg::Client);
    let (tx, rx) = (connection.tx, connection.rx);
    assert_eq!(Counted { tx, rx }, counted);
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_body() {
    if !need(&["ss"]) {
        return;
    }
    for pki in [None, Some(Pki::new())] {
        let upstream = Upstream::start().await;
        let blob = upstream.put_generated_blob(NAME, 64 << 20, 1);
        let front = pki.as_ref();
        let settings = Settings {
            front,
            ..Settings::default()
        };
        let mut scene = Scene::start(&upstream.url(), settings).await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        let address = scene.tidegate.host().parse().unwrap();
        let (peer, mut tcp) = Peer::dialled(socket.connect(address).await.unwrap());
        let request = format!("GET /v2/{NAME}/blobs/{blob} HTTP/1.1\r\nHost: x\r\n\r\n");
        let mut tls = None;
        let mut part = vec![0; 1 << 20];
        if let Some(pki) = &pki {
            let mut stream = shake_hands(pki, tcp, "http/1.1").await;
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_exact(&mut part).await.unwrap();
            tls = Some(stream);
        } else {
            tcp.write_all(request.as_bytes()).await.unwrap();
            tcp.read_exact(&mut part).await.unwrap();
            tls = tls.or(None);
            drop(tcp);
        }
        let counted = peer.freeze(scene.process()).await;
        assert!(counted.tx < 64 << 20, "{counted:?}");
        drop(tls);
        peer.reset().await;
        let books = scene.end().await;
        let connection = books.connection(Leg::Client);
        let (tx, rx) = (connection.tx, connection.rx);
        assert_eq!(Counted { tx, rx }, counted);
        let receipts = books.exchanges(Leg::Client);
        assert_eq!(receipts.len(), 1);
        assert_eq!(receipts[0].origin, Some(Origin::Filled));
        assert!(receipts[0].response_bytes >= 1 << 19, "{receipts:?}");
    }
}

#[tokio::test]
async fn who_says_nothing_or_no_tls_leaves_a_record_too() {
    let (upstream, pki) = (Upstream::start().await, Pki::new());
    let front = Some(&pki);
    let settings = Settings {
        front,
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let (_, silent) = dial(&scene).await;
    let (_, mut wrong) = dial(&scene).await;
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert, and the end.
    let _ = pin!(wrong.read_to_end(&mut answer)).await;
    drop(silent);
    let books = scene.end().await;
    let mut seen: Vec<_> = books.connections(Leg::Client);
    seen.sort_by_key(|connection| connection.rx);
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!((seen[0].tx, seen[0].rx, seen[0].tls), (0, 0, true));
    assert_eq!((seen[1].tx, seen[1].rx), (answer.len() as u64, 18));
    assert!(books.exchanges(Leg::Client).is_empty());
}
