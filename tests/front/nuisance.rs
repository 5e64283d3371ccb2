//! Clients that send what they should not: others are served as before.

use std::net::SocketAddr;
use std::time::Duration;

use fake_registry::Pki;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::get;
use crate::client::over_h1;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;
use crate::tls::connect;
use crate::tls::files;
use crate::tls::issue;

const SHORT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);
const BLOB: &[u8] = b"0123456789";

/// All that comes until the other end closes. Our end stays open for sending: one that is half closed
/// may be taken for a client that has left, and is then answered nothing.
async fn exchange(address: SocketAddr, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let mut came = Vec::new();
    // It may close before it has read everything.
    let sending = write.write_all(sent);
    let reading = timeout(PATIENCE, read.read_to_end(&mut came));
    let (_, read) = tokio::join!(sending, reading);
    let _ = read.expect("the connection was left open");
    String::from_utf8_lossy(&came).into_owned()
}

/// The statuses of all answers in `text`.
fn statuses(text: &str) -> Vec<u16> {
    let starts = text.match_indices("HTTP/1.1 ");
    let status = |(at, _)| text[at + 9..at + 12].parse().unwrap();
    starts.map(status).collect()
}

async fn with_blob() -> (House, String) {
    let house = House::build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    (house, format!("/v2/a/b/blobs/{digest}"))
}

async fn assert_served(house: &House, path: &str) {
    let got = timeout(PATIENCE, get(house.address, path)).await;
    let got = got.expect("others are held up");
    assert!(got.status == 200 && got.body == BLOB);
}

#[tokio::test]
async fn headers_that_come_byte_by_byte_hold_up_nobody() {
    let mut plan = Plan::default();
    plan.front.header_timeout = SHORT;
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let address = house.address;
    let dribble = |start: &'static [u8]| async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let header = start.iter().chain(std::iter::repeat(&b'x'));
        for byte in header {
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let slow = (0..100).map(|number| {
        tokio::spawn(dribble(match number % 3 {
            0 => b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: ",
            1 => b"GET /v2/",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\xff\x01\x04\0\0\0\x01",
        }))
    });
    let slow: Vec<_> = slow.collect();
    for _ in 0..50 {
        assert_served(&house, &path).await;
    }
    let all = futures_util::future::join_all(slow);
    timeout(PATIENCE, all)
        .await
        .expect("they may dribble for ever");
}

#[tokio::test]
async fn too_much_header_is_431() {
    let (house, path) = with_blob().await;
    let long = |bytes: usize| {
        let line = "x".repeat(bytes);
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Long: {line}\r\n\r\n")
    };
    let many = |lines: usize| {
        let lines: String = (0..lines).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n")
    };
    for (sent, status) in [
        (long(60 << 10), 200),
        (long(80 << 10), 431),
        (long(10 << 20), 431),
        (many(90), 200),
        (many(200), 431),
        (many(20_000), 431),
    ] {
        let came = exchange(house.address, sent.as_bytes()).await;
        // A reset may overtake the answer where more was sent than read.
        let is_right = statuses(&came) == [status] || (status == 431 && came.is_empty());
        assert!(is_right, "{} bytes: {came}", sent.len());
    }
    assert_eq!(
        statuses(&exchange(house.address, long(80 << 10).as_bytes()).await),
        [431]
    );
    let floods = (0..50).map(|_| async {
        exchange(house.address, long(1 << 20).as_bytes()).await;
    });
    let pulls = async {
        for _ in 0..20 {
            assert_served(&house, &path).await;
        }
    };
    tokio::join!(futures_util::future::join_all(floods), pulls);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let house = House::build().await;
    let large: Vec<u8> = (0..3 << 20).map(|at| (at / 977) as u8).collect();
    let large_digest = house.put_blob("docker.io/a/b", &large).await;
    let small = house.put_blob("docker.io/a/b", BLOB).await;
    let requests = [
        ("GET", "/v2/".to_owned(), ""),
        ("GET", format!("/v2/a/b/blobs/{large_digest}"), ""),
        ("HEAD", format!("/v2/a/b/blobs/{large_digest}"), ""),
        (
            "GET",
            format!("/v2/a/b/blobs/{small}"),
            "Range: bytes=2-5\r\n",
        ),
        ("GET", "/elsewhere".to_owned(), ""),
        ("GET", format!("/v2/a/b/blobs/{large_digest}"), ""),
        (
            "GET",
            format!("/v2/a/b/blobs/{small}"),
            "Connection: close\r\n",
        ),
    ];
    let sent: String = requests
        .iter()
        .map(|(method, path, more)| format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n"))
        .collect();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut came = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut came)).await;
    read.expect("the last answer never came").unwrap();

    let mut rest = &came[..];
    for (number, status, body) in [
        (0, 200, &b"{}"[..]),
        (1, 200, &large),
        (2, 200, b""),
        (3, 206, b"2345"),
        (4, 404, b"{\"errors\""),
        (5, 200, &large),
        (6, 200, BLOB),
    ] {
        let end = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        assert_eq!(statuses(&head), [status], "answer {number}: {head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let is_head = requests[number].0 == "HEAD";
        let length = if is_head {
            0
        } else {
            length.unwrap().parse().unwrap()
        };
        let (found, next) = rest[end + 4..].split_at(length);
        assert!(found.starts_with(body), "answer {number} is not its own");
        rest = next;
    }
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
}

#[tokio::test]
async fn bodies_of_gets_are_not_taken_for_requests() {
    let (house, path) = with_blob().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
    let after = "GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let plain = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{hidden}{after}",
        hidden.len()
    );
    let chunked = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{hidden}\r\n0\r\n\r\n{after}",
        hidden.len()
    );
    let both = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{hidden}\r\n0\r\n\r\n{after}",
        hidden.len()
    );
    let twice = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: {}\r\n\r\n\
         {hidden}{after}",
        hidden.len()
    );
    let unfinished =
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{hidden}{after}");
    let coded = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n{hidden}{after}"
    );
    for sent in [plain, chunked, both, twice, unfinished, coded] {
        let came = exchange(house.address, sent.as_bytes()).await;
        assert!(!came.contains("hidden"), "{sent}\n--\n{came}");
        // The request, or its refusal; then perhaps the one behind its body.
        let statuses = statuses(&came);
        let is_right = matches!(statuses[..], [200] | [400] | [200, 200]);
        assert!(is_right, "{sent}\n--\n{statuses:?}");
    }
    assert_served(&house, &path).await;
}

#[tokio::test]
async fn an_endless_body_is_not_read() {
    let (house, path) = with_blob().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n", &[b'x'; 1 << 16][..], b"\r\n"].concat();
    let endless = async {
        // Until it can't: the other end has closed.
        while stream.write_all(&chunk).await.is_ok() {}
    };
    timeout(PATIENCE, endless)
        .await
        .expect("it is read for ever");
    assert_served(&house, &path).await;
}

#[tokio::test]
async fn handshakes_that_never_finish_hold_up_nobody() {
    let (folder, authority) = (TempDir::new().unwrap(), Pki::new());
    issue(&authority, folder.path());
    let mut plan = Plan::default();
    plan.front.tls = Some(files(folder.path()));
    plan.front.header_timeout = SHORT;
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let mut unfinished = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        // Nothing, or a hello that promises more than comes.
        if number % 2 == 0 {
            stream
                .write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc")
                .await
                .unwrap();
        }
        unfinished.push(stream);
    }
    for _ in 0..10 {
        let pull = async {
            let stream = connect(house.address, &authority, &[]).await.unwrap();
            over_h1(stream, request("GET", &path, &[])).await.status()
        };
        let status = timeout(PATIENCE, pull).await;
        assert_eq!(status.expect("others are held up"), 200);
    }
    for mut stream in unfinished {
        let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
        let _ = ended.expect("a handshake may take for ever");
    }
}
