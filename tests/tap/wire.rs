//! What each side sees of the other: byte for byte, where that is possible.

use fake_registry::need;
use tidegate::ledger::Action;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Protocol;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::peer::Counted;
use crate::peer::Peer;
use crate::raw;
use crate::raw::Origin;
use crate::rig::Tap;

#[tokio::test]
async fn a_request_and_its_answer_pass_as_they_are() {
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let host = origin.host();
    let asked = format!(
        "GET http://{host}/v2/a/manifests/v1?ns=x HTTP/1.1\r\nhOst: {host}\r\n\
         X-Odd-CASE: 1\r\nAccept: a\r\nACCEPT: b\r\nProxy-Connection: Keep-Alive\r\n\
         Proxy-Authorization: Basic xyz\r\nuser-agent: t\r\n\r\n"
    );
    let mut tool = raw::say(tap.address(), &asked).await;
    let mut there = origin.accept().await;
    let came = raw::head(&mut there).await;
    assert_eq!(
        came,
        format!(
            "GET /v2/a/manifests/v1?ns=x HTTP/1.1\r\nhOst: {host}\r\nX-Odd-CASE: 1\r\n\
             Accept: a\r\nACCEPT: b\r\nuser-agent: t\r\n\r\n"
        )
    );
    // Neither a Date nor anything else is added.
    let answer = "HTTP/1.1 200 All Is Well\r\ncontent-LENGTH: 5\r\nETag: \"x\"\r\nAge: 7\r\n\
                  X-Cache: HIT\r\nDocker-content-Digest: sha256:1\r\n\r\nhello";
    there.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(raw::text(&mut tool, answer.len()).await, answer);
    // The same connection goes on, to the same connection there.
    let next = format!("HEAD http://{host}/v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    tool.write_all(next.as_bytes()).await.unwrap();
    let came = raw::head(&mut there).await;
    assert_eq!(came, format!("HEAD /v2/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let answer = "HTTP/1.1 200 OK\r\nX: y\r\n\r\n";
    there.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut tool).await, answer);
    drop(tool);
    let books = tap.end().await;
    let all = books.exchanges();
    assert_eq!(all.len(), 2);
    assert_eq!(
        (all[0].action, all[0].response_bytes, all[0].age),
        (Action::ManifestGet, 5, Some(7))
    );
    assert_eq!((&*all[0].repository, &*all[0].reference), ("a", "v1"));
    assert_eq!((all[1].action, all[1].end), (Action::Ping, End::Complete));
    assert_eq!(&*all[1].host, host);
    assert!(books.connection(Leg::Tap).rx > 0);
}

/// Bodies of all kinds of framing, both ways, and trailers.
#[tokio::test]
async fn framing_and_trailers_pass_as_they_are() {
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let mut tool = raw::connect(tap.address(), &origin.host()).await;
    let mut there = origin.accept().await;
    let exchanges = [
        (
            "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
             Trailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
             4\r\nabcd\r\n0\r\nx-sum: 2\r\n\r\n",
        ),
        (
            "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 204 No Content\r\n\r\n",
        ),
        (
            "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        ),
        (
            "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "GET /x HTTP/1.1\r\nHost: h\r\nIf-None-Match: x\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: x\r\n\r\n",
        ),
        (
            "HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n",
        ),
    ];
    for (request, answer) in exchanges {
        tool.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(raw::text(&mut there, request.len()).await, request);
        there.write_all(answer.as_bytes()).await.unwrap();
        assert_eq!(raw::text(&mut tool, answer.len()).await, answer);
    }
    drop(tool);
    let books = tap.end().await;
    let bytes: Vec<_> = books
        .exchanges()
        .iter()
        .map(|receipt| (receipt.request_bytes, receipt.response_bytes, receipt.end))
        .collect();
    let complete = |sent, received| (sent, received, End::Complete);
    let expected = [(3, 4), (4, 0), (2, 1), (0, 0), (0, 0), (0, 0)];
    assert_eq!(
        bytes,
        expected.map(|(sent, received)| complete(sent, received))
    );
}

#[tokio::test]
async fn who_expects_100_continue_gets_it_from_the_origin() {
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let mut tool = raw::connect(tap.address(), &origin.host()).await;
    let mut there = origin.accept().await;
    let asked = "PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
    tool.write_all(asked.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut there).await, asked);
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    there.write_all(go_on.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut tool).await, go_on);
    tool.write_all(b"abcd").await.unwrap();
    assert_eq!(raw::text(&mut there, 4).await, "abcd");
    let answer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
    there.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut tool).await, answer);
    // This time, the origin does not want the body.
    tool.write_all(asked.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut there).await, asked);
    let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno";
    there.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(raw::text(&mut tool, answer.len()).await, answer);
    drop(tool);
    assert_eq!(raw::rest(&mut there).await.as_deref(), Some(""));
    let books = tap.end().await;
    let all = books.exchanges();
    assert_eq!((all[0].status, all[0].request_bytes), (201, 4));
    assert_eq!((all[1].status, all[1].request_bytes), (401, 0));
}

#[tokio::test]
async fn an_upgrade_is_passed_on_and_counted() {
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let host = origin.host();
    let asked = format!(
        "GET http://{host}/ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\n\r\n"
    );
    let mut tool = raw::say(tap.address(), &asked).await;
    let mut there = origin.accept().await;
    let came = raw::head(&mut there).await;
    assert!(came.contains("Upgrade: websocket\r\n"), "{came}");
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    there.write_all(answer.as_bytes()).await.unwrap();
    assert_eq!(raw::head(&mut tool).await, answer);
    tool.write_all(b"ping!").await.unwrap();
    assert_eq!(raw::text(&mut there, 5).await, "ping!");
    there.write_all(b"pong").await.unwrap();
    assert_eq!(raw::text(&mut tool, 4).await, "pong");
    drop(tool);
    assert_eq!(raw::rest(&mut there).await.as_deref(), Some(""));
    drop(there);
    let books = tap.end().await;
    let receipt = books.exchange();
    assert_eq!(receipt.status, 101);
    assert_eq!((receipt.request_bytes, receipt.response_bytes), (5, 4));
    assert_eq!(receipt.end, End::Complete);
}

#[tokio::test]
async fn bytes_that_are_no_http_are_a_connection() {
    let tap = Tap::start(&[]).await;
    for server_speaks_first in [true, false] {
        let origin = Origin::listen().await;
        let mut tool = raw::connect(tap.address(), &origin.host()).await;
        let mut there = origin.accept().await;
        if server_speaks_first {
            there.write_all(b"220 hello\r\n").await.unwrap();
            assert_eq!(raw::text(&mut tool, 11).await, "220 hello\r\n");
        }
        tool.write_all(b"EHLO me\r\n").await.unwrap();
        assert_eq!(raw::text(&mut there, 9).await, "EHLO me\r\n");
        there.write_all(b"bye").await.unwrap();
        // One side may have said all, and still listen.
        tool.shutdown().await.unwrap();
        assert_eq!(raw::rest(&mut there).await.as_deref(), Some(""));
        there.write_all(b"!").await.unwrap();
        drop(there);
        assert_eq!(raw::rest(&mut tool).await.as_deref(), Some("bye!"));
    }
    let books = tap.end().await;
    assert!(books.exchanges().is_empty(), "{books:#?}");
    let origins = books.connections(Leg::Tap);
    let bytes: Vec<_> = origins
        .iter()
        .map(|one| (one.tx, one.rx, one.tls))
        .collect();
    assert_eq!(bytes, [(9, 15, false), (9, 4, false)]);
}

#[tokio::test]
async fn http2_in_clear_text_stays_http2() {
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let tool = raw::connect(tap.address(), &origin.host()).await;
    let serve = async {
        let mut connection = h2::server::handshake(origin.accept().await).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.uri(), "http://h:1/x");
        let mut body = respond
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.send_data("hello".into(), false).unwrap();
        let trailers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            http::HeaderValue::from_static("1"),
        )]);
        body.send_trailers(trailers).unwrap();
        // To the end of the connection.
        assert!(connection.accept().await.is_none());
    };
    let ask = async {
        let (mut sender, connection) = h2::client::handshake(tool).await.unwrap();
        let request = http::Request::get("http://h:1/x").body(()).unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        let read = async {
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "hello");
            let trailers = body.trailers().await.unwrap().unwrap();
            assert_eq!(trailers["x-sum"], "1");
        };
        let mut connection = Box::pin(connection);
        tokio::select! {
            () = read => {}
            ended = &mut connection => panic!("{ended:?}"),
        }
    };
    tokio::join!(serve, ask);
    let books = tap.end().await;
    let receipt = books.exchange();
    assert_eq!(
        (receipt.protocol, receipt.response_bytes),
        (Protocol::H2, 5)
    );
    assert_eq!(receipt.end, End::Complete);
}

/// However slowly the tool reads, the tap holds little.
#[tokio::test]
async fn nothing_is_buffered_for_a_tool_that_does_not_read() {
    const MOST: usize = 64 << 20;
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let host = origin.host();
    let asked = format!("GET http://{host}/x HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut tool = raw::say(tap.address(), &asked).await;
    let mut there = origin.accept().await;
    raw::head(&mut there).await;
    let length = MOST * 4;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    there.write_all(head.as_bytes()).await.unwrap();
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while sent < length {
        let write = there.write(&chunk[..chunk.len().min(length - sent)]);
        let patience = std::time::Duration::from_secs(2);
        match tokio::time::timeout(patience, write).await {
            Ok(written) => sent += written.unwrap(),
            Err(_) => break,
        }
    }
    assert!(sent < MOST, "{sent} bytes went somewhere");
    // And now it does.
    assert_eq!(raw::head(&mut tool).await, head);
    let write = async {
        while sent < length {
            let rest = chunk.len().min(length - sent);
            sent += there.write(&chunk[..rest]).await.unwrap();
        }
    };
    let read = async {
        let mut buffer = vec![0; 1 << 20];
        let mut left = length;
        while left > 0 {
            left -= tool.read(&mut buffer).await.unwrap();
        }
    };
    tokio::join!(write, read);
    drop((tool, there));
    let books = tap.end().await;
    assert_eq!(books.exchange().response_bytes, length as u64);
}

#[tokio::test]
async fn who_is_no_proxy_client_is_told_so() {
    let tap = Tap::start(&[]).await;
    let asked = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut tool = raw::say(tap.address(), asked).await;
    let answer = raw::rest(&mut tool).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("HTTPS_PROXY"), "{answer}");
    let books = tap.end().await;
    assert!(books.exchanges().is_empty());
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_a_bad_gateway() {
    let mut tap = Tap::start(&[]).await;
    let port = fake_registry::ReservedPort::new();
    let host = port.address();
    for asked in [
        format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    ] {
        let mut tool = raw::say(tap.address(), &asked).await;
        let answer = raw::head(&mut tool).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    }
    tap.wait_for_log("can't be reached").await;
    let books = tap.end().await;
    assert_eq!(books.exchange().end, End::Failed);
    assert!(books.connections(Leg::Tap).is_empty());
}

/// The records of both connections say what the kernel says.
#[tokio::test]
async fn the_bytes_of_connections_are_the_kernels() {
    if !need(&["ss"]) {
        return;
    }
    let (tap, origin) = (Tap::start(&[]).await, Origin::listen().await);
    let tool = TcpStream::connect(tap.address()).await.unwrap();
    let (tool_end, mut tool) = Peer::dialled(tool);
    let host = origin.host();
    let asked = format!(
        "PUT http://{host}/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Length: 300000\r\n\r\n"
    );
    let (body, answer_body) = (vec![b'x'; 300_000], vec![b'y'; 700_000]);
    let (there_end, mut there) = Peer::accepted(
        async {
            tool.write_all(asked.as_bytes()).await.unwrap();
            origin.accept().await
        }
        .await,
    );
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 700000\r\n\r\n";
    let ask = async {
        tool.write_all(&body).await.unwrap();
        assert_eq!(raw::head(&mut tool).await, answer);
        // To the end: the tap has closed it.
        assert_eq!(raw::rest(&mut tool).await.unwrap().len(), 700_000);
    };
    let serve = async {
        raw::head(&mut there).await;
        raw::text(&mut there, 300_000).await;
        there.write_all(answer.as_bytes()).await.unwrap();
        there.write_all(&answer_body).await.unwrap();
        assert_eq!(raw::rest(&mut there).await.as_deref(), Some(""));
    };
    tokio::join!(ask, serve);
    let counted = [
        tool_end.after_the_end().await,
        there_end.after_the_end().await,
    ];
    drop((tool, there, tool_end, there_end));
    let books = tap.end().await;
    let said = [Leg::Client, Leg::Tap].map(|leg| {
        let (tx, rx) = (books.connection(leg).tx, books.connection(leg).rx);
        Counted { tx, rx }
    });
    assert_eq!(said, counted);
}
