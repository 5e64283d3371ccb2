//! Several ranges of one large blob at a time.
//!
//! What makes an upstream slow here is what many CDNs do: each connection has its limit. The first
//! request of a blob gets so many bytes a second, and what is asked for in ranges comes as it can.

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use fake_registry::Content;
use fake_registry::Ended;
use fake_registry::Fault;
use fake_registry::FaultHandle;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::Recorded;
use fake_registry::Upstream;
use fake_registry::When;
use http::Version;
use tidegate::ledger::Reason;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

/// A blob of this size has five parts of 16 MiB, and a rest.
const SIZE: u64 = 96 * MIB;
/// How fast the first request of a blob is, in bytes a second: so slow that ranges are worth it, on
/// whatever machine.
const SPEED: u64 = 6 * MIB;
/// As fast, where it brings all: what is left of a blob after a second takes five.
const FASTER: u64 = 16 * MIB;
/// How many are asked for at a time where nothing else is configured.
const AT_ONCE: usize = 4;

fn plain(digest: &str) -> When {
    When::get(digest).and(|request| request.header("range").is_none())
}

fn ranged(digest: &str) -> When {
    When::get(digest).and(|request| request.header("range").is_some())
}

/// Puts a blob at `up` whose first request is slow.
fn put(up: &Upstream, seed: u64) -> (String, String) {
    put_at(up, seed, SPEED)
}

fn put_at(up: &Upstream, seed: u64, speed: u64) -> (String, String) {
    let digest = up.put_content("demo/app", Content::generated(SIZE, seed));
    up.fault(plain(&digest), Fault::slow(speed));
    let path = format!("demo/app/blobs/{digest}");
    (digest, path)
}

/// What a request asked for, of a blob of `size` bytes.
fn asked(request: &Recorded, size: u64) -> Option<Range<u64>> {
    let range = request.header("range")?.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    let end = last.parse().map_or(size, |last: u64| last + 1);
    Some(first.parse().ok()?..end)
}

/// That the first request is a plain one, and that the others are ranges that begin where it stops,
/// follow each other and end with the blob; asked for in this order, but for those that leave together.
fn assert_covered_once(log: &[Recorded], size: u64) {
    let lines = fake_registry::lines(log);
    let (first, others) = log.split_first().expect("a request");
    assert!(first.header("range").is_none(), "{lines}");
    let mut ranges: Vec<_> = others.iter().filter_map(|it| asked(it, size)).collect();
    assert_eq!(ranges.len(), others.len(), "all are ranges:\n{lines}");
    let came = ranges.clone();
    ranges.sort_by_key(|range| range.start);
    let place = |range: &Range<u64>| came.iter().position(|it| it == range);
    let moved = ranges
        .iter()
        .enumerate()
        .map(|(at, it)| place(it).map(|place| place.abs_diff(at)));
    assert!(moved.max() < Some(Some(AT_ONCE)), "{lines}");
    ranges.push(size..size);
    let follow = |pair: &[Range<u64>]| pair[0].end == pair[1].start;
    assert!(ranges.windows(2).all(follow), "{lines}");
    assert!(first.body_bytes_sent >= ranges[0].start, "{lines}");
}

async fn all_ended(up: &Upstream) {
    let over = |log: &[Recorded]| log.iter().all(|request| request.ended != Ended::Open);
    up.wait_for(over).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_blob_is_asked_for_in_parts_each_of_them_once() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 1);
    let whole = rig.get(&path).await;
    assert_eq!(cache(&whole), "MISS");
    assert_eq!(whole.digest().await.unwrap(), digest);
    rig.flow.settled().await;
    all_ended(&rig.up).await;
    let log = rig.up.log();
    assert_covered_once(&log, SIZE);
    assert!(log.len() > 3, "{}", fake_registry::lines(&log));
    assert_eq!(cache(&rig.get(&path).await), "HIT");
    // What the first request had in our hands when it came to the part that others bring.
    let books = rig.books().await;
    let surplus = books.discarded[&Reason::Surplus];
    assert_eq!(books.upstream_received, SIZE + surplus);
    assert!(surplus <= MIB / 8, "{surplus}");
    assert_eq!((books.committed, books.imbalance), (SIZE, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_are_asked_for_at_a_time_and_the_follower_reads_in_order() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 2);
    let gate = Gate::new();
    rig.up
        .fault(ranged(&digest), Fault::stall_after(MIB, &gate));
    let mut whole = rig.get(&path).await;
    rig.up.wait_for(|log| log.len() >= 4).await;
    let log = rig.up.log();
    assert_eq!(log.len(), 4, "{}", fake_registry::lines(&log));
    let first = asked(&log[1], SIZE).unwrap().start;
    assert!(first < 48 * MIB, "not far ahead of who reads");
    let content = Content::generated(SIZE, 2);
    // All before the ranges, and of the first of them what has come.
    for at in 0..first / MIB {
        let read = whole.read_exactly(MIB as usize).await.unwrap();
        assert!(read == part(&content, at * MIB, MIB), "MiB {at}");
    }
    gate.open();
    let rest = whole.bytes().await.unwrap();
    let start = first / MIB * MIB;
    assert!(rest == part(&content, start, SIZE - start));
}

/// Bytes of a content; `Content::read` may give fewer than it is asked for.
fn part(content: &Content, start: u64, len: u64) -> Vec<u8> {
    let mut read = Vec::new();
    while (read.len() as u64) < len {
        let at = start + read.len() as u64;
        read.extend_from_slice(&content.read(at, len - read.len() as u64));
    }
    read
}

/// Fetches a blob of `size` bytes, and gives how many requests that took.
async fn requests(rig: &Rig, size: u64) -> usize {
    let digest = rig
        .up
        .put_content("demo/app", Content::generated(size, size));
    rig.up.fault(plain(&digest), Fault::slow(FASTER));
    let path = format!("demo/app/blobs/{digest}");
    assert_eq!(
        rig.get(&path).await.digest().await.expect("all of it"),
        digest
    );
    rig.up.log().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_blob_is_one_request_however_slow() {
    let rig = Rig::start().await;
    assert_eq!(requests(&rig, 64 * MIB).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_switched_off_it_is_one_request() {
    let setup = Setup {
        parallel_ranges: Some(1),
        ..Setup::default()
    };
    assert_eq!(requests(&Rig::with(setup).await, SIZE).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_place_would_be_left_for_others_it_is_one_request() {
    let setup = Setup {
        max_concurrent: Some(2),
        ..Setup::default()
    };
    assert_eq!(requests(&Rig::with(setup).await, SIZE).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_answer_says_that_there_are_no_ranges_none_is_asked_for() {
    let rig = Rig::start().await;
    let no_ranges = Fault::extra_header("accept-ranges", "none");
    rig.up.fault(When::path("/blobs/"), no_ranges);
    assert_eq!(requests(&rig, SIZE).await, 1);
}

/// Pulls two slow blobs where ranges are of no use: one range is tried, and only for the first of
/// them.
async fn tried_once(rig: &Rig, useless: impl Fn(&str) -> FaultHandle) {
    for (seed, expected) in [(3, 2), (4, 1)] {
        rig.up.clear_log();
        let (digest, path) = put_at(&rig.up, seed, FASTER);
        let hits = useless(&digest);
        assert_eq!(
            rig.get(&path).await.digest().await.expect("all of it"),
            digest
        );
        let log = rig.up.log();
        assert_eq!(log.len(), expected, "{}", fake_registry::lines(&log));
        assert_eq!(hits.hits(), expected - 1);
        assert_eq!(log[0].body_bytes_sent, SIZE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_ignores_ranges_is_tried_once() {
    let rig = Rig::start().await;
    tried_once(&rig, |digest| {
        rig.up.fault(ranged(digest), Fault::ignore_range())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_refuses_ranges_is_tried_once_and_the_first_request_brings_all() {
    for status in [429, 503, 403] {
        let rig = Rig::start().await;
        tried_once(&rig, |digest| {
            let refusal = Fault::status(status).header("retry-after", "1");
            rig.up.fault(ranged(digest), refusal)
        })
        .await;
        assert_eq!(rig.state().resumes, 0, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_in_mid_blob_is_waited_for_and_one_request_brings_the_rest() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 5);
    let refusal = Fault::status(429).header("retry-after", "1");
    let refused = rig.up.fault(ranged(&digest).nth(3), refusal);
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    assert_eq!(refused.hits(), 1);
    let mut log = rig.up.log();
    log.retain(|request| request.status.is_some_and(|status| status != 429));
    let lines = fake_registry::lines(&log);
    let ranges = log.iter().filter_map(|request| asked(request, SIZE));
    let last = ranges.max_by_key(|range| range.end).unwrap();
    assert!(
        last.end - last.start > 16 * MIB,
        "not part by part:\n{lines}"
    );
    assert_covered_once(&log, SIZE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_breaks_off_is_resumed_at_its_last_byte() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 6);
    rig.up
        .fault(ranged(&digest).times(2), Fault::cut_after(4 * MIB));
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    assert_eq!(rig.state().resumes, 2);
    let books = rig.books().await;
    let received = books.upstream_received;
    assert!(received < SIZE + MIB, "{received}");
    assert_eq!((books.committed, books.imbalance), (SIZE, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_in_a_range_is_given_to_nobody_as_a_whole() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 7);
    let wrong = rig.up.fault(ranged(&digest), Fault::flip_bit_at(70 * MIB));
    assert!(rig.get(&path).await.bytes().await.is_err());
    assert!(wrong.hits() > 0);
    rig.flow.settled().await;
    assert_eq!(rig.state().mismatches, 1);
    wrong.lift();
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
}

/// Answers `up`'s requests for the blob by a redirect to `cdn`, which has it, and is slow.
fn redirect(up: &Upstream, cdn: &Upstream, seed: u64) -> (String, String) {
    let (digest, path) = put(cdn, seed);
    up.put_content("demo/app", Content::generated(SIZE, seed));
    up.fault(When::get(&digest), Fault::redirect_to_host(&cdn.url()));
    (digest, path)
}

fn connections(log: &[Recorded]) -> usize {
    let peers: HashSet<_> = log.iter().map(|request| request.peer).collect();
    peers.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_go_where_the_registry_led_to_and_it_is_asked_once() {
    let rig = Rig::start().await;
    let cdn = Upstream::start().await;
    let (digest, path) = redirect(&rig.up, &cdn, 8);
    let gate = Gate::new();
    cdn.fault(ranged(&digest), Fault::stall_after(MIB, &gate));
    let whole = rig.get(&path).await;
    cdn.wait_for(|log| log.len() >= 4).await;
    assert_eq!(connections(&cdn.log()), 4, "each over one of its own");
    gate.open();
    assert_eq!(whole.digest().await.unwrap(), digest);
    assert_covered_once(&cdn.log(), SIZE);
    assert_eq!(rig.asked(), (0, 1), "the registry itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_place_that_it_led_to_is_good_no_more_the_registry_is_asked_again() {
    let rig = Rig::start().await;
    let cdn = Upstream::start().await;
    let (digest, path) = redirect(&rig.up, &cdn, 9);
    let expired = cdn.fault(ranged(&digest).times(1), Fault::status(403));
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    assert_eq!(expired.hits(), 1);
    assert_eq!(rig.asked(), (0, 2));
    let mut log = cdn.log();
    log.retain(|request| request.status.is_some_and(|status| status != 403));
    assert_covered_once(&log, SIZE);
    assert!(log.len() > 3, "{}", fake_registry::lines(&log));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_http2_each_range_has_a_connection_of_its_own() {
    let pki = Pki::new();
    let up = Upstream::builder().tls(&pki).start().await;
    let setup = Setup {
        ca: Some(pki.ca_file()),
        ..Setup::default()
    };
    let rig = Rig::before(up, setup).await;
    let (digest, path) = put(&rig.up, 10);
    let gate = Gate::new();
    rig.up
        .fault(ranged(&digest), Fault::stall_after(MIB, &gate));
    let whole = rig.get(&path).await;
    rig.up.wait_for(|log| log.len() >= 4).await;
    let log = rig.up.log();
    assert_eq!(log[0].version, Version::HTTP_2);
    assert!(log[1..].iter().all(|it| it.version == Version::HTTP_11));
    assert_eq!(connections(&log), log.len());
    gate.open();
    assert_eq!(whole.digest().await.unwrap(), digest);
    assert_covered_once(&rig.up.log(), SIZE);
    assert!(rig.up.connections() <= 5, "they are used again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_far_ahead_and_who_joins_get_the_same_bytes() {
    let rig = Rig::start().await;
    let (digest, path) = put(&rig.up, 11);
    let whole = rig.get(&path).await;
    rig.up.wait_for(|log| log.len() >= 3).await;
    let far = rig.range(&path, &format!("bytes={}-", 90 * MIB)).await;
    let joined = rig.get(&path).await;
    assert_eq!(cache(&joined), "JOIN");
    let content = Content::generated(SIZE, 11);
    assert!(far.bytes().await.unwrap() == part(&content, 90 * MIB, 6 * MIB));
    assert_eq!(whole.digest().await.unwrap(), digest);
    assert_eq!(joined.digest().await.unwrap(), digest);
    let books = rig.books().await;
    let received = books.upstream_received;
    assert!(received <= SIZE + MIB, "{received}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_everybody_leaves_all_ranges_are_ended() {
    let setup = Setup {
        on_disconnect: tidegate::flow::OnDisconnect::Abort,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let (digest, path) = put(&rig.up, 12);
    let gate = Gate::new();
    rig.up
        .fault(ranged(&digest), Fault::stall_after(MIB, &gate));
    let whole = rig.get(&path).await;
    rig.up.wait_for(|log| log.len() >= 4).await;
    drop(whole);
    tokio::time::timeout(Duration::from_secs(15), rig.flow.settled())
        .await
        .expect("the fill has ended");
    gate.open();
    all_ended(&rig.up).await;
    assert_eq!(rig.unfinished(), 0);
}
