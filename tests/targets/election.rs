//! Who uploads, who mounts.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::When;
use tidegate::target::Pace;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;
use crate::rig::there;

/// Errands that begin while an upload is under way wait for that, and mount.
#[tokio::test]
async fn what_is_being_uploaded_is_waited_for() {
    let target = Target::start().await;
    let image = ImageBuilder::new(1).layers(1).build();
    let rig = Rig::new(&target, [&image]);
    let gate = Gate::new();
    let layer = image.layers("linux/amd64").remove(0);
    rig.shelf.hold(&layer, &gate);
    rig.start();
    rig.targets
        .pulled(pulled("first", Some("1"), image.digest()));
    target
        .wait_for(|log| log.iter().any(|it| it.path.contains("first")))
        .await;
    for name in ["second", "third"] {
        rig.targets.pulled(pulled(name, Some("1"), image.digest()));
    }
    rig.until("all are under way", |state| state.under_way == 3)
        .await;
    gate.open();
    rig.done().await;
    for name in ["first", "second", "third"] {
        assert_there(&target, name, "1", &image);
    }
    assert_eq!(target.uploads().len(), 2);
    assert_eq!(target.mounts().len(), 4);
    rig.close().await;
}

/// The one that uploads fails for a reason of its own: one of those that wait takes over.
#[tokio::test]
async fn whoever_waits_takes_over_from_who_fails() {
    let target = Target::start().await;
    let image = ImageBuilder::new(2).layers(1).build();
    let rig = Rig::new(&target, [&image]);
    let refused = Fault::error(403, "DENIED");
    target.fault(When::post(&there("first")), refused);
    for name in ["first", "second", "third"] {
        rig.targets.pulled(pulled(name, Some("1"), image.digest()));
    }
    rig.start();
    rig.until("the others are done", |state| state.figures.errands == 2)
        .await;
    rig.settled().await;
    for name in ["second", "third"] {
        assert_there(&target, name, "1", &image);
    }
    assert_eq!(target.uploads().len(), 2);
    let state = rig.state();
    assert_eq!(state.owed, 1);
    let why = state.errands[0].last_error.clone().unwrap();
    assert!(why.contains("credentials"), "{why}");
    rig.close().await;
}

/// What a client waits for is not kept by an errand that nobody waits for.
#[tokio::test]
async fn a_client_hurries_what_was_in_no_hurry() {
    let target = Target::start().await;
    let image = ImageBuilder::new(3).layers(1).build();
    let rig = Rig::new(&target, [&image]);
    rig.targets
        .pulled(pulled("resumed", Some("1"), image.digest()));
    let rig = rig.restarted().await;
    let quiet = Gate::new();
    rig.shelf.keep_quiet(&quiet);
    rig.start();
    rig.shelf.wait_for(2, Pace::Background).await;
    rig.targets
        .pulled(pulled("pulled", Some("1"), image.digest()));
    rig.done().await;
    assert_there(&target, "resumed", "1", &image);
    assert_there(&target, "pulled", "1", &image);
    assert_eq!(target.uploads().len(), 2);
    rig.close().await;
}
