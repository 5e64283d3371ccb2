//! A store's folder that goes away under the proxy.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use crate::need;
use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_removed_while_it_serves_is_begun_anew() {
    let rig = Rig::start().await;
    let stored = rig.store_blob(4 * MIB, 1).await;
    let image = rig.put_image("v1", 2);
    rig.pull_image("v1", &image).await;
    let digest = rig.up.put_generated_blob(APP, 8 * MIB, 3);
    let gate = Gate::new();
    rig.up.fault(
        When::get(&digest).times(1),
        Fault::stall_after(4 * MIB, &gate),
    );
    let mut under_way = rig.get(&format!("blobs/{digest}")).await;
    let head = under_way.read_exactly(MIB as usize).await.unwrap();
    remove(&rig.store());
    gate.open();
    let rest = under_way.bytes().await.unwrap();
    assert_eq!(
        fake_registry::digest_of(&[&head[..], &rest].concat()),
        digest
    );
    rig.settled().await;

    rig.ready(200).await;
    rig.logged("the store's folder was gone: another one is begun")
        .await;
    for digest in [&stored, &digest] {
        assert_eq!(rig.pull(digest).await, "MISS");
        rig.stored(digest).await;
        assert_eq!(rig.pull(digest).await, "HIT");
    }
    rig.pull_image("v1", &image).await;
    // Parts of it, too.
    for part in ["tidegate", "docker", "docker/registry/v2/repositories"] {
        remove(&rig.store().join(part));
        rig.pull_image("v1", &image).await;
        rig.pull(&stored).await;
        rig.settled().await;
        assert_eq!(rig.pull(&stored).await, "HIT", "{part}");
        rig.ready(200).await;
    }
    let report = rig.offline_json("verify");
    assert_eq!(report["problems"], serde_json::json!([]));
}

/// Removes a folder, again where the proxy puts something into it meanwhile.
fn remove(folder: &Path) {
    while let Err(error) = fs::remove_dir_all(folder) {
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_gone_is_told_and_taken_back() {
    if !need::may_mount() {
        return;
    }
    let mut rig = Rig::with(Setup::wrapped(
        "mkdir -p volume store\nexec unshare --mount sh -c '\n\
         mount -t tmpfs -o size=64m tmpfs volume && mount --bind volume store && exec \"$@\"' sh \"$@\"",
    ))
    .await;
    let kept = rig.store_blob(4 * MIB, 1).await;
    rig.unmount("--lazy store").await;
    let said = rig.ready(503).await;
    assert!(said.contains("the store's folder is gone"), "{said}");
    assert_eq!(rig.pull(&kept).await, "BYPASS");
    let image = rig.put_image("v1", 2);
    rig.pull_image("v1", &image).await;
    let below = rig.inside(&rig.store());
    assert_eq!(
        fs::read_dir(below).unwrap().count(),
        0,
        "no other disk is filled"
    );

    rig.mount("--bind volume store").await;
    rig.ready(200).await;
    assert_eq!(rig.pull(&kept).await, "HIT");
    rig.pull_image("v1", &image).await;
}
