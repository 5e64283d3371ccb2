//! What ends before its end: on either side, in either version of HTTP.

use std::time::Duration;

use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::need;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Protocol;

use crate::rig::Tap;

const SIZE: u64 = 32 << 20;
const HALF: u64 = SIZE / 2;

struct Scene {
    upstream: Upstream,
    pki: Pki,
    tap: Tap,
    path: String,
}

impl Scene {
    async fn start(alpn: &str) -> Self {
        let pki = Pki::new();
        let upstream = Upstream::builder().tls_with(&pki, &[alpn]).start().await;
        let digest = upstream.put_generated_blob("a/b", SIZE, 1);
        let ca = pki.ca_file();
        let tap = Tap::start(&["--upstream-ca", ca.to_str().unwrap()]).await;
        Self {
            upstream,
            path: format!("/v2/a/b/blobs/{digest}"),
            pki,
            tap,
        }
    }

    /// curl, on its way to the blob.
    fn curl(&self, more: &[&str]) -> Process {
        let url = format!("{}{}", self.upstream.url(), self.path);
        Process::command("curl")
            .args([
                "-sS",
                "--proxy",
                &self.tap.url(),
                "--noproxy",
                "",
                "--cacert",
            ])
            .arg(self.tap.ca())
            .args(["--output", "/dev/null", "--write-out", "%{http_version}"])
            .args(more)
            .arg(url)
            .spawn()
    }
}

/// Both versions, by their ALPN names and curl's.
const BOTH: [(&str, Protocol); 2] = [("http/1.1", Protocol::H1), ("h2", Protocol::H2)];

#[tokio::test]
async fn a_tool_that_is_killed_half_way_is_gone_at_the_origin_too() {
    if !need(&["curl"]) {
        return;
    }
    for (alpn, protocol) in BOTH {
        let mut scene = Scene::start(alpn).await;
        let gate = Gate::new();
        scene
            .upstream
            .fault(When::get("/blobs/"), Fault::stall_after(HALF, &gate));
        let mut curl = scene.curl(&[]);
        // All that may come has come.
        scene
            .upstream
            .wait_for(|log| log.first().is_some_and(|one| one.body_bytes_sent >= HALF))
            .await;
        curl.kill();
        scene
            .upstream
            .wait_for(|log| log[0].ended != Ended::Open)
            .await;
        scene
            .tap
            .wait_for(|books| !books.exchanges().is_empty())
            .await;
        let books = scene.tap.end().await;
        let receipt = books.exchange();
        assert_eq!((receipt.protocol, receipt.end), (protocol, End::Cancelled));
        assert!(receipt.response_bytes <= HALF, "{receipt:#?}");
        assert!(receipt.response_bytes > 0, "{receipt:#?}");
        let connection = books.connection(Leg::Tap);
        assert!(
            connection.tls && connection.rx > receipt.response_bytes,
            "{connection:#?}"
        );
        drop(scene.pki);
    }
}

#[tokio::test]
async fn an_origin_that_breaks_off_is_seen_to() {
    if !need(&["curl"]) {
        return;
    }
    for (alpn, protocol) in BOTH {
        let scene = Scene::start(alpn).await;
        for fault in [Fault::cut_after(HALF), Fault::reset_after(HALF)] {
            scene.upstream.clear_faults();
            scene.upstream.fault(When::get("/blobs/"), fault);
            let mut curl = scene.curl(&[]);
            let status = curl.wait(Duration::from_secs(60)).await;
            // 18: a partial file; 56: a failure to receive; 92: a stream that was closed.
            let code = status.code().unwrap();
            assert!([18, 56, 92].contains(&code), "{code}: {}", curl.stderr());
        }
        let books = scene.tap.end().await;
        for receipt in books.exchanges() {
            assert_eq!((receipt.protocol, receipt.end), (protocol, End::Failed));
            assert_eq!(receipt.status, 200);
            assert!(receipt.response_bytes <= HALF, "{receipt:#?}");
        }
        assert_eq!(books.exchanges().len(), 2);
    }
}

/// One of two streams of a connection: the other one goes on.
#[tokio::test]
async fn a_stream_that_is_reset_is_reset_at_the_origin_alone() {
    let scene = Scene::start("h2").await;
    let other = scene.upstream.put_generated_blob("a/c", 4 << 20, 2);
    let gate = Gate::new();
    scene
        .upstream
        .fault(When::get("/a/b/blobs/"), Fault::stall_after(HALF, &gate));
    let host = scene.upstream.host();
    let stream = crate::raw::connect(scene.tap.address(), &host).await;
    let stream = crate::certificates::trusting(&scene.tap.ca(), &["h2"], &host, stream).await;
    let builder = h2::client::Builder::new();
    let (sender, connection) = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let mut connection = Box::pin(connection);
    let get = |path: &str| {
        let request = http::Request::get(format!("https://{host}{path}"));
        let request = request.body(()).unwrap();
        let mut sender = sender.clone();
        async move { sender.send_request(request, true).unwrap().0.await.unwrap() }
    };
    let both = async {
        let first = get(&scene.path).await;
        let mut second = get(&format!("/v2/a/c/blobs/{other}")).await.into_body();
        drop(first);
        scene
            .upstream
            .wait_for(|log| log[0].ended != Ended::Open)
            .await;
        let mut bytes = 0;
        while let Some(data) = second.data().await {
            let data = data.unwrap().len();
            bytes += data;
            second.flow_control().release_capacity(data).unwrap();
        }
        assert_eq!(bytes, 4 << 20);
    };
    tokio::select! {
        () = both => {}
        ended = &mut connection => panic!("{ended:?}"),
    }
    drop((connection, sender));
    let books = scene.tap.end().await;
    let mut ends: Vec<_> = books
        .exchanges()
        .iter()
        .map(|one| (&*one.repository, one.end))
        .collect();
    ends.sort_by_key(|(repository, _)| *repository);
    assert_eq!(ends, [("a/b", End::Cancelled), ("a/c", End::Complete)]);
    assert_eq!(books.connections(Leg::Tap).len(), 1);
}

/// Bytes are counted that crossed, not those that were promised.
#[tokio::test]
async fn a_tool_that_leaves_in_mid_upload_is_counted_as_far_as_it_came() {
    use tokio::io::AsyncWriteExt as _;

    let (tap, origin) = (Tap::start(&[]).await, crate::raw::Origin::listen().await);
    let mut tool = crate::raw::connect(tap.address(), &origin.host()).await;
    let mut there = origin.accept().await;
    let head = "PUT /v2/a/blobs/uploads/x?digest=sha256:1 HTTP/1.1\r\nHost: h\r\n\
                Content-Length: 1000\r\n\r\n";
    tool.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(crate::raw::head(&mut there).await, head);
    tool.write_all(&[b'x'; 400]).await.unwrap();
    crate::raw::text(&mut there, 400).await;
    drop(tool);
    // The origin is not left to wait for the rest.
    assert_ne!(crate::raw::rest(&mut there).await.as_deref(), Some("x"));
    let books = tap.end().await;
    let receipt = books.exchange();
    assert_eq!((receipt.request_bytes, receipt.end), (400, End::Cancelled));
    assert_eq!(&*receipt.reference, "sha256:1");
}
