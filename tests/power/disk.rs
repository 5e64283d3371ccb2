//! A disk that is full, or becomes full, or read-only: a small file system of its own under the
//! proxy's store.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Reply;
use fake_registry::When;
use fake_registry::digest_of;
use futures_util::future::join_all;

use crate::need;
use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

/// The store is a disk of so many MiB, which only the proxy sees.
fn on_disk_of(size: u64) -> Setup {
    Setup::wrapped(&format!(
        "mkdir -p store\nexec unshare --mount sh -c '\n\
         mount -t tmpfs -o size={size}m tmpfs store && exec \"$@\"' sh \"$@\""
    ))
}

/// Fills the disk to the last byte, beside the store. Returns the file that takes the room.
fn fill(rig: &Rig) -> std::path::PathBuf {
    let path = rig.inside(&rig.store().join("filler"));
    let mut file = File::create(&path).unwrap();
    let block = vec![1; 1 << 16];
    let error = loop {
        if let Err(error) = file.write_all(&block) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_least_recently_used_goes() {
    if !need::may_mount() {
        return;
    }
    let rig = Rig::with(on_disk_of(24)).await;
    let mut digests = Vec::new();
    for seed in 0..5 {
        digests.push(rig.store_blob(8 * MIB - (1 << 18), seed).await);
    }
    let image = rig.put_image("v1", 9);
    rig.pull_image("v1", &image).await;
    assert_eq!(rig.pull(&digests[4]).await, "HIT");
    assert_eq!(rig.pull(&digests[0]).await, "MISS", "it had to go");
    rig.ready(200).await;
    rig.pull_image("v1", &image).await;
    rig.logged("the disk is full: the least recently used was evicted")
        .await;
    // What can't fit at all makes nobody go, and costs one request.
    rig.settled().await;
    let large = rig.up.put_generated_blob(APP, 25 * MIB, 10);
    assert_eq!(rig.pull(&large).await, "BYPASS");
    assert_eq!(rig.up.gets_of(&large).len(), 1);
    assert_eq!(rig.pull(&digests[0]).await, "HIT");
    rig.logged("passing a blob on unstored").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_disk_that_others_filled_all_is_passed_on_until_there_is_room() {
    if !need::may_mount() {
        return;
    }
    let rig = Rig::with(on_disk_of(16)).await;
    let filler = fill(&rig);
    let said = rig.ready(503).await;
    assert!(said.contains("the disk is full"), "{said}");

    let blob = rig.up.put_generated_blob(APP, 8 * MIB, 1);
    assert_eq!(rig.pull(&blob).await, "BYPASS");
    assert_eq!(rig.up.gets_of(&blob).len(), 1);
    let image = rig.put_image("v1", 2);
    rig.pull_image("v1", &image).await;
    rig.pull_image("v1", &image).await;

    let cut = rig.up.put_generated_blob(APP, 8 * MIB, 3);
    rig.up
        .fault(When::get(&cut).times(5), Fault::cut_after(MIB));
    assert_eq!(rig.pull(&cut).await, "BYPASS");
    assert_eq!(rig.up.gets_of(&cut).len(), 6);
    let range = rig.client.get(rig.url(&format!("blobs/{cut}")));
    let range = range.range("5000000-").send().await.unwrap();
    assert_eq!(range.status.as_u16(), 206);
    assert_eq!(
        range.bytes().await.unwrap().len() as u64,
        8 * MIB - 5_000_000
    );

    let flipped = rig.up.put_generated_blob(APP, 8 * MIB, 4);
    rig.up
        .fault(When::get(&flipped), Fault::flip_bit_at(8 * MIB - 1));
    let reply = rig.get(&format!("blobs/{flipped}")).await;
    let (read, error) = reply.bytes_until_error().await;
    assert!(error.is_some() && (read.len() as u64) < 8 * MIB);

    fs::remove_file(filler).unwrap();
    rig.ready(200).await;
    assert_eq!(rig.pull(&blob).await, "MISS");
    rig.settled().await;
    assert_eq!(rig.pull(&blob).await, "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_a_blob_of_unknown_length_is_passed_on() {
    if !need::may_mount() {
        return;
    }
    let rig = Rig::with(on_disk_of(16)).await;
    fill(&rig);
    for (seed, when) in [(1, When::get("blobs")), (2, When::path("blobs"))] {
        let digest = rig.up.put_generated_blob(APP, 6 * MIB, seed);
        let fault = rig.up.fault(when, Fault::no_content_length());
        let reply = rig.get(&format!("blobs/{digest}")).await;
        assert_eq!(cache(&reply), "BYPASS");
        assert_eq!(reply.content_length(), Some(6 * MIB));
        assert_eq!(reply.digest().await.unwrap(), digest);
        fault.lift();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_in_mid_blob_fails_no_pull() {
    if !need::may_mount() {
        return;
    }
    let rig = Rig::with(on_disk_of(24)).await;
    let digest = rig.up.put_generated_blob(APP, 16 * MIB, 1);
    let gate = Gate::new();
    rig.up.fault(
        When::get(&digest).times(1),
        Fault::stall_after(8 * MIB, &gate),
    );
    let mut begun: Vec<Reply> = Vec::new();
    for client in [Client::new(), Client::h2c(), Client::new()] {
        let url = rig.url(&format!("blobs/{digest}"));
        begun.push(client.get(url).send().await.unwrap());
    }
    fill(&rig);
    gate.open();
    for got in join_all(begun.into_iter().map(Reply::digest)).await {
        assert_eq!(got.unwrap(), digest, "{}", rig.proxy.log());
    }
    rig.logged("No space left on device").await;
    rig.settled().await;
    assert_eq!(rig.leftovers(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_makes_room_when_the_disk_fills_up_in_mid_blob() {
    if !need::may_mount() {
        return;
    }
    let rig = Rig::with(on_disk_of(24)).await;
    let old = rig.store_blob(8 * MIB, 1).await;
    let digest = rig.up.put_generated_blob(APP, 8 * MIB, 2);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(4 * MIB, &gate));
    let mut reply = rig.get(&format!("blobs/{digest}")).await;
    // What a client has is on the disk: nothing else is written while it is filled.
    let begun = reply.read_exactly(4 * MIB as usize).await.unwrap();
    fill(&rig);
    gate.open();
    let all = [begun, reply.bytes().await.unwrap()].concat();
    assert_eq!(digest_of(&all), digest);
    rig.settled().await;
    assert!(!rig.inside(&rig.blob(&old)).exists(), "it had to go");
    assert_eq!(rig.pull(&digest).await, "HIT", "{}", rig.proxy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_serves_what_it_has_and_passes_on_the_rest() {
    if !need::may_mount() {
        return;
    }
    let mut rig = Rig::with(on_disk_of(64)).await;
    let kept = rig.store_blob(4 * MIB, 1).await;
    let image = rig.put_image("v1", 2);
    rig.pull_image("v1", &image).await;
    rig.settled().await;
    rig.mount("-o remount,ro store").await;
    let said = rig.ready(503).await;
    assert!(said.contains("Read-only file system"), "{said}");

    rig.up.clear_log();
    assert_eq!(rig.pull(&kept).await, "HIT");
    rig.pull_image("v1", &image).await;
    assert_eq!(rig.up.log().len(), 0, "what is stored is not asked for");
    let other = rig.up.put_generated_blob(APP, 4 * MIB, 3);
    assert_eq!(rig.pull(&other).await, "BYPASS");
    assert_eq!(rig.up.gets_of(&other).len(), 1);
    let new = rig.put_image("v2", 4);
    rig.pull_image("v2", &new).await;

    rig.mount("-o remount,rw store").await;
    rig.ready(200).await;
    assert_eq!(rig.pull(&other).await, "MISS");
    rig.settled().await;
    assert_eq!(rig.pull(&other).await, "HIT");
}
