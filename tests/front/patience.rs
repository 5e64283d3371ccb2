//! How long a client may take for what.

use std::time::Duration;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::get;
use crate::house::House;
use crate::house::Plan;

const PATIENCE: Duration = Duration::from_millis(300);

async fn impatient() -> House {
    let mut plan = Plan::default();
    plan.front.header_timeout = PATIENCE;
    plan.front.idle_timeout = PATIENCE;
    plan.build().await
}

/// Sends `bytes`, then nothing, and waits for the end.
async fn hang_up_after(house: &House, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let start = Instant::now();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
    drop(ended.expect("the connection was never closed"));
    start.elapsed()
}

#[tokio::test]
async fn who_does_not_finish_a_header_is_hung_up_on_and_delays_nobody() {
    let house = impatient().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (silent, version, header, http2, second, ()) = tokio::join!(
        hang_up_after(&house, b""),
        hang_up_after(&house, b"PRI * HT"),
        hang_up_after(&house, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Slow: "),
        hang_up_after(&house, preface),
        hang_up_after(&house, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/"),
        async {
            let start = Instant::now();
            assert_eq!(get(house.address, "/v2/").await.status, 200);
            assert!(start.elapsed() < PATIENCE);
        },
    );
    for waited in [silent, version, header, http2, second] {
        assert!(waited >= PATIENCE / 2, "hung up after {waited:?}");
    }
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_hung_up_on() {
    let house = impatient().await;
    // More than the sockets' buffers and ours hold.
    let digest = house.put_blob("docker.io/a/b", &vec![7; 32 << 20]).await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let request = format!("GET /v2/a/b/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (run, folder) = house.shut_down();
    // The drain allows ten seconds: it ends because the connection did.
    assert_eq!(run.await.unwrap(), 0);
    drop(folder);
}
