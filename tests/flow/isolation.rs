//! A digest opens only through a repository that has it.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::When;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

#[tokio::test(flavor = "multi_thread")]
async fn what_one_repository_brought_in_is_closed_to_another() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("private/app", MIB, 1);
    rig.get(&format!("private/app/blobs/{digest}"))
        .await
        .digest()
        .await
        .unwrap();
    rig.flow.settled().await;
    let path = format!("public/app/blobs/{digest}");
    assert_eq!(rig.get(&path).await.status.as_u16(), 404);
    assert_eq!(rig.head(&path).await.status.as_u16(), 404);
    assert_eq!(rig.range(&path, "bytes=0-9").await.status.as_u16(), 404);
    assert_eq!(rig.range(&path, "bytes=10-").await.status.as_u16(), 404);
    let manifest = rig.put_image("private/app", "v1", &[]);
    rig.manifest(&format!("private/app/manifests/{manifest}"))
        .await;
    let path = format!("public/app/manifests/{manifest}");
    assert_eq!(rig.manifest(&path).await.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_it_is_being_fetched() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("private/app", 8 * MIB, 2);
    let gate = Gate::new();
    rig.up
        .fault(When::get(&digest), Fault::stall_after(4 * MIB, &gate));
    let mut own = rig.get(&format!("private/app/blobs/{digest}")).await;
    own.read_exactly(1 << 20).await.unwrap();
    let path = format!("public/app/blobs/{digest}");
    assert_eq!(rig.get(&path).await.status.as_u16(), 404);
    assert_eq!(rig.head(&path).await.status.as_u16(), 404);
    assert_eq!(rig.range(&path, "bytes=0-9").await.status.as_u16(), 404);
    gate.open();
    own.bytes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_has_it_too_costs_one_head_and_no_byte() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("a/app", MIB, 3);
    rig.up.put_generated_blob("b/app", MIB, 3);
    rig.get(&format!("a/app/blobs/{digest}"))
        .await
        .digest()
        .await
        .unwrap();
    rig.flow.settled().await;
    rig.up.clear_log();
    for _ in 0..2 {
        let reply = rig.get(&format!("b/app/blobs/{digest}")).await;
        assert_eq!(cache(&reply), "HIT");
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
    assert_eq!(rig.asked(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_manifest_names_costs_nothing() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("a/app", MIB, 4);
    rig.up.put_generated_blob("b/app", MIB, 4);
    rig.get(&format!("a/app/blobs/{digest}"))
        .await
        .digest()
        .await
        .unwrap();
    rig.flow.settled().await;
    rig.put_image("b/app", "v1", &[&digest]);
    rig.manifest("b/app/manifests/v1").await;
    rig.up.clear_log();
    assert_eq!(
        cache(&rig.get(&format!("b/app/blobs/{digest}")).await),
        "HIT"
    );
    assert_eq!(rig.asked(), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_name_is_never_asked_for() {
    let rig = Rig::with(Setup {
        deny: vec!["secret/*".into()],
        ..Setup::default()
    })
    .await;
    let reply = rig.manifest("secret/app/manifests/v1").await;
    assert_eq!(reply.status.as_u16(), 403);
    assert_eq!(reply.json().await.unwrap()["errors"][0]["code"], "DENIED");
    assert_eq!(rig.up.log().len(), 0);
}
