//! What mirroring costs: the fewest requests there can be.

use fake_registry::Corpus;
use fake_registry::ImageBuilder;
use fake_registry::Tally;
use fake_registry::Target;
use tidegate::target::Errand;
use tidegate::target::Error;
use tidegate::target::Pace;
use tidegate::target::Wish;

use crate::rig::NAME;
use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;
use crate::rig::repository;

/// So many uploads, mounts and manifests, and nothing else.
fn cost(uploads: usize, mounts: usize, manifests: usize) -> Tally {
    Tally {
        starts: uploads,
        finishes: uploads,
        mounts,
        manifests,
        ..Tally::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_costs_two_requests_a_blob_and_one_for_its_manifest() {
    let target = Target::start().await;
    let image = ImageBuilder::new(1).layers(3).build();
    let rig = Rig::new(&target, [&image]);
    rig.start();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.targets.pulled(pulled("app", None, image.digest()));
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    assert_eq!(target.requests(), cost(4, 0, 1));
    // What is there costs nothing, and another tag of it one request.
    target.clear_log();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.targets.pulled(pulled("app", None, image.digest()));
    rig.done().await;
    assert_eq!(target.requests(), cost(0, 0, 0));
    rig.targets.pulled(pulled("app", Some("2"), image.digest()));
    rig.done().await;
    assert_eq!(target.requests(), cost(0, 0, 1));
    // In another repository all is mounted.
    target.clear_log();
    rig.targets
        .pulled(pulled("other", Some("1"), image.digest()));
    rig.done().await;
    assert_eq!(target.requests(), cost(0, 4, 1));
    assert_there(&target, "other", "1", &image);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tags_of_one_manifest_at_once_share_all_but_their_puts() {
    let target = Target::start().await;
    let image = ImageBuilder::new(2)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let rig = Rig::new(&target, [&image]);
    for tag in ["1", "1.0", "latest"] {
        rig.pull("app", tag, &image);
    }
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "latest", &image);
    assert_eq!(target.requests(), cost(image.blobs.len(), 0, 2 + 3));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corpus_at_once_costs_the_least_there_is() {
    let target = Target::start().await;
    let corpus = Corpus::new(1, 2 << 20);
    let rig = Rig::new(&target, corpus.images().map(|(_, _, image)| image));
    rig.start();
    for (name, tag, image) in corpus.images() {
        rig.pull(name, tag, image);
    }
    rig.done().await;
    for (name, tag, image) in corpus.images() {
        assert_there(&target, name, tag, image);
    }
    let extent = corpus.extent();
    assert_eq!(
        target.requests(),
        cost(extent.blobs, extent.mounts(), extent.manifests)
    );
    assert!(target.mounts().iter().all(|mount| mount.accepted));
    assert_eq!(target.uploaded_twice(), 0);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_entry_costs_one_head() {
    let target = Target::start().await;
    let image = ImageBuilder::new(3)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    let rig = Rig::new(&target, [&image]);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    // Longer than `catalog_ttl`, and not twice as long.
    rig.pass(3700);
    target.clear_log();
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.done().await;
    let head = Tally {
        heads: 1,
        ..Tally::default()
    };
    assert_eq!(target.requests(), head);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_by_name_is_mirrored_now_and_told_of() {
    let target = Target::start().await;
    let image = ImageBuilder::new(4).layers(2).build();
    let rig = Rig::new(&target, [&image]);
    rig.start();
    let wish = |name: &str| {
        let pulled = pulled(name, Some("1"), image.digest());
        let errand = Errand {
            repository: repository(name),
            digest: pulled.digest,
            tag: pulled.tag,
            flow: pulled.flow,
        };
        Wish::new(errand, [].into(), Pace::Client)
    };
    let done = rig.targets.mirror(NAME, wish("app")).await.unwrap();
    let bytes: usize = image.blobs.iter().map(|blob| blob.bytes.len()).sum();
    assert_eq!((done.uploads, done.upload_bytes), (3, bytes as u64));
    assert_eq!((done.mounts, done.manifests), (0, 1));
    let done = rig.targets.mirror(NAME, wish("other")).await.unwrap();
    assert_eq!((done.uploads, done.mounts), (0, 3));
    let again = rig.targets.mirror(NAME, wish("other")).await.unwrap();
    assert_eq!(again.manifests, 0);
    let nowhere = rig.targets.mirror("nowhere", wish("app")).await;
    assert!(matches!(nowhere, Err(Error::NoTarget(_))));
    rig.shelf.lose(image.digest());
    let gone = rig.targets.mirror(NAME, wish("third")).await;
    assert!(matches!(gone, Err(Error::Missing(_))));
    assert_eq!(rig.state().owed, 0);
    rig.close().await;
}
