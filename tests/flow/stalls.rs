//! Upstreams that keep silent: each wait is bounded, and a transfer that moves is never cut.

use std::time::Duration;
use std::time::Instant;

use fake_registry::Blackhole;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Upstream;
use fake_registry::When;
use futures_util::future::join_all;
use tidegate::registry::Timeouts;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;
use crate::rig::timeouts;

/// A limit that nobody waits for; and far less than the sum of the waits that it is held against
/// would be without one.
const NEVER: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(500);
/// What a bounded wait takes at most, also on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

fn path(digest: &str) -> String {
    format!("demo/app/blobs/{digest}")
}

/// Only the limit that `which` makes short ends any wait.
fn only(which: impl Fn(&mut Timeouts)) -> Setup {
    let mut timeouts = timeouts(NEVER);
    which(&mut timeouts);
    Setup {
        timeouts,
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_not_made_is_given_up() {
    let hole = Blackhole::new().await;
    let rig = Rig::with(Setup {
        url: Some(format!("http://{}", hole.address())),
        ..only(|timeouts| timeouts.connect = SHORT)
    })
    .await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 3001);
    let since = Instant::now();
    for path in [path(&digest), "demo/app/manifests/v1".into()] {
        let reply = rig.manifest(&path).await;
        assert_eq!(reply.status.as_u16(), 504);
        let error = reply.json().await.unwrap();
        let message = error["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("no connection to 127.0.0.1"), "{message}");
    }
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    assert_eq!(rig.state().retries, 2, "each is tried once more");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_is_asked_where_the_first_can_not_be_connected_to() {
    let (hole, mirror) = (Blackhole::new().await, Upstream::start().await);
    let rig = Rig::with(Setup {
        url: Some(format!("http://{}", hole.address())),
        fallback: vec![mirror.url()],
        ..only(|timeouts| timeouts.connect = SHORT)
    })
    .await;
    let digest = mirror.put_generated_blob("demo/app", MIB, 3002);
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_does_not_come_is_given_up() {
    let rig = Rig::with(only(|timeouts| timeouts.header = SHORT)).await;
    let digest = rig.up.put_generated_blob("demo/app", MIB, 3003);
    let gate = Gate::new();
    rig.up.fault(When::get(&digest), Fault::stall_header(&gate));
    let since = Instant::now();
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.status.as_u16(), 504);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    assert_eq!(rig.asked(), (0, 2), "it is tried once more");
    gate.open();
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_go_on_is_given_up() {
    let rig = Rig::with(only(|timeouts| timeouts.idle_body = SHORT)).await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 3004);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(0, &gate));
    rig.up.fault(
        When::get(&digest).times(1),
        Fault::stall_after(2 * MIB, &gate),
    );
    let since = Instant::now();
    let (read, error) = rig.get(&path(&digest)).await.bytes_until_error().await;
    assert!(error.is_some() && read.len() as u64 == 2 * MIB);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    rig.flow.settled().await;
    gate.open();
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_does_not_go_on_is_given_up() {
    let rig = Rig::with(only(|timeouts| timeouts.idle_body = SHORT)).await;
    rig.put_image("demo/app", "v1", &[]);
    let gate = Gate::new();
    rig.up
        .fault(When::get("manifests"), Fault::stall_after(10, &gate));
    let since = Instant::now();
    let reply = rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(reply.status.as_u16(), 504);
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
}

/// As a transfer of two hours is with the timeouts of minutes.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_transfer_that_keeps_moving_is_never_cut() {
    const LIMIT: Duration = Duration::from_secs(2);
    let rig = Rig::with(only(|limits| *limits = timeouts(LIMIT))).await;
    let digest = rig.up.put_generated_blob("demo/app", 3 * MIB, 3005);
    // Three times as long as any limit.
    rig.up.fault(When::get(&digest), Fault::slow(MIB / 2));
    let since = Instant::now();
    let reply = rig.get(&path(&digest)).await;
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert!(since.elapsed() > 2 * LIMIT);
    assert_eq!((rig.asked(), rig.state().resumes), ((0, 1), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_upstream_that_stalls_does_not_hold_up_another() {
    const PLACES: usize = 4;
    let other = Upstream::start().await;
    let rig = Rig::with(Setup {
        max_concurrent: Some(PLACES),
        others: vec![("other.test", other.url())],
        ..Setup::default()
    })
    .await;
    let gate = Gate::new();
    rig.up.fault(When::any(), Fault::stall_header(&gate));
    let stalled: Vec<_> = (0..3 * PLACES as u64)
        .map(|seed| rig.up.put_generated_blob("demo/app", MIB, 3100 + seed))
        .collect();
    let waiting = stalled.iter().map(|digest| {
        let request = rig.client.get(rig.url(&path(digest)));
        tokio::spawn(async move { request.send().await.expect("an answer").digest().await })
    });
    let waiting: Vec<_> = waiting.collect();
    rig.up.wait_for(|log| log.len() == PLACES).await;

    let digest = other.put_generated_blob("demo/app", 8 * MIB, 3200);
    let manifest = other.put_manifest(
        "demo/app",
        "v1",
        tidegate::oci::media::OCI_MANIFEST,
        "{\"schemaVersion\":2}",
    );
    let blob = rig.get(&format!("other.test/{}", path(&digest))).await;
    assert_eq!(blob.digest().await.unwrap(), digest);
    let tag = rig.manifest("other.test/demo/app/manifests/v1").await;
    assert_eq!(tag.header("docker-content-digest"), Some(&*manifest));
    assert_eq!(rig.up.log().len(), PLACES, "its places are all taken still");

    gate.open();
    for (done, digest) in join_all(waiting).await.into_iter().zip(&stalled) {
        assert_eq!(&done.unwrap().unwrap(), digest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_waits_for_nobody() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 3300);
    let manifest = rig.put_image("demo/app", "stored", &[&digest]);
    rig.get(&path(&digest)).await.digest().await.unwrap();
    rig.manifest("demo/app/manifests/stored").await;
    rig.flow.settled().await;
    let gate = Gate::new();
    rig.up.fault(When::any(), Fault::stall_header(&gate));
    let blob = rig.get(&path(&digest)).await;
    assert_eq!(cache(&blob), "HIT");
    assert_eq!(blob.digest().await.unwrap(), digest);
    let by_digest = rig
        .manifest(&format!("demo/app/manifests/{manifest}"))
        .await;
    assert_eq!(cache(&by_digest), "HIT");
    // Its upstream is asked, for five seconds at most.
    let tag = rig.manifest("demo/app/manifests/stored").await;
    assert_eq!(cache(&tag), "STALE");
    assert!(
        tag.header("warning")
            .is_some_and(|text| text.starts_with("110"))
    );
}
