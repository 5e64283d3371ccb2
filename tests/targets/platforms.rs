//! Indexes of which only what was pulled is mirrored.

use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use tidegate::target::Complete;

use crate::rig::NAME;
use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::config;
use crate::rig::pulled;
use crate::rig::there;
use crate::shelf::shelf;

fn image() -> Image {
    ImageBuilder::new(1)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build()
}

fn requested(target: &Target, image: &Image) -> Rig {
    let mut config = config(NAME, &target.url());
    config.complete = Complete::Requested;
    Rig::with(vec![config], shelf([image]))
}

#[tokio::test]
async fn an_index_waits_until_all_its_platforms_were_pulled() {
    let (target, image) = (Target::start().await, image());
    let rig = requested(&target, &image);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.targets
        .pulled(pulled("app", None, &image.manifests[0].digest));
    rig.until("one is there", |state| state.figures.errands == 1)
        .await;
    rig.settled().await;
    assert!(target.holds(&there("app"), &image.manifests[0].digest));
    assert!(!target.holds(&there("app"), &image.manifests[1].digest));
    assert_eq!(target.tag(&there("app"), "1"), None);
    let state = rig.state();
    let why = state.errands[0].last_error.clone().unwrap();
    assert!(why.contains("waits for"), "{why}");
    assert_eq!((state.owed, state.figures.failures), (1, 0));
    // It is asked whether it takes a part once, and not again.
    rig.targets
        .pulled(pulled("app", None, &image.manifests[1].digest));
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    let manifests = target.requests().manifests;
    assert!((3..=4).contains(&manifests), "{manifests}");
    rig.close().await;
}

#[tokio::test]
async fn a_sparse_index_is_put_once_something_of_it_is_there() {
    let (target, image) = (Target::builder().sparse().start().await, image());
    let rig = requested(&target, &image);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.settled().await;
    assert_eq!(target.requests().total(), 0, "nothing of it was pulled");
    rig.targets
        .pulled(pulled("app", None, &image.manifests[0].digest));
    rig.done().await;
    assert_eq!(
        target.tag(&there("app"), "1").as_deref(),
        Some(image.digest())
    );
    assert!(!target.holds(&there("app"), &image.manifests[1].digest));
    // Known as what it is.
    target.clear_log();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.done().await;
    assert_eq!(target.requests().total(), 0);
    rig.targets
        .pulled(pulled("app", None, &image.manifests[1].digest));
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    assert_eq!(target.requests().manifests, 1);
    rig.close().await;
}
