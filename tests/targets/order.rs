//! Nothing is committed before all that it names is there, and a tag is never set back.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::When;
use http::Method;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;
use crate::rig::there;

/// The manifests that were put, by their references.
fn puts(target: &Target) -> Vec<String> {
    let log = target.log();
    let puts = log.iter().filter(|it| it.method == Method::PUT);
    let puts = puts.filter_map(|it| it.path.split_once("/manifests/"));
    puts.map(|(_, reference)| reference.to_owned()).collect()
}

#[tokio::test]
async fn an_index_is_put_last_by_its_tag_alone() {
    let target = Target::start().await;
    let image = ImageBuilder::new(1)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let rig = Rig::new(&target, [&image]);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    let puts = puts(&target);
    assert_eq!(puts.len(), 3);
    assert_eq!(puts[2], "1");
    assert!(target.requests().heads == 0);
    rig.close().await;
}

/// The tag moves while its older manifest is under way: that one is not put under it.
#[tokio::test]
async fn a_tag_that_moves_is_put_once_and_rightly() {
    let target = Target::start().await;
    let (old, new) = (ImageBuilder::new(1).build(), ImageBuilder::new(2).build());
    let rig = Rig::new(&target, [&old, &new]);
    let gate = Gate::new();
    rig.shelf.hold(&old.layers("linux/amd64")[0], &gate);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), old.digest()));
    target
        .wait_for(|log| log.iter().any(|it| it.method == Method::POST))
        .await;
    rig.targets.pulled(pulled("app", Some("1"), new.digest()));
    rig.until("the newer one is done", |state| state.figures.errands == 1)
        .await;
    assert_there(&target, "app", "1", &new);
    gate.open();
    rig.done().await;
    assert_there(&target, "app", "1", &new);
    assert!(target.holds(&there("app"), old.digest()), "it was pulled");
    let tagged = puts(&target).iter().filter(|it| *it == "1").count();
    assert_eq!(tagged, 1);
    rig.close().await;
}

/// The older manifest is being put under the tag when that moves, and moves again: whoever waits
/// for its turn looks whether the tag is still its own.
#[tokio::test]
async fn a_tag_that_moves_while_it_is_put_ends_at_the_newest() {
    let target = Target::start().await;
    let images: Vec<_> = (1..=3)
        .map(|seed| ImageBuilder::new(seed).build())
        .collect();
    let rig = Rig::new(&target, &images);
    let gate = Gate::new();
    let held = target.fault(
        When::put("/manifests/1").times(1),
        Fault::hold_taking_after(0, &gate),
    );
    rig.start();
    for (number, image) in images.iter().enumerate() {
        rig.targets.pulled(pulled("app", Some("1"), image.digest()));
        let uploads = 3 * (number as u64 + 1);
        rig.until("all blobs are there", |state| {
            state.figures.uploads == uploads
        })
        .await;
        rig.until("it is being put", |_| held.hits() == 1).await;
    }
    gate.open();
    rig.done().await;
    assert_there(&target, "app", "1", &images[2]);
    let tagged = puts(&target).iter().filter(|it| *it == "1").count();
    assert_eq!(tagged, 2, "the one between is put by its digest");
    rig.close().await;
}
