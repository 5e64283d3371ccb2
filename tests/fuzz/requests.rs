//! Random bytes from clients: each gets an answer below 500 or a closed connection, others are
//! served meanwhile, and nothing but the configured upstream is asked for nothing but legal names.

use std::net::SocketAddr;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use fake_registry::Client;
use fake_registry::Fuzz;
use fake_registry::ImageBuilder;
use fake_registry::Recorded;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use proptest::prelude::*;
use proptest::sample::Index;
use tidegate::oci::Name;

use crate::raw;

/// A host that is configured nowhere. It counts who comes.
struct Decoy {
    address: SocketAddr,
    visitors: Arc<AtomicUsize>,
}

impl Decoy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, visitors) = (
            listener.local_addr().unwrap(),
            Arc::<AtomicUsize>::default(),
        );
        let counted = visitors.clone();
        // It ends with the process, as threads do that wait for a connection.
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, visitors }
    }
}

/// A word of a request line or of a header.
fn word(decoy: SocketAddr) -> impl Strategy<Value = String> {
    let known = vec![
        "/v2/".to_owned(),
        "/v2/library/app/manifests/latest".into(),
        "/v2/_catalog".into(),
        "/v2/library/app/tags/list".into(),
        "/../".into(),
        "/%2e%2e/".into(),
        "..".into(),
        "/".into(),
        "%00".into(),
        "//".into(),
        "*".into(),
        "_layers".into(),
        "manifests/".into(),
        "blobs/".into(),
        format!("/v2/{decoy}/a/manifests/x"),
        format!("?ns={decoy}"),
        "?ns=docker.io".into(),
        format!("http://{decoy}/v2/a/manifests/x"),
        decoy.to_string(),
        "docker.io".into(),
        format!("https://{decoy}/v2/"),
        "referrers/".into(),
        "library/app/".into(),
        "?n=1&last=a".into(),
        format!("sha256:{}", "0".repeat(64)),
        "tags/list".into(),
        "ns=".into(),
        "&".into(),
        "@".into(),
    ];
    prop_oneof![5 => prop::sample::select(known), 1 => "[ -~]{0,12}"]
}

fn header(decoy: SocketAddr) -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "Host",
        "Range",
        "If-None-Match",
        "If-Range",
        "Accept",
        "Authorization",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "Upgrade",
        "X-Forwarded-For",
        "Te",
        "",
    ]);
    let value = prop_oneof![
        2 => word(decoy),
        1 => "bytes=[0-9]{0,20}-[0-9]{0,20}(,-?[0-9]{1,3}-){0,2}",
        1 => "(chunked|close|keep-alive|100-continue|h2c|0|5|-1|99999999999999999999)",
        1 => "[ -~\\t]{0,40}",
        1 => "(a|, ){0,4000}",
    ];
    (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"))
}

/// What looks like a request.
fn well_formed(decoy: SocketAddr) -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec![
        "GET", "GET", "GET", "HEAD", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "get",
        "",
    ]);
    let target = prop::collection::vec(word(decoy), 1..4).prop_map(|words| words.concat());
    let version = prop::sample::select(vec![
        "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "x", "",
    ]);
    let headers = prop::collection::vec(header(decoy), 0..6).prop_map(|headers| headers.concat());
    let body = prop_oneof![2 => Just(String::new()), 1 => "[0-9a-f\\r\\n]{0,30}"];
    (method, target, version, headers, body, any::<bool>()).prop_map(
        |(method, target, version, headers, body, host)| {
            let host = if host { "Host: x\r\n" } else { "" };
            format!("{method} {target} {version}\r\n{host}{headers}\r\n{body}").into_bytes()
        },
    )
}

/// The same, with some bytes changed; the beginning of HTTP/2; and anything.
fn requests(decoy: SocketAddr) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>(), 0..3_u8);
    let changes = prop::collection::vec(change, 1..4);
    let broken = (well_formed(decoy), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(bytes.len() + 1);
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    });
    let h2 = prop::collection::vec(any::<u8>(), 0..200).prop_map(|frames| {
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            &*frames,
        ]
        .concat()
    });
    prop_oneof![6 => well_formed(decoy), 3 => broken, 1 => h2, 1 => any::<Vec<u8>>()]
}

/// Anything but HTTP/2 gets an answer below 500, or none.
fn is_refused_or_answered(bytes: &[u8], reply: &[u8]) -> bool {
    let speaks_h2 = bytes.starts_with(b"PRI") || reply.first().is_none_or(|byte| *byte == 0);
    speaks_h2 || raw::status(reply).is_some_and(|status| (100..500).contains(&status))
}

fn is_legal(asked: &Recorded) -> bool {
    let name = asked.path.strip_prefix("/v2/").and_then(|rest| {
        let name = rest.strip_suffix("/tags/list").or_else(|| {
            let (front, _) = rest.rsplit_once('/')?;
            Some(front.rsplit_once('/')?.0)
        });
        name?.parse::<Name>().ok()
    });
    name.is_some() && !asked.query.split('&').any(|pair| pair.starts_with("ns="))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Sends random requests to both listeners; others are served in between.
fn send_them(front: SocketAddr, admin: SocketAddr, decoy: SocketAddr) {
    let inputs = requests(decoy);
    Fuzz::costly(300, 100).run("requests to the front", &inputs, |bytes| {
        let reply = raw::exchange(front, &bytes);
        let start = String::from_utf8_lossy(&reply[..reply.len().min(80)]).into_owned();
        assert!(is_refused_or_answered(&bytes, &reply), "{start}");
        let alive = raw::exchange(front, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(raw::status(&alive), Some(200));
    });
    let target = "requests to the admin listener";
    Fuzz::costly(100, 200).run(target, &inputs, |bytes| {
        let reply = raw::exchange(admin, &bytes);
        assert!(is_refused_or_answered(&bytes, &reply));
    });
}

fn config(upstream: &Upstream) -> String {
    format!(
        r#"
        server = {{ listen = "127.0.0.1:0", admin = "127.0.0.1:0", header_timeout = "10s", idle_timeout = "10s" }}
        store = {{ path = "inside/store" }}
        upstream = [{{ name = "docker.io", url = "{}", plain_http = true, default = true }}]
        "#,
        upstream.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_sends() {
    let upstream = Upstream::start().await;
    let image = ImageBuilder::new(1).build();
    image.push_to(&upstream, "library/app", "latest");
    let binary = env!("CARGO_BIN_EXE_tidegate");
    let mut tidegate = Tidegate::start(binary, &config(&upstream)).await;
    let address = |url: &str| {
        url.rsplit('/')
            .next()
            .unwrap()
            .parse::<SocketAddr>()
            .unwrap()
    };
    let (front, admin) = (address(tidegate.url()), address(tidegate.admin()));
    let before = names_in(tidegate.folder());
    let decoy = Decoy::start();
    let stranger = decoy.address;
    let sent = tokio::task::spawn_blocking(move || send_them(front, admin, stranger));
    sent.await.unwrap();

    let visitors = decoy.visitors.load(Ordering::SeqCst);
    assert_eq!(visitors, 0, "an unconfigured host was dialled");
    let asked = upstream.log();
    assert!(
        !asked.is_empty(),
        "the inputs never got as far as the upstream"
    );
    for recorded in &asked {
        assert!(
            is_legal(recorded),
            "the upstream was asked: {}",
            recorded.line()
        );
    }
    let after = names_in(tidegate.folder());
    assert_eq!(after, before, "something was written beside the store");
    assert_eq!(names_in(&tidegate.folder().join("inside")), ["store"]);
    let log = tidegate.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(tidegate.process_mut().exit_status().is_none(), "it ended");
    let layer = &image.layers("linux/amd64")[0];
    let url = format!("{}/v2/library/app/blobs/{layer}", tidegate.url());
    let reply = Client::new().get(url).send().await.unwrap();
    assert_eq!(reply.digest().await.unwrap(), *layer);
}
