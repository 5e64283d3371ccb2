//! Clients that use HTTP/2 against us: others are served as before.

use std::time::Duration;

use bytes::Bytes;
use fake_registry::Upstream;
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::get;
use crate::house::House;
use crate::house::Plan;

const PATIENCE: Duration = Duration::from_secs(60);
const BLOB: &[u8] = b"0123456789";

type Connected = (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>);

async fn connect(house: &House) -> Connected {
    let stream = TcpStream::connect(house.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(1 << 30)
        .initial_connection_window_size(1 << 30);
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn to(path: &str) -> Request<()> {
    Request::get(format!("http://mirror.test{path}"))
        .body(())
        .unwrap()
}

async fn assert_served(house: &House, path: &str) {
    let got = timeout(PATIENCE, get(house.address, path)).await;
    let got = got.expect("others are held up");
    assert!(got.status == 200 && got.body == BLOB);
}

#[tokio::test]
async fn rapid_resets_hold_up_nobody_and_leave_nothing_behind() {
    let upstream = Upstream::start().await;
    let new = upstream.put_generated_blob("a/b", 1 << 20, 1);
    let house = Plan::with_upstream(&upstream.url()).build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let resets = async {
        let mut sent = 0;
        while sent < 10_000 {
            let (sender, connection) = connect(&house).await;
            let Ok(mut sender) = sender.ready().await else {
                continue;
            };
            // Until the connection is broken off, for what it does.
            while sent < 10_000 {
                let Ok((_, mut stream)) = sender.send_request(to(&path), true) else {
                    break;
                };
                stream.send_reset(h2::Reason::CANCEL);
                sent += 1;
                match sender.ready().await {
                    Ok(ready) => sender = ready,
                    Err(_) => break,
                }
                if sent % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            connection.abort();
        }
    };
    let pulls = async {
        for _ in 0..50 {
            assert_served(&house, &path).await;
        }
        // Something that has to be fetched, too.
        let got = get(house.address, &format!("/v2/a/b/blobs/{new}")).await;
        assert!(got.status == 200 && got.body.len() == 1 << 20);
    };
    tokio::join!(resets, pulls);
    let (run, folder) = house.shut_down();
    assert_eq!(run.await.unwrap(), 0);
    drop(folder);
}

#[tokio::test]
async fn streams_are_limited_and_clients_are_told() {
    let mut plan = Plan::default();
    plan.front.max_streams = 3;
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", &vec![7; 32 << 20]).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let stream = TcpStream::connect(house.address).await.unwrap();
    let (sender, mut connection) = h2::client::handshake(stream).await.unwrap();
    let mut sender = sender;
    // The settings have come with the first answer.
    let (ping, _) = sender.send_request(to("/v2/"), true).unwrap();
    tokio::select! {
        answer = ping => assert_eq!(answer.unwrap().status(), 200),
        _ = &mut connection => panic!("the connection ended"),
    }
    assert_eq!(connection.max_concurrent_send_streams(), 3);
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..3 {
        sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(to(&path), true).unwrap();
        answers.push(answer.await.unwrap());
    }
    // A fourth waits until one of them ends.
    let (fourth, _) = sender.send_request(to("/v2/"), true).unwrap();
    let mut fourth = tokio::spawn(fourth);
    let early = timeout(Duration::from_millis(300), &mut fourth).await;
    assert!(early.is_err(), "a fourth was answered beside three");
    answers.pop();
    let answer = timeout(PATIENCE, fourth)
        .await
        .expect("the fourth still waits");
    assert_eq!(answer.unwrap().unwrap().status(), 200);
    connection.abort();
}

#[tokio::test]
async fn too_much_header_is_431() {
    let house = House::build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    for (bytes, status) in [(1 << 10, 200), (40 << 10, 200), (100 << 10, 431)] {
        let (sender, connection) = connect(&house).await;
        let mut request = to("/v2/");
        let value = "x".repeat(bytes).parse().unwrap();
        request.headers_mut().insert("x-long", value);
        let mut sender = sender.ready().await.unwrap();
        let (answer, _) = sender.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{bytes}");
        assert_served(&house, &path).await;
        connection.abort();
    }
}

/// Begins 50 downloads, and takes nothing of them: with small windows, which are soon full, while
/// the socket is read on; or with large ones, and nobody reads the socket.
async fn takes_nothing(window: u32, reads_on: bool) {
    let mut plan = Plan::default();
    plan.front.idle_timeout = Duration::from_millis(500);
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", &vec![7; 32 << 20]).await;
    let small = house.put_blob("docker.io/a/b", BLOB).await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let builder = builder
        .initial_window_size(window)
        .initial_connection_window_size(window);
    let (mut sender, mut connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let path = format!("/v2/a/b/blobs/{digest}");
    // Until the first has begun.
    let begin = async {
        let mut answers = Vec::new();
        for _ in 0..50 {
            sender = sender.ready().await.unwrap();
            answers.push(sender.send_request(to(&path), true).unwrap().0);
        }
        let first = answers.remove(0).await.unwrap();
        assert_eq!(first.status(), 200);
        (first, answers)
    };
    let answers = tokio::select! {
        answers = begin => answers,
        _ = &mut connection => panic!("the connection ended"),
    };
    let held = tokio::spawn(async move {
        if reads_on {
            let _ = connection.await;
        } else {
            std::future::pending::<()>().await;
            drop(connection);
        }
        drop(answers);
    });
    assert_served(&house, &format!("/v2/a/b/blobs/{small}")).await;
    let (run, folder) = house.shut_down();
    // The drain allows ten seconds: it ends because the connection did.
    assert_eq!(run.await.unwrap(), 0);
    held.abort();
    drop(folder);
}

#[tokio::test]
async fn who_reads_nothing_of_many_streams_is_hung_up_on() {
    takes_nothing(1 << 30, false).await;
}

#[tokio::test]
async fn who_opens_no_window_is_hung_up_on() {
    takes_nothing(65_535, true).await;
}

#[tokio::test]
async fn who_is_slow_but_takes_something_is_served_to_the_end() {
    let mut plan = Plan::default();
    plan.front.idle_timeout = Duration::from_secs(4);
    let house = plan.build().await;
    let blob: Vec<u8> = (0..150 << 10).map(|at| (at / 977) as u8).collect();
    let digest = house.put_blob("docker.io/a/b", &blob).await;
    let stream = TcpStream::connect(house.address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let path = format!("/v2/a/b/blobs/{digest}");
    let mut bodies = Vec::new();
    for _ in 0..5 {
        let (answer, _) = sender.send_request(to(&path), true).unwrap();
        bodies.push((answer.await.unwrap().into_body(), Vec::new()));
    }
    // What we hold ready for it lasts longer than the timeout: no more is asked of the bodies in
    // the meantime.
    while bodies.iter().any(|(_, came)| came.len() < blob.len()) {
        for (body, came) in &mut bodies {
            let Some(data) = body.data().await else {
                continue;
            };
            let data = data.expect("it was cut");
            let pause = data.len() as u64 * 300 / (16 << 10);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            body.flow_control().release_capacity(data.len()).unwrap();
            came.extend_from_slice(&data);
        }
    }
    assert!(bodies.iter().all(|(_, came)| *came == blob));
    connection.abort();
}

#[tokio::test]
async fn a_body_with_a_get_is_left_unread() {
    let house = House::build().await;
    let digest = house.put_blob("docker.io/a/b", BLOB).await;
    let path = format!("/v2/a/b/blobs/{digest}");
    let (sender, connection) = connect(&house).await;
    let mut sender = sender.ready().await.unwrap();
    for _ in 0..20 {
        let (answer, mut body) = sender.send_request(to(&path), false).unwrap();
        body.send_data(Bytes::from(vec![b'x'; 16 << 10]), false)
            .unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
        sender = sender.ready().await.unwrap();
    }
    assert_served(&house, &path).await;
    connection.abort();
}
