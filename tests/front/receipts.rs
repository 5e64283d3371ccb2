//! One log line for each exchange.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::time::Duration;

use tidegate::ledger::Source;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::ask;
use crate::client::begin;
use crate::client::get;
use crate::house::House;
use crate::house::Plan;
use crate::people::ALICE;
use crate::people::CI;
use crate::people::People;

/// All access log lines of this process.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<u8>>>,
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Log::default();
            let writer = log.clone();
            tracing_subscriber::fmt()
                .with_env_filter("tidegate=debug")
                .with_writer(move || writer.clone())
                .with_ansi(false)
                .init();
            log
        })
        .clone()
    }

    /// The lines that have `part`, once there are `count`: the last is written when its body ends.
    async fn lines(&self, part: &str, count: usize) -> Vec<String> {
        let found = async {
            loop {
                let text = String::from_utf8(self.lines.lock().unwrap().clone()).unwrap();
                let lines = text.lines().filter(|line| line.contains(part));
                let lines: Vec<_> = lines.map(str::to_owned).collect();
                if lines.len() >= count {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(10), found).await;
        found.expect("a receipt is missing")
    }
}

#[tokio::test]
async fn each_exchange_leaves_one_line() {
    let log = Log::start();
    let house = House::build().await;
    let name = "receipts/each";
    let digest = house
        .put_manifest(&format!("docker.io/{name}"), "x", "{}")
        .await;
    let path = format!("/v2/{name}/manifests/x");
    get(house.address, &path).await;
    ask(house.address, "HEAD", &path, &[]).await;
    ask(house.address, "GET", &path, &[("If-None-Match", "*")]).await;
    get(house.address, &format!("/v2/{name}/manifests/{digest}")).await;
    let lines = log.lines(name, 4).await;
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, (action, reference, status, bytes)) in lines.iter().zip([
        ("GET manifest-get", "x", 200, 2),
        ("HEAD manifest-head", "x", 200, 0),
        ("GET manifest-get", "x", 304, 0),
        ("GET manifest-get", digest.as_str(), 200, 2),
    ]) {
        for part in [
            action.to_owned(),
            r#"upstream="docker.io""#.to_owned(),
            format!("repository={name:?}"),
            format!("reference={reference:?}"),
            format!("status={status} origin=\"hit\" bytes={bytes} duration_us="),
            r#"end="complete""#.to_owned(),
        ] {
            assert!(line.contains(&part), "{line}\n{part}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_written_down() {
    let log = Log::start();
    let house = House::build().await;
    let name = "receipts/leaves";
    let blob = vec![7; 32 << 20];
    let digest = house.put_blob(&format!("docker.io/{name}"), &blob).await;
    let path = format!("/v2/{name}/blobs/{digest}");
    drop(begin(house.address, "GET", &path, &[]).await);
    let lines = log.lines(name, 1).await;
    for part in ["status=200", r#"origin="hit""#, r#"end="cancelled""#] {
        assert!(lines[0].contains(part), "{lines:?}");
    }
}

/// The system takes far less for a client that reads nothing than it was handed over.
#[tokio::test]
async fn what_was_handed_over_and_not_sent_is_not_counted() {
    let plan = Plan {
        drain: Duration::from_millis(200),
        ..Plan::default()
    };
    let house = plan.build().await;
    let size = 32 << 20;
    let digest = house.put_blob("docker.io/a/b", &vec![7; size]).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let request = format!("GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = vec![0; 1 << 10];
    stream.read_exact(&mut read).await.unwrap();
    let (run, (premises, folder)) = house.shut_down();
    assert_eq!(run.await.unwrap(), 1, "it was cut");
    let books = premises.books().await;
    stream.read_to_end(&mut read).await.unwrap();
    let header = read.windows(4).position(|four| four == b"\r\n\r\n");
    let body = read.len() - header.unwrap() - 4;
    assert!(body > 0 && body < size);
    assert_eq!(books.client_sent, body as u64);
    assert_eq!(books.client_given[&Source::Store], body as u64);
    drop(folder);
}

#[tokio::test]
async fn the_line_names_the_user_and_never_the_password() {
    let log = Log::start();
    let people = People::new();
    let house = people.only(Plan::default()).build().await;
    let name = "receipts/user";
    house
        .put_manifest(&format!("docker.io/{name}"), "x", "{}")
        .await;
    let path = format!("/v2/{name}/manifests/x");
    for login in [ALICE, CI] {
        let got = ask(house.address, "GET", &path, &[("Authorization", login)]).await;
        assert_eq!(got.status, 200);
    }
    let lines = log.lines(name, 2).await;
    assert!(lines[0].contains(r#"user="alice""#), "{lines:?}");
    assert!(lines[1].contains(r#"user="ci""#), "{lines:?}");
    let all = String::from_utf8(log.lines.lock().unwrap().clone()).unwrap();
    for secret in ["wonderland", "token-of", &ALICE[6..], "$2y"] {
        assert!(!all.contains(secret), "{secret} is in the log");
    }
}
