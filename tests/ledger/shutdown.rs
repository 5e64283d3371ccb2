//! A shutdown under load loses no record.

use std::collections::BTreeMap;
use std::collections::HashSet;

use bytes::Bytes;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use http::Request;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::scene::Books;
use crate::scene::NAME;
use crate::scene::Scene;
use crate::scene::Settings;

const CLIENTS: usize = 12;
/// How many answers there are before it is told to end.
const ANSWERS: usize = 600;

/// What a client got, by what it asked for: bytes.
type Got = BTreeMap<String, u64>;

/// Asks for one thing after the other on one connection, until it is closed. Every name is asked for
/// once, by one client. Says what was answered whole.
async fn client(host: String, number: usize, answers: tokio::sync::mpsc::Sender<()>) -> Got {
    let stream = TcpStream::connect(&host).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut got = Got::new();
    for round in 0.. {
        let tag = format!("tag-{number}-{round}");
        let request = Request::get(format!("/v2/{NAME}/manifests/{tag}")).header("host", &host);
        if sender.ready().await.is_err() {
            break;
        }
        let answer = sender
            .send_request(request.body(Empty::<Bytes>::new()).unwrap())
            .await;
        let Ok(answer) = answer else { break };
        let Ok(body) = answer.into_body().collect().await else {
            break;
        };
        got.insert(tag, body.to_bytes().len() as u64);
        let _ = answers.try_send(());
    }
    drop(sender);
    let _ = connection.await;
    got
}

fn by_reference(receipts: &[&Receipt]) -> BTreeMap<String, Receipt> {
    let mut found = BTreeMap::new();
    for receipt in receipts {
        let before = found.insert(receipt.reference.to_string(), (*receipt).clone());
        assert!(before.is_none(), "twice: {before:?} {receipt:?}");
    }
    found
}

#[tokio::test]
async fn nothing_is_lost_when_it_is_told_to_end_under_load() {
    let upstream = Upstream::start().await;
    let blob = upstream.put_generated_blob(NAME, 64 << 20, 1);
    let stall = Fault::stall_after(16 << 20, &Gate::new());
    upstream.fault(When::get(&blob), stall);
    let server = "drain_timeout = \"2s\"";
    let settings = Settings {
        server,
        ..Settings::default()
    };
    let mut scene = Scene::start(&upstream.url(), settings).await;
    let host = scene.tidegate.host().to_owned();
    // This one has to be cut, and so has what fetches it: that ends with the last task only.
    let mut stuck = TcpStream::connect(&host).await.unwrap();
    let request = format!("GET /v2/{NAME}/blobs/{blob} HTTP/1.1\r\nHost: x\r\n\r\n");
    stuck.write_all(request.as_bytes()).await.unwrap();
    stuck.read_exact(&mut [0; 1000]).await.unwrap();
    let (answers, mut answered) = tokio::sync::mpsc::channel(ANSWERS * 10);
    let clients = (0..CLIENTS).map(|number| client(host.clone(), number, answers.clone()));
    let clients: Vec<_> = clients.map(tokio::spawn).collect();
    for _ in 0..ANSWERS {
        answered.recv().await.unwrap();
    }
    scene.process().terminate();
    let mut got = Got::new();
    for client in clients {
        got.extend(client.await.unwrap());
    }
    let books = scene.books_at_its_end().await;
    drop(stuck);

    let receipts = books.exchanges(Leg::Client);
    assert!(got.len() >= ANSWERS);
    let mut told = by_reference(&receipts);
    let cut = told.remove(&blob).expect("the one that was cut");
    assert!(
        cut.end != End::Complete && cut.response_bytes > 0,
        "{cut:?}"
    );
    for (tag, bytes) in &got {
        let receipt = told.remove(tag).unwrap_or_else(|| panic!("{tag} is lost"));
        assert_eq!(
            (receipt.response_bytes, receipt.end),
            (*bytes, End::Complete)
        );
    }
    // What is left was answered, but the client heard nothing of it: one for each at most.
    assert!(told.len() <= CLIENTS, "{told:?}");
    assert_eq!(books.connections(Leg::Client).len(), CLIENTS + 1);

    compare_upstream(&upstream, &books);
    assert!(
        !scene.tidegate.log().contains("journal"),
        "{}",
        scene.tidegate.log()
    );
}

/// What the upstream saw is in the books, and nothing else.
fn compare_upstream(upstream: &Upstream, books: &Books) {
    let log = upstream.log();
    let mut asked = by_reference(&books.exchanges(Leg::Upstream));
    for seen in &log {
        let reference = seen.path.rsplit('/').next().unwrap();
        let receipt = asked.remove(reference);
        assert!(receipt.is_some(), "{} is lost", seen.line());
    }
    assert!(asked.values().all(|it| it.status == 0), "{asked:?}");
    let dialled: HashSet<_> = log.iter().map(|seen| seen.peer).collect();
    let connections = books.connections(Leg::Upstream);
    assert!(connections.len() >= dialled.len());
    let used = connections.iter().filter(|connection| connection.rx > 0);
    assert_eq!(used.count(), dialled.len());
}
