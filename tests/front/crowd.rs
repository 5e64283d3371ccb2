//! More connections than there is room for, and who gives way.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use rustix::process::Resource;
use rustix::process::Rlimit;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::ask_from;
use crate::client::connect_from;
use crate::client::get;
use crate::client::over_h1;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;

const PING: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
const ONE: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];
/// Longer than any test may take.
const NEVER: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);
/// More than the sockets' buffers and ours hold.
const BIG: usize = 32 << 20;

/// A house that never loses patience with a client, with a big blob.
async fn patient(plan: Plan) -> (House, String) {
    let mut plan = plan;
    plan.front.header_timeout = NEVER;
    plan.front.idle_timeout = NEVER;
    let house = plan.build().await;
    let digest = house.put_blob("docker.io/a/b", &vec![7; BIG]).await;
    (house, format!("/v2/a/b/blobs/{digest}"))
}

/// A connection that has asked and was answered, and does no more.
async fn idle(house: &House, client: [u8; 4]) -> TcpStream {
    let mut stream = connect_from(client, house.address).await;
    stream.write_all(PING).await.unwrap();
    let answered = stream.read(&mut [0; 1024]).await.unwrap();
    assert!(answered > 0, "an idle connection was not let in");
    stream
}

/// An answer that is under way, as slow as its client.
async fn busy(house: &House, client: [u8; 4], path: &str) -> Response<Incoming> {
    let stream = connect_from(client, house.address).await;
    over_h1(stream, request("GET", path, &[])).await
}

async fn is_whole(response: Response<Incoming>) -> bool {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    body.len() == BIG && body.iter().all(|byte| *byte == 7)
}

/// As many files as the system allows: each connection is two in this process.
fn allow_many_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, raised).unwrap();
}

#[tokio::test]
async fn thousands_of_idle_connections_keep_nobody_out() {
    allow_many_files();
    let mut plan = Plan::default();
    plan.front.max_connections_per_client = 4_000;
    let (house, path) = patient(plan).await;
    let mut idlers = Vec::new();
    for number in 0..3_000 {
        idlers.push(match number % 3 {
            0 => connect_from(ONE, house.address).await,
            1 => {
                let mut half = connect_from(ONE, house.address).await;
                half.write_all(&PING[..10]).await.unwrap();
                half
            }
            _ => idle(&house, ONE).await,
        });
    }
    let pulls = (0..4).map(|_| async {
        for _ in 0..3 {
            assert!(is_whole(busy(&house, OTHER, &path).await).await);
        }
    });
    let pulls = timeout(PATIENCE, futures_util::future::join_all(pulls)).await;
    pulls.expect("pulls wait for idle connections");
    // They were in nobody's way, so they are still there.
    let mut last = idlers.pop().unwrap();
    last.write_all(PING).await.unwrap();
    assert!(last.read(&mut [0; 1024]).await.unwrap() > 0);
}

#[tokio::test]
async fn idle_connections_make_room_when_all_places_are_taken() {
    let mut plan = Plan::default();
    plan.front.max_connections = 40;
    let (house, path) = patient(plan).await;
    let mut idlers = Vec::new();
    for _ in 0..39 {
        idlers.push(idle(&house, ONE).await);
    }
    let working = busy(&house, ONE, &path).await;
    let pulls = (0..10).map(|_| async {
        let response = busy(&house, OTHER, &path).await;
        assert!(is_whole(response).await);
    });
    let pulls = timeout(PATIENCE, futures_util::future::join_all(pulls)).await;
    pulls.expect("newcomers wait for idle connections");
    assert!(is_whole(working).await, "who was served was cut");
}

#[tokio::test]
async fn where_all_are_busy_a_newcomer_waits_for_one_to_end() {
    let mut plan = Plan::default();
    plan.front.max_connections = 2;
    let (house, path) = patient(plan).await;
    let first = busy(&house, ONE, &path).await;
    let second = busy(&house, ONE, &path).await;
    let mut third = connect_from(OTHER, house.address).await;
    third.write_all(PING).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(1500), third.read(&mut byte)).await;
    assert!(early.is_err(), "a third was served beside two");
    assert!(is_whole(first).await);
    let served = timeout(PATIENCE, third.read(&mut byte)).await;
    assert_eq!(served.expect("the third still waits").unwrap(), 1);
    assert!(is_whole(second).await);
}

#[tokio::test]
async fn one_client_can_not_take_all_places() {
    let mut plan = Plan::default();
    plan.front.max_connections_per_client = 4;
    let (house, path) = patient(plan).await;
    let mut working = Vec::new();
    for _ in 0..4 {
        working.push(busy(&house, ONE, &path).await);
    }
    // All of its connections are busy: no further one is served.
    for _ in 0..20 {
        let mut refused = connect_from(ONE, house.address).await;
        let _ = refused.write_all(PING).await;
        let read = timeout(PATIENCE, refused.read(&mut [0; 64])).await;
        let read = read.expect("a connection too many was left open");
        assert!(matches!(read, Ok(0) | Err(_)), "a fifth was served");
    }
    assert_eq!(
        ask_from(OTHER, house.address, "/v2/", &[]).await.status,
        200
    );
    assert!(is_whole(working.pop().unwrap()).await);
    // Its own idle connection gives way, as soon as it has been idle for a while.
    let _idle = idle(&house, ONE).await;
    let served = async {
        loop {
            let mut next = connect_from(ONE, house.address).await;
            let _ = next.write_all(PING).await;
            if next.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
    };
    timeout(PATIENCE, served).await.expect("no place was made");
    for response in working {
        assert!(is_whole(response).await, "who was served was cut");
    }
}

#[tokio::test]
async fn hundreds_that_vanish_in_mid_body_leave_nothing_behind() {
    allow_many_files();
    let (house, path) = patient(Plan::default()).await;
    let vanish = async {
        for _ in 0..300 {
            let stream = connect_from(ONE, house.address).await;
            // What is not read when it is closed makes that a reset.
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(over_h1(stream, request("GET", &path, &[])).await);
        }
    };
    let pulls = async {
        for _ in 0..6 {
            assert!(is_whole(busy(&house, OTHER, &path).await).await);
        }
    };
    tokio::join!(vanish, pulls);
    assert_eq!(get(house.address, "/v2/").await.status, 200);
    // Nothing of them has to be cut, nor waited for.
    let (run, folder) = house.shut_down();
    assert_eq!(run.await.unwrap(), 0);
    drop(folder);
}

/// A thousand at the same moment: whoever finds no room in the queue would try again after a second.
#[tokio::test]
async fn all_may_come_at_the_same_moment() {
    const CROWD: usize = 1000;
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    if allowed.trim().parse::<usize>().unwrap() < CROWD {
        eprintln!("not tried: this system allows shorter queues only (net.core.somaxconn)");
        return;
    }
    let house = House::build().await;
    // This is the only thread: nobody accepts while they come.
    let come = |_| std::net::TcpStream::connect_timeout(&house.address, PATIENCE);
    let crowd: Result<Vec<_>, _> = (0..CROWD).map(come).collect();
    assert_eq!(crowd.unwrap().len(), CROWD);
    assert_eq!(get(house.address, "/v2/").await.status, 200);
}
