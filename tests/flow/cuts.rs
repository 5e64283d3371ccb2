//! Connections that break in mid-blob, and mirrors that stand in.

use bytes::Bytes;
use fake_registry::Client;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Recorded;
use fake_registry::Upstream;
use fake_registry::When;

use crate::log::lines_with;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const SIZE: u64 = 16 * MIB;

fn path(digest: &str) -> String {
    format!("demo/app/blobs/{digest}")
}

/// Where each request began, in bytes.
fn starts(log: &[Recorded]) -> Vec<u64> {
    let start = |recorded: &Recorded| match recorded.header("range") {
        None => 0,
        Some(range) => {
            let open = range
                .strip_prefix("bytes=")
                .and_then(|r| r.strip_suffix('-'));
            open.expect("an open range").parse().expect("a number")
        }
    };
    log.iter().map(start).collect()
}

fn sent(log: &[Recorded]) -> u64 {
    log.iter().map(|recorded| recorded.body_bytes_sent).sum()
}

fn whole(content: &Content) -> Vec<u8> {
    let mut all = Vec::new();
    while (all.len() as u64) < content.len() {
        all.extend_from_slice(&content.read(all.len() as u64, u64::MAX));
    }
    all
}

/// A rig whose upstream has a mirror; the content is put in both.
async fn mirrored(seed: u64) -> (Rig, Upstream, String) {
    let mirror = Upstream::start().await;
    let setup = Setup {
        fallback: vec![mirror.url()],
        ..Setup::impatient()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, seed);
    mirror.put_generated_blob("demo/app", SIZE, seed);
    (rig, mirror, digest)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_cuts_in_one_blob_go_unnoticed_and_no_byte_comes_twice() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 1001);
    rig.up
        .fault(When::get(&digest).times(5), Fault::cut_after(3 * MIB));
    let blob = path(&digest);
    let (first, second) = (rig.get(&blob), rig.get(&blob));
    let (first, second) = futures_util::future::join(first, second).await;
    assert_eq!(first.content_length(), Some(SIZE));
    assert_eq!(first.digest().await.unwrap(), digest);
    assert_eq!(second.digest().await.unwrap(), digest);
    rig.flow.settled().await;
    assert_eq!(cache(&rig.get(&path(&digest)).await), "HIT");
    let log = rig.up.log();
    assert_eq!(
        starts(&log),
        [0, 3, 6, 9, 12, 15].map(|start| start * MIB),
        "each from the last good byte on"
    );
    assert_eq!(sent(&log), SIZE, "{}", fake_registry::lines(&log));
    assert_eq!((rig.state().resumes, rig.state().mismatches), (5, 0));
    let told = lines_with(&digest);
    assert!(told.len() == 5 && told.iter().all(|line| line.contains("up.test/demo/app")));
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_go_unnoticed_too() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 1002);
    rig.up
        .fault(When::get(&digest).times(3), Fault::reset_after(4 * MIB));
    assert_eq!(
        rig.get(&path(&digest)).await.digest().await.unwrap(),
        digest
    );
    // What a reset takes away had not arrived: it is asked for again, and nothing else is.
    let log = rig.up.log();
    let starts = starts(&log);
    assert!(starts.len() == 4 && starts.is_sorted(), "{starts:?}");
    assert!(sent(&log) < SIZE + 12 * MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ignores_ranges_is_read_again_and_skipped() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 1003);
    rig.up.fault(When::get(&digest), Fault::ignore_range());
    rig.up
        .fault(When::get(&digest).times(1), Fault::cut_after(5 * MIB));
    assert_eq!(
        rig.get(&path(&digest)).await.digest().await.unwrap(),
        digest
    );
    let log = rig.up.log();
    assert_eq!(starts(&log), [0, 5 * MIB]);
    assert_eq!(log[1].status.unwrap().as_u16(), 200, "not a 206");
    assert_eq!(sent(&log), 5 * MIB + SIZE);
    assert_eq!(rig.state().mismatches, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_first_dies_in_mid_blob_the_next_one_continues() {
    let (rig, mirror, digest) = mirrored(1004).await;
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(6 * MIB, &gate));
    let mut reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.content_length(), Some(SIZE));
    let head = reply.read_exactly(6 << 20).await.unwrap();
    rig.up.stop().await;
    let rest = reply.bytes().await.unwrap();
    let content = whole(&Content::generated(SIZE, 1004));
    assert!([head, rest].concat() == content);
    let log = mirror.log();
    assert_eq!(starts(&log), [6 * MIB], "from the last good byte on");
    assert_eq!(sent(&rig.up.log()) + sent(&log), SIZE);
    rig.flow.settled().await;
    assert_eq!(cache(&rig.get(&path(&digest)).await), "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_that_answers_and_gives_nothing_is_left_for_the_next_one() {
    let faults: [fn(&Gate) -> Fault; 4] = [
        |_| Fault::cut_after(0),
        |gate| Fault::stall_after(0, gate),
        |_| Fault::other_range(7),
        |_| Fault::status(404),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let (rig, mirror, digest) = mirrored(1010 + number as u64).await;
        let gate = Gate::new();
        rig.up
            .fault(When::get(&digest).times(1), Fault::cut_after(6 * MIB));
        rig.up.fault(When::get(&digest).after(1), fault(&gate));
        let reply = rig.get(&path(&digest)).await;
        assert_eq!(reply.digest().await.unwrap(), digest, "fault {number}");
        assert_eq!(starts(&mirror.log()), [6 * MIB]);
        assert!(
            rig.asked().1 <= 3,
            "{}",
            fake_registry::lines(&rig.up.log())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_blob_comes_from_the_next_one_while_the_first_is_down() {
    let (rig, mirror, digest) = mirrored(1020).await;
    rig.up.stop().await;
    assert_eq!(
        rig.get(&path(&digest)).await.digest().await.unwrap(),
        digest
    );
    assert_eq!(mirror.gets_of(&digest).len(), 1);
}

/// The first gives 6 MiB and dies; the next one has the digest with other bytes.
async fn betrayed(other: Content, seed: u64) -> (Rig, String, Bytes) {
    let (rig, mirror, digest) = mirrored(seed).await;
    mirror.put_blob_as("demo/app", &digest, other);
    let gate = Gate::new();
    let stall = Fault::stall_after(6 * MIB, &gate);
    let stall = rig.up.fault(When::get(&digest), stall);
    let mut reply = rig.get(&path(&digest)).await;
    let head = reply.read_exactly(6 << 20).await.expect("6 MiB");
    rig.up.stop().await;
    let (rest, error) = reply.bytes_until_error().await;
    assert!(error.is_some(), "never told that it is complete");
    rig.flow.settled().await;
    assert_eq!(rig.unfinished(), 0);
    assert!(rig.state().mismatches > 0);
    let told = lines_with(&digest);
    assert!(
        told.iter().any(|line| line.contains("fill failed")),
        "{told:?}"
    );
    stall.lift();
    rig.up.restart().await;
    let healed = rig.get(&path(&digest)).await;
    assert_eq!(cache(&healed), "MISS", "nothing of it was kept");
    assert_eq!(healed.digest().await.expect("the blob"), digest);
    (rig, digest, [head, rest].concat().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_other_bytes_never_completes_a_blob() {
    let (_, _, read) = betrayed(Content::generated(SIZE, 9001), 1030).await;
    assert!(
        read.len() as u64 <= SIZE - (64 << 10),
        "the end is held back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_with_another_length_gives_no_byte_at_all() {
    let (_, _, read) = betrayed(Content::generated(SIZE + 5, 9002), 1031).await;
    assert!(read == whole(&Content::generated(SIZE, 1031))[..6 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_fail_the_answer_is_cut_short_and_nothing_is_appended() {
    let (rig, mirror, digest) = mirrored(1040).await;
    let first = rig.up.fault(When::get(&digest), Fault::cut_after(0));
    let early = rig
        .up
        .fault(When::get(&digest).times(1), Fault::cut_after(5 * MIB));
    let second = mirror.fault(When::any(), Fault::status(503));
    let raw = rig.raw(&path(&digest)).await;
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    let (header, body) = raw.split_at(end.expect("a header's end") + 4);
    let header = String::from_utf8_lossy(header).to_lowercase();
    assert!(header.starts_with("http/1.1 200 "));
    assert!(header.contains(&format!("content-length: {SIZE}\r\n")));
    assert!(body == &whole(&Content::generated(SIZE, 1040))[..5 << 20]);
    rig.flow.settled().await;
    assert_eq!(rig.unfinished(), 0);
    first.lift();
    early.lift();
    second.lift();
    assert_eq!(
        rig.get(&path(&digest)).await.digest().await.unwrap(),
        digest
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_stream_is_reset_and_the_connection_goes_on() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", SIZE, 1041);
    let other = rig.up.put_generated_blob("demo/app", MIB, 1042);
    rig.up.fault(When::get(&digest), Fault::cut_after(0));
    rig.up
        .fault(When::get(&digest).times(1), Fault::cut_after(5 * MIB));
    let client = Client::h2c();
    let ask = |digest: &str| client.get(rig.url(&path(digest))).send();
    let reply = ask(&digest).await.unwrap();
    assert_eq!(reply.content_length(), Some(SIZE));
    let (read, error) = reply.bytes_until_error().await;
    assert!(read == whole(&Content::generated(SIZE, 1041))[..5 << 20]);
    // Of an END_STREAM too early this client would say that it detected an error itself.
    let error = error.expect("a reset").to_string();
    assert!(error.contains("stream error received"), "{error}");
    assert_eq!(ask(&other).await.unwrap().digest().await.unwrap(), other);
}
