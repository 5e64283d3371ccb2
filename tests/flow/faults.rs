//! Never a wrong byte, whatever the upstream does.

use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::When;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

#[tokio::test(flavor = "multi_thread")]
async fn another_blob_in_its_place_is_never_served() {
    let rig = Rig::start().await;
    let wanted = Content::generated(10, 3).digest();
    rig.up
        .put_blob_as("demo/app", &wanted, Content::generated(10, 4));
    // A small blob waits whole for its digest, so that not even the header need come.
    let url = rig.url(&format!("demo/app/blobs/{wanted}"));
    if let Ok(reply) = rig.client.get(url).send().await {
        let (read, error) = reply.bytes_until_error().await;
        assert!(error.is_some() && read.is_empty());
    }
    rig.flow.settled().await;
    assert_eq!(rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stops_sending_is_left_and_resumed() {
    let rig = Rig::with(Setup::impatient()).await;
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 5);
    let gate = fake_registry::Gate::new();
    rig.up
        .fault(When::get(&digest).times(1), Fault::stall_after(MIB, &gate));
    let path = format!("demo/app/blobs/{digest}");
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    assert_eq!(rig.asked(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_manifest_is_refused() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.up.fault(
        When::get("manifests").times(1),
        Fault::wrong_digest_header(),
    );
    let reply = rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(reply.status.as_u16(), 502);
    assert_eq!(
        rig.manifest("demo/app/manifests/v1").await.status.as_u16(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_takes_nothing_fails_no_pull() {
    let rig = Rig::start().await;
    let tmp = rig.store().join("tidegate/tmp");
    std::fs::remove_dir_all(&tmp).unwrap();
    std::fs::write(&tmp, "a file where a folder must be").unwrap();
    let digest = rig.up.put_generated_blob("demo/app", 8 * MIB, 7);
    let path = format!("demo/app/blobs/{digest}");
    let reply = rig.get(&path).await;
    assert_eq!(cache(&reply), "BYPASS");
    assert_eq!(reply.digest().await.unwrap(), digest);
    let from = rig.range(&path, "bytes=4194304-").await;
    assert_eq!(from.status.as_u16(), 206);
    assert_eq!(from.bytes().await.unwrap().len() as u64, 4 * MIB);
    rig.up
        .fault(When::get(&digest), Fault::flip_bit_at(8 * MIB - 1));
    let (read, error) = rig.get(&path).await.bytes_until_error().await;
    assert!(error.is_some() && (read.len() as u64) < 8 * MIB);
    rig.put_image("demo/app", "v1", &[]);
    let manifest = rig.manifest("demo/app/manifests/v1").await;
    assert_eq!(manifest.status.as_u16(), 200);
}
