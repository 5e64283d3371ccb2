//! A target that mounts only what a manifest of the source repository names, as ECR does.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::Mounts;
use fake_registry::Part;
use fake_registry::Random;
use fake_registry::Target;
use fake_registry::When;
use fake_registry::digest_of;
use serde_json::json;
use tidegate::oci::media;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;

fn part(media_type: &str, bytes: impl Into<bytes::Bytes>) -> Part {
    let bytes = bytes.into();
    Part {
        digest: digest_of(&bytes),
        media_type: media_type.to_owned(),
        bytes,
    }
}

/// An image of these blobs: `length` bytes that are all `number`.
fn image(blobs: &[(u8, usize)]) -> Image {
    let layers: Vec<_> = blobs
        .iter()
        .map(|(number, length)| part("a/layer", vec![*number; *length]))
        .collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "layers": layers.iter().map(Part::descriptor).collect::<Vec<_>>(),
    });
    Image {
        root: part(media::OCI_MANIFEST, manifest.to_string()),
        manifests: Vec::new(),
        blobs: layers,
    }
}

/// A target that is known to mount only what is committed.
async fn scene(images: &[Image]) -> (Target, Rig) {
    let target = Target::builder().mounts(Mounts::Committed).start().await;
    let (one, other) = (image(&[(254, 10), (255, 100_000)]), image(&[(254, 10)]));
    let rig = Rig::new(&target, images.iter().chain([&one, &other]));
    let gate = Gate::new();
    rig.shelf.hold(&one.blobs[1].digest, &gate);
    rig.start();
    // Uploaded by one, wanted by the other, and named by no manifest yet.
    rig.targets.pulled(pulled("one", Some("1"), one.digest()));
    target.wait_for(|_| target.uploads().len() == 1).await;
    rig.targets
        .pulled(pulled("other", Some("1"), other.digest()));
    rig.until("a mount was refused", |state| {
        state.figures.mounts_refused == 1
    })
    .await;
    gate.open();
    rig.done().await;
    assert_there(&target, "other", "1", &other);
    assert!(!rig.state().refuses_mounts);
    (target, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_committed_is_not_asked_for() {
    let all = [image(&[(1, 100), (2, 200)]), image(&[(2, 200), (3, 300)])];
    let (target, rig) = scene(&all).await;
    let (mounts, uploads) = (target.mounts().len(), target.uploads().len());
    for (name, image) in ["a", "b"].into_iter().zip(&all) {
        rig.targets.pulled(pulled(name, Some("1"), image.digest()));
    }
    rig.done().await;
    assert_eq!(
        (
            target.uploads().len() - uploads,
            target.mounts().len() - mounts
        ),
        (3, 1)
    );
    assert!(target.mounts()[mounts..].iter().all(|mount| mount.accepted));
    rig.close().await;
}

/// Images that share blobs at random, each with its repository.
fn corpus(random: &mut Random) -> Vec<(String, Image)> {
    let mut below = |most: u64| random.next_u64() % most;
    let mut images = Vec::new();
    for _ in 0..12 {
        let mut blobs = vec![(below(20) as u8, 1000)];
        while below(5) > 0 {
            let number = below(20) as u8;
            if blobs.iter().all(|(other, _)| *other != number) {
                blobs.push((number, 1000));
            }
        }
        images.push((format!("r{}", below(8)), image(&blobs)));
    }
    images
}

/// Mirrors all of a corpus, a few of it at the same time.
async fn mirror(target: &Target, rig: &Rig, random: &mut Random, corpus: &[(String, Image)]) {
    for (at, (name, image)) in corpus.iter().enumerate() {
        rig.targets
            .pulled(pulled(name, Some(&at.to_string()), image.digest()));
        if random.next_u64().is_multiple_of(3) {
            tokio::task::yield_now().await;
        }
    }
    rig.done().await;
    for (at, (name, image)) in corpus.iter().enumerate() {
        assert_there(target, name, &at.to_string(), image);
    }
}

/// Whatever is wanted by whom, in whatever order: nobody waits in a circle, nothing is uploaded
/// twice, and no mount is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_corpora_come_to_an_end() {
    for seed in 0..25 {
        let mut random = Random::new(seed);
        let corpus = corpus(&mut random);
        let images: Vec<_> = corpus.iter().map(|(_, image)| image.clone()).collect();
        let (target, rig) = scene(&images).await;
        let (before, uploads) = (target.mounts().len(), target.uploaded_twice());
        mirror(&target, &rig, &mut random, &corpus).await;
        let mounts = target.mounts();
        let refused = mounts[before..].iter().filter(|it| !it.accepted).count();
        let twice = target.uploaded_twice() - uploads;
        assert_eq!((refused, twice), (0, 0), "seed {seed}");
        rig.close().await;
    }
}

/// The same where requests fail at random, so that errands take over from each other, and begin
/// again behind those that wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_corpora_with_failures_come_to_an_end() {
    for seed in 100..110 {
        let mut random = Random::new(seed);
        let corpus = corpus(&mut random);
        let images: Vec<_> = corpus.iter().map(|(_, image)| image.clone()).collect();
        let (target, rig) = scene(&images).await;
        for when in [
            When::put("/blobs/uploads/"),
            When::post("/uploads/"),
            When::put("/manifests/"),
        ] {
            let skipped = random.next_u64() % 8;
            let when = when.after(skipped as usize).times(4);
            target.fault(when, Fault::status(500));
        }
        mirror(&target, &rig, &mut random, &corpus).await;
        rig.close().await;
    }
}

/// One that takes the first mount and then none: learned by what is committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_refuses_what_is_committed_too_is_asked_no_more() {
    let all = [image(&[(1, 100), (2, 200)])];
    let (target, rig) = scene(&all).await;
    rig.targets.pulled(pulled("a", Some("1"), all[0].digest()));
    rig.done().await;
    target.set_mounts(Mounts::Never);
    target.clear_log();
    for name in ["b", "c", "d"] {
        rig.targets.pulled(pulled(name, Some("1"), all[0].digest()));
        rig.done().await;
        assert_there(&target, name, "1", &all[0]);
    }
    assert!(rig.state().refuses_mounts);
    let requests = target.requests();
    assert_eq!(requests.mounts + requests.starts, 6);
    assert_eq!((requests.finishes, requests.cancels), (6, 0));
    rig.close().await;
}
