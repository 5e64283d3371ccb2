//! An upstream that says 429: it is left alone, and what is stored is served meanwhile.

use fake_registry::Fault;
use fake_registry::When;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::cache;

fn too_many() -> Fault {
    Fault::status(429).header("retry-after", "3600")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_served_meanwhile_and_no_get_follows_the_head() {
    let rig = Rig::start().await;
    let layer = rig.up.put_generated_blob("demo/app", MIB, 4001);
    let digest = rig.put_image("demo/app", "v1", &[&layer]);
    let (tag, by_digest) = (
        "demo/app/manifests/v1",
        format!("demo/app/manifests/{digest}"),
    );
    let blob = format!("demo/app/blobs/{layer}");
    rig.manifest(tag).await;
    rig.get(&blob).await.digest().await.unwrap();
    rig.flow.settled().await;
    rig.up.clear_log();
    rig.up.fault(When::any(), too_many());
    for _ in 0..10 {
        let reply = rig.manifest(tag).await;
        assert_eq!((reply.status.as_u16(), cache(&reply)), (200, "STALE"));
        let warning = reply.header("warning").unwrap_or_default();
        assert!(warning.starts_with("110"), "{warning}");
        assert_eq!(reply.digest().await.unwrap(), digest);
        assert_eq!(cache(&rig.head(tag).await), "STALE");
        assert_eq!(cache(&rig.manifest(&by_digest).await), "HIT");
        let reply = rig.get(&blob).await;
        assert_eq!(cache(&reply), "HIT");
        assert_eq!(reply.digest().await.unwrap(), layer);
    }
    assert_eq!(
        rig.asked(),
        (1, 0),
        "{}",
        fake_registry::lines(&rig.up.log())
    );
    let (_, why) = rig.state().outage.expect("an outage");
    assert!(why.contains("429"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_what_is_not_stored_is_told_when_to_come_back() {
    let rig = Rig::start().await;
    rig.put_image("demo/app", "v1", &[]);
    rig.up.fault(When::any(), too_many());
    let reply = rig.head("demo/app/manifests/v1").await;
    assert_eq!(reply.status.as_u16(), 429);
    let pause: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&pause), "{pause}");
    assert_eq!(rig.asked(), (1, 0));
    let digest = rig.up.put_generated_blob("demo/app", MIB, 4002);
    let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
    assert_eq!(reply.status.as_u16(), 429);
    assert_eq!(
        reply.json().await.unwrap()["errors"][0]["code"],
        "TOOMANYREQUESTS"
    );
}

/// A blob that another repository brought in costs a `HEAD`; when that is refused, no `GET`.
#[tokio::test(flavor = "multi_thread")]
async fn no_get_follows_a_blobs_head_either() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("a/app", MIB, 4003);
    rig.up.put_generated_blob("b/app", MIB, 4003);
    let own = rig.get(&format!("a/app/blobs/{digest}")).await;
    own.digest().await.unwrap();
    rig.flow.settled().await;
    rig.up.clear_log();
    rig.up.fault(When::head(&digest), too_many());
    let path = format!("b/app/blobs/{digest}");
    for range in ["bytes=0-", "bytes=0-99"] {
        assert_eq!(rig.range(&path, range).await.status.as_u16(), 429);
    }
    assert_eq!(rig.get(&path).await.status.as_u16(), 429);
    assert_eq!(rig.head(&path).await.status.as_u16(), 429);
    let (heads, gets) = rig.asked();
    assert!(
        (1..=4).contains(&heads) && gets == 0,
        "{heads} HEADs, {gets} GETs"
    );
}
