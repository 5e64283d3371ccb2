//! Ranges: of what is stored, of what is coming, and far ahead of it.

use bytes::Bytes;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use futures_util::future::join_all;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

fn content(size: u64, seed: u64) -> Content {
    Content::generated(size, seed)
}

/// Bytes of a content; `Content::read` may give fewer than it is asked for.
fn part(content: &Content, start: u64, len: u64) -> Bytes {
    let mut read = Vec::new();
    while (read.len() as u64) < len {
        let at = start + read.len() as u64;
        read.extend_from_slice(&content.read(at, len - read.len() as u64));
    }
    read.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_stored_blob() {
    let rig = Rig::start().await;
    let content = content(MIB, 1);
    let digest = rig.up.put_content("demo/app", content.clone());
    let path = format!("demo/app/blobs/{digest}");
    rig.get(&path).await.digest().await.unwrap();
    rig.flow.settled().await;
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=5-99", 5, 100),
        ("bytes=1000000-", 1_000_000, MIB),
        ("bytes=-10", MIB - 10, MIB),
        ("bytes=5-99999999", 5, MIB),
    ] {
        let reply = rig.range(&path, range).await;
        assert_eq!(reply.status.as_u16(), 206, "{range}");
        let expected = format!("bytes {start}-{}/{MIB}", end - 1);
        assert_eq!(reply.header("content-range"), Some(&*expected));
        assert_eq!(
            reply.bytes().await.unwrap(),
            part(&content, start, end - start),
            "{range}"
        );
    }
    let beyond = rig.range(&path, &format!("bytes={MIB}-")).await;
    assert_eq!(beyond.status.as_u16(), 416);
    assert_eq!(
        beyond.header("content-range"),
        Some(&*format!("bytes */{MIB}"))
    );
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_part_of_a_cold_blob_does_not_cost_the_whole() {
    let rig = Rig::start().await;
    let content = content(64 * MIB, 2);
    let digest = rig.up.put_content("demo/app", content.clone());
    let path = format!("demo/app/blobs/{digest}");
    let reply = rig.range(&path, "bytes=1048576-1048675").await;
    assert_eq!((reply.status.as_u16(), cache(&reply)), (206, "BYPASS"));
    assert!(reply.bytes().await.unwrap() == part(&content, MIB, 100));
    let footer = rig.range(&path, "bytes=-100").await;
    assert_eq!(
        footer.bytes().await.unwrap(),
        part(&content, 64 * MIB - 100, 100)
    );
    assert_eq!(
        rig.up.log().iter().map(|r| r.body_bytes_sent).sum::<u64>(),
        200
    );
    assert_eq!(rig.flow.fills(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_there_already_comes_from_the_fill() {
    let rig = Rig::start().await;
    let content = content(16 * MIB, 3);
    let digest = rig.up.put_content("demo/app", content.clone());
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(8 * MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut whole = rig.get(&path).await;
    whole.read_exactly(8 << 20).await.unwrap();
    let reply = rig.range(&path, "bytes=1000-1999").await;
    assert_eq!(cache(&reply), "JOIN");
    assert!(reply.bytes().await.unwrap() == part(&content, 1000, 1000));
    let ahead = rig.range(&path, "bytes=15728640-15728649").await;
    gate.open();
    assert_eq!(cache(&ahead), "BYPASS");
    assert!(ahead.bytes().await.unwrap() == part(&content, 15 * MIB, 10));
    assert_eq!(whole.bytes().await.unwrap().len() as u64, 8 * MIB);
}

/// As containerd fetches a layer on several connections: each asks for all from its start on, and
/// leaves when it has its part.
#[tokio::test(flavor = "multi_thread")]
async fn parallel_open_ended_readers_share_one_pass_over_the_blob() {
    const READERS: u64 = 4;
    let setup = Setup {
        parallel_ranges: Some(1),
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let size = 64 * MIB;
    let content = content(size, 4);
    let digest = rig.up.put_content("demo/app", content.clone());
    let path = format!("demo/app/blobs/{digest}");
    // So slow that no reader's part comes by itself before the reader asks for it.
    rig.up.fault(When::get(&digest), Fault::slow(32 * MIB));
    let share = size / READERS;
    let readers = (0..READERS).map(|reader| {
        let (rig, path, content) = (&rig, &path, &content);
        async move {
            let start = reader * share;
            let mut reply = rig.range(path, &format!("bytes={start}-")).await;
            assert_eq!(reply.status.as_u16(), 206);
            let read = reply.read_exactly(share as usize).await.unwrap();
            assert!(
                read == part(content, start, share),
                "reader {reader} got other bytes"
            );
        }
    });
    join_all(readers).await;
    rig.flow.settled().await;
    assert_eq!(cache(&rig.get(&path).await), "HIT");
    let log = rig.up.log();
    assert_eq!(log.len() as u64, READERS, "{}", fake_registry::lines(&log));
    // What a request that was cut short had under way is all that comes twice.
    let sent: u64 = log.iter().map(|r| r.body_bytes_sent).sum();
    let under_way = (READERS - 1) * 8 * MIB;
    assert!(
        sent <= size + under_way,
        "{sent} bytes for a blob of {size}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_pull_of_a_cold_blob_gets_its_part_at_once() {
    let rig = Rig::start().await;
    let content = content(32 * MIB, 5);
    let digest = rig.up.put_content("demo/app", content.clone());
    let path = format!("demo/app/blobs/{digest}");
    let gate = Gate::new();
    let from_the_start = When::get(&digest).and(|request| request.header("range").is_none());
    rig.up.fault(from_the_start, Fault::stall_after(MIB, &gate));
    let mut resumed = rig.range(&path, "bytes=20971520-").await;
    assert_eq!(resumed.status.as_u16(), 206);
    let read = resumed.read_exactly(10 << 20).await.unwrap();
    assert!(
        read == part(&content, 20 * MIB, 10 * MIB),
        "though the start is stalled"
    );
    gate.open();
    assert_eq!(resumed.bytes().await.unwrap().len() as u64, 2 * MIB);
    rig.flow.settled().await;
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_without_ranges_is_read_once() {
    let rig = Rig::start().await;
    let content = content(16 * MIB, 6);
    let digest = rig.up.put_content("demo/app", content.clone());
    let path = format!("demo/app/blobs/{digest}");
    rig.up.fault(When::get(&digest), Fault::ignore_range());
    let bounded = rig.range(&path, "bytes=10485760-10485859").await;
    assert_eq!(bounded.status.as_u16(), 206);
    assert_eq!(
        bounded.bytes().await.unwrap(),
        part(&content, 10 * MIB, 100)
    );
    rig.flow.settled().await;
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    let whole = rig
        .up
        .log()
        .iter()
        .filter(|r| r.body_bytes_sent == 16 * MIB)
        .count();
    assert_eq!(whole, 1, "{}", fake_registry::lines(&rig.up.log()));
}
