//! Random answers from an upstream: a client gets an error, a body that breaks off, or exactly the
//! bytes of its digest; and nothing else is ever stored.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::Fuzz;
use fake_registry::Random;
use fake_registry::digest_of;
use proptest::prelude::*;
use proptest::sample::Index;
use tidegate::flow;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::flow::Upstream;
use tidegate::front;
use tidegate::front::Front;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::NameFilter;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::store;
use tidegate::store::Store;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use crate::premises::Premises;

/// What each path is answered with, byte for byte.
type Answers = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// An upstream that answers each request on its connection with the bytes for its path, and closes.
async fn upstream(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, answers.clone()));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, answers: Answers) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let bytes = answers
        .lock()
        .unwrap()
        .get(path)
        .cloned()
        .unwrap_or_default();
    stream.write_all(&bytes).await?;
    stream.shutdown().await?;
    // Until the other side has read it: a close with unread bytes would be a reset.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.map(drop)
}

/// A proxy in this process: it asks once, so that a broken answer costs no pauses.
async fn proxy(upstream: SocketAddr, folder: &Path, ledger: Ledger) -> String {
    let second = Duration::from_secs(1);
    let config = registry::Config {
        name: "docker.io".parse().unwrap(),
        url: format!("http://{upstream}").parse().unwrap(),
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: Credentials::Anonymous,
        ca: None,
        plain_http: true,
        allow_private: false,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts: Timeouts {
            connect: 10 * second,
            header: 10 * second,
            idle_body: 10 * second,
        },
        retries: Retries {
            attempts: 1,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(1),
        },
    };
    let upstream = Upstream {
        registry: Arc::new(Registry::new(config, ledger.clone()).unwrap()),
        tag_ttl: Duration::ZERO,
        auth_ttl: Duration::ZERO,
        names: NameFilter::default(),
    };
    let config = store::Config {
        path: folder.to_owned(),
        max_size: None,
    };
    let store = Store::open(config).await.unwrap();
    let config = flow::Config {
        negative_ttl: Duration::ZERO,
        on_disconnect: OnDisconnect::Finish,
        has_access_rules: false,
    };
    let flow = Arc::new(PullThrough::new(config, store, vec![upstream]));
    let config = front::Config {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        default_upstream: Some("docker.io".parse().unwrap()),
        ..front::Config::default()
    };
    let front = Front::bind(config, flow, ledger).await.unwrap();
    let url = format!("http://{}", front.local_addrs()[0]);
    tokio::spawn(front.run(std::future::pending(), Duration::ZERO));
    url
}

/// What is asked for, and what is wrong with the answer.
#[derive(Clone, Debug)]
struct Case {
    kind: Kind,
    size: usize,
    seed: u64,
    status: u16,
    headers: Vec<String>,
    changes: Vec<(Index, u8, u8)>,
    /// In an otherwise right answer, the length is left to the connection's end.
    no_length: bool,
    range: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Blob,
    Manifest,
    Tag,
    Tags,
    Referrers,
}

fn cases() -> impl Strategy<Value = Case> {
    let kind = prop::sample::select(vec![
        Kind::Blob,
        Kind::Blob,
        Kind::Blob,
        Kind::Manifest,
        Kind::Tag,
        Kind::Tags,
        Kind::Referrers,
    ]);
    let size = prop_oneof![3 => 0..300_usize, 1 => 60_000..200_000_usize];
    let status = prop_oneof![6 => Just(200), 2 => Just(206), 1 => 100..600_u16];
    let header = prop_oneof![
        "(Content-Length|content-length): [0-9]{1,20}",
        "Content-Range: bytes [0-9]{1,3}-[0-9]{1,4}/([0-9]{1,4}|\\*)",
        "Docker-Content-Digest: sha256:[0-9a-f]{64}",
        "Content-Type: [ -~]{0,30}",
        "Link: <[ -~]{0,20}>; rel=\"?next\"?",
        "Transfer-Encoding: (chunked|gzip|x)",
        "Content-Encoding: (gzip|identity)",
        "Location: [ -~]{0,20}",
        "Retry-After: ([0-9]{1,20}|[ -~]{0,12})",
        "WWW-Authenticate: (Bearer|Basic) [ -~]{0,40}",
        "OCI-Filters-Applied: [ -~]{0,10}",
        "[A-Za-z-]{1,10}: [ -~]{0,20}",
    ];
    let headers = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(header, 0..3)];
    let change = (any::<Index>(), any::<u8>(), 0..4_u8);
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(change, 0..3)];
    let range = prop::option::weighted(0.2, (0..300_u64, 0..400_u64));
    let answer = (status, headers, changes, any::<bool>());
    (kind, size, any::<u64>(), answer, range).prop_map(
        |(kind, size, seed, (status, headers, changes, no_length), range)| Case {
            kind,
            size,
            seed,
            status,
            headers,
            changes,
            no_length,
            range,
        },
    )
}

impl Case {
    /// The content that the answer should have. No two cases have the same, so that none is stored
    /// already.
    fn content(&self, number: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.size];
        Random::new(self.seed).fill(&mut bytes);
        let stamp = format!("{{\"number\":{number},\"annotations\":{{}}}}");
        if self.kind == Kind::Blob {
            [stamp.as_bytes(), &bytes].concat()
        } else {
            stamp.into_bytes()
        }
    }

    fn path(&self, digest: &str, number: usize) -> String {
        match self.kind {
            Kind::Blob => format!("/v2/library/app/blobs/{digest}"),
            Kind::Manifest => format!("/v2/library/app/manifests/{digest}"),
            Kind::Tag => format!("/v2/library/app/manifests/v{number}"),
            Kind::Tags => format!("/v2/library/app{number}/tags/list"),
            Kind::Referrers => format!("/v2/library/app/referrers/{digest}"),
        }
    }

    fn answer(&self, content: &[u8]) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} x\r\n", self.status);
        if !self.no_length {
            head += &format!("Content-Length: {}\r\n", content.len());
        }
        for header in &self.headers {
            head += &format!("{header}\r\n");
        }
        let mut bytes = [head.as_bytes(), b"\r\n", content].concat();
        for (at, byte, how) in &self.changes {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match how {
                0 if at < bytes.len() => bytes[at] = *byte,
                1 => bytes.insert(at, *byte),
                2 => bytes.truncate(at),
                _ => bytes.extend_from_slice(&[*byte; 100]),
            }
        }
        bytes
    }
}

/// Asks, and checks what comes.
async fn ask(client: &Client, url: String, (case, digest): (Case, String)) {
    let mut request = client.get(&url);
    if let Some((first, last)) = case.range {
        request = request.range(&format!("{first}-{last}"));
    }
    // A body that fails at once may take its header with it.
    let Ok(reply) = request.send().await else {
        return;
    };
    let (status, promised) = (reply.status.as_u16(), reply.content_length());
    let named = reply.header("docker-content-digest").map(str::to_owned);
    let range = reply.header("content-range").map(str::to_owned);
    let (bytes, broke) = reply.bytes_until_error().await;
    if status >= 400 {
        assert!(
            broke.is_none() && bytes.starts_with(b"{\"errors\":["),
            "{status}"
        );
        return;
    }
    let Some(promised) = promised else {
        panic!("{status} without a length");
    };
    if broke.is_some() {
        assert!((bytes.len() as u64) < promised, "a whole body that broke");
        return;
    }
    assert_eq!(bytes.len() as u64, promised);
    match (case.kind, status) {
        (Kind::Tags | Kind::Referrers, 200) => {}
        (Kind::Blob | Kind::Manifest, 200) => assert!(digest_of(&bytes) == digest, "a wrong body"),
        (Kind::Tag, 200) => assert!(named.is_some_and(|named| named == digest_of(&bytes))),
        // A part can't be held against the digest of the whole, only against its own header.
        (Kind::Blob | Kind::Manifest | Kind::Tag, 206) => assert!(range.is_some()),
        other => panic!("{other:?}"),
    }
}

/// Counts the panics of this process's tasks, which a runtime would swallow.
fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::<AtomicUsize>::default();
    let (counted, usual) = (panics.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        let is_worker = std::thread::current()
            .name()
            .is_some_and(|name| name.contains("tokio"));
        counted.fetch_add(usize::from(is_worker), Ordering::SeqCst);
        usual(info);
    }));
    panics
}

fn check_store(folder: &Path) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += check_store(&path);
        } else if path.file_name().is_some_and(|name| name == "data") {
            let hex = path
                .parent()
                .unwrap()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap();
            let digest = digest_of(&std::fs::read(&path).unwrap());
            assert_eq!(digest, format!("sha256:{hex}"), "stored wrongly");
            found += 1;
        }
    }
    found
}

/// How many answers are given at once.
const AT_ONCE: usize = 40;

#[test]
fn whatever_an_upstream_answers() {
    let panics = count_panics();
    let premises = Premises::new();
    let runtime = premises.runtime();
    let folder = tempfile::tempdir().unwrap();
    let answers = Answers::default();
    let url = runtime.block_on(async {
        let upstream = upstream(answers.clone()).await;
        proxy(upstream, folder.path(), premises.ledger()).await
    });
    let client = Client::builder().h1().build();
    let number = AtomicUsize::new(0);
    let inputs = prop::collection::vec(cases(), AT_ONCE);
    let fuzz = Fuzz::costly(10, 100 * AT_ONCE as u32);
    fuzz.run("batches of 40 answers of an upstream", &inputs, |cases| {
        let mut asked = Vec::new();
        for case in cases {
            let number = number.fetch_add(1, Ordering::Relaxed);
            let content = case.content(number);
            let digest = digest_of(&content);
            let path = case.path(&digest, number);
            answers
                .lock()
                .unwrap()
                .insert(path.clone(), case.answer(&content));
            asked.push((format!("{url}{path}"), (case, digest)));
        }
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for (url, case) in asked {
                let client = client.clone();
                tasks.spawn(async move { ask(&client, url, case).await });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
        answers.lock().unwrap().clear();
    });
    assert_eq!(panics.load(Ordering::SeqCst), 0, "something panicked");
    let stored = check_store(&folder.path().join("docker/registry/v2/blobs"));
    assert!(
        stored > fuzz.cases as usize,
        "hardly anything was right: {stored} are stored"
    );
}
