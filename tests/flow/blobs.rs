//! One upstream `GET` for all who want a blob, whoever comes late, reads slowly or leaves.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;
use futures_util::future::join_all;
use tidegate::flow::OnDisconnect;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

#[tokio::test(flavor = "multi_thread")]
async fn a_herd_costs_one_upstream_get() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 64 * MIB, 1);
    let path = format!("demo/app/blobs/{digest}");
    let pulls = (0..64).map(|_| async { rig.get(&path).await.digest().await });
    for pulled in join_all(pulls).await {
        assert_eq!(pulled.unwrap(), digest);
    }
    assert_eq!(
        rig.asked(),
        (0, 1),
        "{}",
        fake_registry::lines(&rig.up.log())
    );
    rig.flow.settled().await;
    let again = rig.get(&path).await;
    assert_eq!(cache(&again), "HIT");
    assert_eq!(again.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_stream_before_the_blob_is_whole_but_the_last_ones_wait() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 2);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(4 * MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut first = rig.get(&path).await;
    assert_eq!(cache(&first), "MISS");
    assert_eq!(first.content_length(), Some(8 * MIB));
    let head = first.read_exactly(4 << 20).await.unwrap();

    let mut late = rig.get(&path).await;
    assert_eq!(cache(&late), "JOIN");
    let same = late.read_exactly(4 << 20).await.unwrap();
    assert!(same == head, "from byte 0, while it grows");
    gate.open();
    let (rest, same) = (first.bytes().await.unwrap(), late.bytes().await.unwrap());
    assert!(rest.len() as u64 == 4 * MIB && rest == same);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_reads_slowly_changes_nothing_for_the_others() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 32 * MIB, 3);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut first = rig.get(&path).await;
    first.read_exactly(1000).await.unwrap();
    let mut slow = rig.get(&path).await;
    slow.read_exactly(1000).await.unwrap();
    let other = rig.get(&path).await;
    drop(first);
    gate.open();
    // The slow one reads nothing meanwhile: its socket's buffers hold far less than the blob.
    assert_eq!(other.digest().await.unwrap(), digest);
    assert_eq!(slow.bytes().await.unwrap().len() as u64, 32 * MIB - 1000);
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_finishes_when_everybody_left() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 4);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut only = rig.get(&path).await;
    only.read_exactly(1000).await.unwrap();
    drop(only);
    gate.open();
    rig.flow.settled().await;
    assert_eq!(cache(&rig.get(&path).await), "HIT");
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_is_given_up_when_everybody_left_where_that_is_wanted() {
    let setup = Setup {
        on_disconnect: OnDisconnect::Abort,
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 5);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest).times(1), Fault::stall_after(MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    let mut only = rig.get(&path).await;
    only.read_exactly(1000).await.unwrap();
    drop(only);
    rig.flow.settled().await;
    let again = rig.get(&path).await;
    assert_eq!(cache(&again), "MISS");
    assert_eq!(again.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_unknown_length_is_served_once_it_is_known() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 3 * MIB, 6);
    rig.up
        .fault(When::path(&digest), Fault::no_content_length());
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(reply.content_length(), Some(3 * MIB));
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_only_a_head_tells_lets_a_blob_be_followed_and_resumed() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 3 * MIB, 6);
    rig.up.fault(When::get(&digest), Fault::no_content_length());
    rig.up
        .fault(When::get(&digest).times(1), Fault::cut_after(MIB));
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(reply.content_length(), Some(3 * MIB));
    assert_eq!(reply.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_never_costs_a_body() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("demo/app", 3 * MIB, 7);
    let path = format!("demo/app/blobs/{digest}");
    let head = rig.head(&path).await;
    assert_eq!(
        (head.status.as_u16(), head.content_length()),
        (200, Some(3 * MIB))
    );
    assert_eq!(rig.asked(), (1, 0));
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    rig.flow.settled().await;
    assert_eq!(cache(&rig.head(&path).await), "HIT");
    assert_eq!(rig.asked(), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_tiny_blobs() {
    let rig = Rig::start().await;
    for content in [&b""[..], b"x"] {
        let digest = rig.up.put_blob("demo/app", content);
        for _ in 0..2 {
            let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
            assert_eq!(reply.bytes().await.unwrap(), content);
            rig.flow.settled().await;
        }
    }
    assert_eq!(rig.asked(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404_in_oci_s_form() {
    let rig = Rig::start().await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(reply.status.as_u16(), 404);
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "BLOB_UNKNOWN"
    );
}
