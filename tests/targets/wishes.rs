//! What prefetch has done at a target: parts of indexes, looks at what is there, removals.

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::When;
use http::Method;
use tidegate::ledger::FlowId;
use tidegate::oci::Tag;
use tidegate::target::Checked;
use tidegate::target::Errand;
use tidegate::target::Error;
use tidegate::target::Mirrored;
use tidegate::target::Missing;
use tidegate::target::Pace;
use tidegate::target::Wish;

use crate::rig::NAME;
use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::pulled;
use crate::rig::repository;
use crate::rig::there;

fn image() -> Image {
    ImageBuilder::new(91)
        .platforms(&["linux/amd64", "linux/arm64", "linux/s390x"])
        .build()
}

fn wish(name: &str, image: &Image, platforms: &[&str]) -> Wish {
    let errand = Errand {
        repository: repository(name),
        digest: image.digest().parse().unwrap(),
        tag: Some("1".parse().unwrap()),
        flow: FlowId::next(),
    };
    let platforms = platforms.iter().map(|it| it.parse().unwrap()).collect();
    Wish::new(errand, platforms, Pace::Background)
}

fn tag() -> Tag {
    "1".parse().unwrap()
}

async fn mirror(rig: &Rig, wish: &Wish) -> Mirrored {
    rig.targets.mirror(NAME, wish.clone()).await.unwrap()
}

/// Which of the index's manifests are there.
fn children(target: &Target, name: &str, image: &Image) -> Vec<bool> {
    let all = image.manifests.iter();
    all.map(|it| target.holds(&there(name), &it.digest))
        .collect()
}

#[tokio::test]
async fn some_platforms_come_with_an_index_of_them_alone() {
    let (target, image) = (Target::start().await, image());
    let rig = Rig::new(&target, [&image]);
    rig.start();
    let some = wish("app", &image, &["linux/s390x", "linux/amd64"]);
    let done = mirror(&rig, &some).await;
    assert_eq!(children(&target, "app", &image), [true, false, true]);
    let put = done.digest_put.unwrap().to_string();
    assert_eq!(target.tag(&there("app"), "1"), Some(put.clone()));
    let (_, index) = target.manifest(&there("app"), "1").unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    // It is remembered, under its upstream's digest.
    assert!(rig.targets.has(NAME, &some));
    let known = rig.targets.tag_there(NAME, &repository("app"), &tag());
    assert_eq!(known.unwrap().as_str(), image.digest());
    let before = target.requests();
    let again = mirror(&rig, &some).await;
    assert_eq!(again.digest_put.unwrap().as_str(), put);
    assert_eq!(target.requests(), before);
    // That it takes no sparse index was found out once.
    let other = ImageBuilder::new(92)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    rig.shelf.add(&other);
    let before = target.requests().manifests;
    mirror(&rig, &wish("other", &other, &["linux/arm64"])).await;
    assert_eq!(target.requests().manifests, before + 2);
    rig.close().await;
}

#[tokio::test]
async fn many_at_once_find_out_once_that_no_sparse_index_is_taken() {
    let target = Target::start().await;
    let images: Vec<Image> = (0..12)
        .map(|seed| ImageBuilder::new(9300 + seed).platforms(&["linux/amd64", "linux/arm64"]))
        .map(ImageBuilder::build)
        .collect();
    let rig = Rig::new(&target, &images);
    rig.start();
    let wishes: Vec<Wish> = images
        .iter()
        .enumerate()
        .map(|(n, image)| wish(&format!("app{n}"), image, &["linux/amd64"]))
        .collect();
    let all = wishes.iter().map(|wish| mirror(&rig, wish));
    futures_util::future::join_all(all).await;
    // Each has a manifest and an index.
    assert_eq!(target.requests().manifests, 1 + 2 * images.len());
    rig.close().await;
}

#[tokio::test]
async fn a_target_that_takes_it_gets_the_index_as_it_is() {
    let target = Target::builder().sparse().start().await;
    let image = image();
    let rig = Rig::new(&target, [&image]);
    rig.start();
    let some = wish("app", &image, &["linux/arm64"]);
    assert_eq!(mirror(&rig, &some).await.digest_put, None);
    assert_eq!(children(&target, "app", &image), [false, true, false]);
    assert_eq!(
        target.tag(&there("app"), "1").as_deref(),
        Some(image.digest())
    );
    let before = target.requests();
    mirror(&rig, &some).await;
    assert_eq!(target.requests(), before);
    // Others are another wish.
    let more = wish("app", &image, &["linux/arm64", "linux/amd64"]);
    assert!(!rig.targets.has(NAME, &more));
    mirror(&rig, &more).await;
    assert_eq!(children(&target, "app", &image), [true, true, false]);
    mirror(&rig, &wish("app", &image, &[])).await;
    assert_there(&target, "app", "1", &image);
    // All of it is more than some of it.
    let before = target.requests();
    mirror(&rig, &some).await;
    assert_eq!(target.requests(), before);
    rig.close().await;
}

#[tokio::test]
async fn what_a_client_pulls_makes_a_part_whole_and_it_stays_so() {
    let (target, image) = (Target::start().await, image());
    let rig = Rig::new(&target, [&image]);
    rig.start();
    let some = wish("app", &image, &["linux/arm64"]);
    mirror(&rig, &some).await;
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    let before = target.requests();
    assert_eq!(mirror(&rig, &some).await.digest_put, None);
    assert_eq!(target.requests(), before);
    let none = rig
        .targets
        .mirror(NAME, wish("b", &image, &["windows/amd64"]));
    let none = none.await;
    assert!(
        matches!(none, Err(Error::Missing(Missing::Gone(_)))),
        "{none:?}"
    );
    rig.close().await;
}

#[tokio::test]
async fn one_head_tells_whether_a_tag_is_as_it_was() {
    let (target, image) = (Target::start().await, image());
    let other = ImageBuilder::new(94).build();
    let rig = Rig::new(&target, [&image, &other]);
    rig.start();
    for platforms in [&["linux/amd64"][..], &[]] {
        let wish = wish("app", &image, platforms);
        mirror(&rig, &wish).await;
        let check = async || {
            let (at, tag) = (repository("app"), tag());
            let digest = image.digest().parse().unwrap();
            let checked = rig
                .targets
                .check_tag(NAME, (&at, &tag), &digest, FlowId::next());
            checked.await.unwrap()
        };
        let before = target.requests();
        assert!(check().await);
        assert_eq!(target.requests().total(), before.total() + 1);
        // Somebody else moves it.
        let (media_type, bytes) = target
            .manifest(&there("app"), &image.manifests[0].digest)
            .unwrap();
        target.put_manifest(&there("app"), "1", &media_type, bytes);
        assert!(!check().await);
        assert!(!rig.targets.has(NAME, &wish));
        let done = mirror(&rig, &wish).await;
        assert_eq!((done.manifests, done.uploads), (1, 0));
        assert!(check().await);
    }
    rig.close().await;
}

#[tokio::test]
async fn a_deep_look_finds_what_is_lost_and_it_comes_again() {
    let (target, image) = (Target::start().await, image());
    let rig = Rig::new(&target, [&image]);
    rig.start();
    for platforms in [&["linux/amd64", "linux/arm64"][..], &[]] {
        let wish = wish("app", &image, platforms);
        mirror(&rig, &wish).await;
        let whole = rig.targets.check_deep(NAME, &wish).await.unwrap();
        assert_eq!(whole.missing, 0);
        assert!(rig.targets.has(NAME, &wish));
        target.forget_blob(&there("app"), &image.blobs[0].digest);
        target.forget_manifest(&there("app"), &image.manifests[1].digest);
        let torn = rig.targets.check_deep(NAME, &wish).await.unwrap();
        let expected = Checked {
            asked: whole.asked,
            missing: 2,
        };
        assert_eq!(torn, expected);
        assert!(!rig.targets.has(NAME, &wish));
        let done = mirror(&rig, &wish).await;
        assert_eq!(done.uploads, 1, "{done:?}");
        let whole = rig.targets.check_deep(NAME, &wish).await.unwrap();
        assert_eq!(whole.missing, 0);
    }
    assert_there(&target, "app", "1", &image);
    rig.close().await;
}

#[tokio::test]
async fn what_was_not_looked_at_for_long_is_confirmed_by_one_head() {
    let (target, image) = (Target::start().await, image());
    let rig = Rig::new(&target, [&image]);
    rig.start();
    for platforms in [&["linux/amd64"][..], &[]] {
        let wish = wish("app", &image, platforms);
        mirror(&rig, &wish).await;
        rig.pass(3700);
        assert!(!rig.targets.has(NAME, &wish));
        let before = target.requests();
        mirror(&rig, &wish).await;
        assert_eq!(target.requests().total(), before.total() + 1);
        assert!(rig.targets.has(NAME, &wish));
    }
    // Its blobs are known anew as well: another repository mounts them.
    rig.pass(3600);
    mirror(&rig, &wish("app", &image, &[])).await;
    rig.pass(3700);
    let done = mirror(&rig, &wish("other", &image, &[])).await;
    assert_eq!(done.uploads, 0, "{done:?}");
    rig.close().await;
}

#[tokio::test]
async fn a_tag_is_removed_and_nothing_else() {
    let (target, image) = (Target::start().await, image());
    let rig = Rig::new(&target, [&image]);
    rig.start();
    let remove = async |target: &Target| {
        let (at, tag) = (repository("app"), tag());
        let removed = rig
            .targets
            .delete_tag(NAME, (&at, &tag), FlowId::next())
            .await;
        assert_eq!(
            target.tag(&there("app"), "other").as_deref(),
            Some(image.digest())
        );
        removed
    };
    for by_tag in [true, false] {
        let mut wish = wish("app", &image, &[]);
        mirror(&rig, &wish).await;
        wish.errand.tag = Some("other".parse().unwrap());
        mirror(&rig, &wish).await;
        if !by_tag {
            let tags = When::path("/manifests/1").method(Method::DELETE);
            target.fault(tags, Fault::error(405, "UNSUPPORTED"));
        }
        remove(&target).await.unwrap();
        assert_eq!(target.tag(&there("app"), "1"), None);
        assert_eq!(
            rig.targets.tag_there(NAME, &repository("app"), &tag()),
            None
        );
        // That it is gone is what was wanted.
        remove(&target).await.unwrap();
    }
    mirror(&rig, &wish("app", &image, &[])).await;
    let all = When::any().method(Method::DELETE);
    target.fault(all, Fault::error(405, "UNSUPPORTED"));
    let refused = remove(&target).await.unwrap_err().to_string();
    assert!(refused.contains("removes nothing"), "{refused}");
    assert_there(&target, "app", "1", &image);
    rig.close().await;
}
