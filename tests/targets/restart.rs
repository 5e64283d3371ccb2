//! What is owed survives, and what was done is not done again.

use fake_registry::Corpus;
use fake_registry::Gate;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use http::Method;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;

/// Half of a corpus, a restart, and the other half: each blob is uploaded once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_mounts_come_from_what_was_there_before() {
    let target = Target::start().await;
    let corpus = Corpus::new(2, 2 << 20);
    let rig = Rig::new(&target, corpus.images().map(|(_, _, image)| image));
    rig.start();
    let (first, second): (Vec<_>, Vec<_>) =
        corpus.images().enumerate().partition(|(at, _)| at % 2 == 0);
    for (_, (name, tag, image)) in first {
        rig.pull(name, tag, image);
    }
    rig.done().await;
    let rig = rig.restarted().await;
    rig.start();
    for (_, (name, tag, image)) in second {
        rig.pull(name, tag, image);
    }
    rig.done().await;
    for (name, tag, image) in corpus.images() {
        assert_there(&target, name, tag, image);
    }
    assert_eq!(target.uploaded_twice(), 0);
    assert_eq!(target.requests().total(), corpus.extent().least_requests());
    rig.close().await;
}

/// The process ends in the middle of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_under_way_is_done_after_a_restart() {
    let target = Target::start().await;
    let images: Vec<_> = (0..6)
        .map(|seed| ImageBuilder::new(seed).base(seed % 2, 2).layers(2).build())
        .collect();
    let rig = Rig::new(&target, &images);
    let gate = Gate::new();
    for image in &images[..3] {
        rig.shelf
            .hold(image.layers("linux/amd64").last().unwrap(), &gate);
    }
    rig.start();
    for (number, image) in images.iter().enumerate() {
        let name = format!("app-{number}");
        rig.targets.pulled(pulled(&name, Some("1"), image.digest()));
    }
    rig.until("some are done", |state| state.figures.errands >= 1)
        .await;
    let done = rig.state().figures.errands as usize;
    let rig = rig.restarted().await;
    assert_eq!(rig.state().owed, images.len() - done);
    gate.open();
    rig.start();
    rig.done().await;
    for (number, image) in images.iter().enumerate() {
        assert_there(&target, &format!("app-{number}"), "1", image);
    }
    assert_eq!(target.uploaded_twice(), 0);
    rig.close().await;
}

/// A blob that was uploaded by a process that could not note it any more is found by a mount from
/// its own repository, not uploaded again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_uploaded_and_not_noted_is_found() {
    let target = Target::start().await;
    let image = ImageBuilder::new(1).layers(2).build();
    let rig = Rig::new(&target, [&image]);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    let rig = rig.restarted().await;
    for blob in &image.blobs[..2] {
        target.put_blob("up.test/app", blob.bytes.clone());
    }
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    assert_eq!(target.uploads().len(), image.blobs.len() - 2);
    let requests = target.requests();
    assert_eq!(
        (requests.mounts, requests.starts, requests.heads),
        (3, 0, 0)
    );
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_engine_ends_what_is_under_way_and_begins_nothing() {
    let target = Target::start().await;
    let (first, second) = (ImageBuilder::new(1).build(), ImageBuilder::new(2).build());
    let rig = Rig::new(&target, [&first, &second]);
    let gate = Gate::new();
    rig.shelf.hold(&first.layers("linux/amd64")[0], &gate);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), first.digest()));
    target
        .wait_for(|log| log.iter().any(|it| it.method == Method::PUT))
        .await;
    rig.targets.close();
    rig.targets
        .pulled(pulled("app", Some("2"), second.digest()));
    gate.open();
    rig.settled().await;
    assert_there(&target, "app", "1", &first);
    assert_eq!((rig.state().owed, rig.state().under_way), (1, 0));
    let rig = rig.restarted().await;
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "2", &second);
    rig.close().await;
}
