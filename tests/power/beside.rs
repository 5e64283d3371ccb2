//! The commands that look at a store from outside, beside a proxy that serves from it.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::When;
use serde_json::Value;

use crate::rig::APP;
use crate::rig::MIB;
use crate::rig::Rig;

/// What `verify` found, as kind and subject.
fn problems(report: &Value) -> HashSet<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap().iter();
    problems
        .map(|it| (text(&it["kind"]), text(&it["subject"])))
        .collect()
}

/// Every kind of damage that is done by hand, to an image and three blobs that are stored. Returns
/// what `verify` must say of it.
fn damage(rig: &Rig, image: &Image, blobs: &[String]) -> HashSet<(String, String)> {
    let write = |path: std::path::PathBuf, text: &[u8]| fs::write(path, text).unwrap();
    let of_blob = |digest: &str| fs::read(rig.blob(digest)).unwrap();
    let mut flipped = of_blob(&blobs[0]);
    flipped[1000] ^= 1;
    write(rig.blob(&blobs[0]), &flipped);
    write(rig.blob(&blobs[1]), &of_blob(&blobs[1])[1..]);
    write(rig.blob(&blobs[2]), b"");
    let hex = |digest: &str| digest.replace(':', "/");
    let layer = &image.blobs[0].digest;
    write(
        rig.of_app(&format!("_layers/{}/link", hex(layer))),
        b"garbage",
    );
    let revision = format!("_manifests/revisions/{}", hex(image.digest()));
    write(rig.of_app(&revision).join("media-type"), b"garbage");
    write(rig.of_app("_manifests/tags/v2/current/link"), b"garbage");
    write(rig.blob(image.digest()), b"{}");
    let named = |kind: &str, subject: String| (kind.to_owned(), subject);
    let app = format!("up.test/{APP}");
    HashSet::from([
        named("corrupt", blobs[0].clone()),
        named("corrupt", blobs[1].clone()),
        named("empty", blobs[2].clone()),
        named("corrupt", image.digest().to_owned()),
        named("broken-link", format!("{app}@{layer}")),
        named("media-type", format!("{app}@{}", image.digest())),
        named("dangling-tag", format!("{app}:v1")),
        named("dangling-tag", format!("{app}:v2")),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_and_removes_every_kind_of_damage() {
    let mut rig = Rig::start().await;
    let (image, other) = (rig.put_image("v1", 1), rig.put_image("v2", 2));
    rig.pull_image("v1", &image).await;
    rig.pull_image("v2", &other).await;
    let mut blobs = Vec::new();
    for seed in 3..6 {
        blobs.push(rig.store_blob(MIB, seed).await);
    }
    let expected = damage(&rig, &image, &blobs);
    assert_eq!(problems(&rig.offline_json("verify")), expected);
    assert_eq!(rig.offline("verify").status.code(), Some(1));
    let repaired = rig.offline_json("verify --repair");
    assert_eq!(problems(&repaired), expected);
    assert_eq!(rig.offline("verify").status.code(), Some(0));

    for restarts in 0..2 {
        if restarts > 0 {
            rig.restart().await;
        }
        rig.pull_image("v1", &image).await;
        rig.pull_image("v2", &other).await;
        for blob in &blobs {
            rig.pull(blob).await;
        }
    }
    rig.settled().await;
    let healed = rig.offline_json("verify");
    assert!(problems(&healed).is_empty(), "{healed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_beside_a_proxy_under_load_removes_what_is_wrong_and_nothing_else() {
    let rig = Rig::start().await;
    rig.up.fault(When::get("blobs"), Fault::slow(60 * MIB));
    let done = AtomicBool::new(false);
    let load = async |worker: u64| {
        let mut pulled = 0;
        while !done.load(Ordering::Relaxed) {
            // Old ones and new ones.
            let seed = 1000 * (worker + 1) + pulled % 20;
            let digest = rig
                .up
                .put_generated_blob(APP, 1 + pulled % 7 * 100_000, seed);
            rig.pull(&digest).await;
            let image = rig.put_image(&format!("w{worker}-{}", pulled % 5), seed);
            rig.pull_image(image.digest(), &image).await;
            pulled += 1;
        }
        pulled
    };
    let check = async {
        let mut found = 0;
        for round in 0..6 {
            let digest = rig.store_blob(2 * MIB, 1 + round).await;
            let mut bytes = fs::read(rig.blob(&digest)).unwrap();
            bytes[12_345] ^= 1;
            fs::write(rig.blob(&digest), bytes).unwrap();
            let report = tokio::task::block_in_place(|| rig.offline_json("verify --repair"));
            let wrong = HashSet::from([("corrupt".to_owned(), digest.clone())]);
            assert_eq!(problems(&report), wrong);
            assert!(!rig.blob(&digest).exists());
            assert_eq!(rig.pull(&digest).await, "MISS");
            found += 1;
        }
        done.store(true, Ordering::Relaxed);
        found
    };
    let (first, second, third, found) = tokio::join!(load(0), load(1), load(2), check);
    assert_eq!(found, 6);
    assert!(first + second + third > 6, "there was no load");
    rig.settled().await;
    assert!(problems(&rig.offline_json("verify")).is_empty());
    assert_eq!(rig.leftovers(), 0);
}

/// As docs/reliability.md says it: content is gone at once; what tags and manifests the proxy has
/// in memory it goes on to answer from, until it is started again.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_beside_a_proxy_is_fetched_again() {
    let mut rig = Rig::start().await;
    let image = rig.put_image("v1", 1);
    rig.pull_image("v1", &image).await;
    let blob = rig.store_blob(MIB, 2).await;
    let removed = rig.offline(&format!("rm {blob} up.test/{APP}:v1"));
    assert!(removed.status.success());
    assert_eq!(rig.pull(&blob).await, "MISS");
    assert_eq!(
        rig.pull_manifest("v1", image.digest()).await,
        "HIT",
        "from memory"
    );
    rig.restart().await;
    assert_eq!(rig.pull_manifest("v1", image.digest()).await, "MISS");

    let removed = rig.offline(&format!("rm up.test/{APP}"));
    assert!(removed.status.success());
    let collected = rig.offline_json("gc");
    assert_eq!(
        (&collected["serving"], &collected["blobs"]),
        (&true.into(), &0.into())
    );
    rig.pull_image("v1", &image).await;
    rig.pull(&blob).await;
    rig.restart().await;
    rig.pull_image("v1", &image).await;
    rig.settled().await;
    assert!(problems(&rig.offline_json("verify")).is_empty());
}
