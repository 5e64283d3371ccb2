//! Of an index only some platforms.

use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::Upstream;
use tidegate::prefetch::Outcome;
use tidegate::prefetch::Set;

use crate::rig::Rig;
use crate::rig::item;
use crate::rig::literal;
use crate::rig::put;
use crate::rig::there;
use crate::rig::to_both;
use crate::rig::to_target;

const BOTH: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn index() -> Image {
    ImageBuilder::new(3)
        .layers(2)
        .layer_size(2048)
        .platforms(&BOTH)
        .build()
}

fn amd64(set: Set) -> Set {
    Set {
        platforms: vec!["linux/amd64".parse().unwrap()],
        ..set
    }
}

fn blobs_of(image: &Image, platform: &str) -> usize {
    // Layers and the config.
    image.layers(platform).len() + 1
}

#[tokio::test]
async fn the_store_and_a_target_that_takes_it_have_the_index_as_it_is() {
    let target = Target::builder().sparse().start().await;
    let rig = Rig::before(Upstream::start().await, Some(target)).await;
    let image = index();
    put(&rig.up, &image, "app", "v1");
    let set = amd64(Set {
        to: to_both(),
        ..literal("app", &["v1"])
    });
    let report = rig.run(&set).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    // The index, one manifest, and its blobs.
    assert_eq!(rig.asked().len(), 2 + blobs_of(&image, "linux/amd64"));
    let at = there("app");
    assert_eq!(rig.target().tag(&at, "v1").as_deref(), Some(image.digest()));
    let arm64 = image.manifest("linux/arm64").unwrap();
    assert!(!rig.target().holds(&at, &arm64.digest));
    let report = rig.run(&set).await;
    assert_eq!(report.images.unchanged, 1, "{report:#?}");
    assert_eq!((rig.asked().len(), rig.at_target()), (1, 1));

    // More of it is wanted later.
    let all = Set {
        platforms: Vec::new(),
        ..set
    };
    let report = rig.run(&all).await;
    assert_eq!(report.images.copied, 1, "{report:#?}");
    assert!(rig.target().holds(&at, &arm64.digest));
}

#[tokio::test]
async fn a_target_that_takes_no_part_of_an_index_gets_a_trimmed_one_once() {
    let mut rig = Rig::mirroring().await;
    let image = index();
    put(&rig.up, &image, "app", "v1");
    let set = amd64(Set {
        to: to_target(),
        ..literal("app", &["v1"])
    });
    let report = rig.run(&set).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    let delivery = &item(&report, "up.test/app:v1").to[0];
    let put = rig.target().tag(&there("app"), "v1");
    assert_ne!(put.as_deref(), Some(image.digest()));
    assert_eq!(delivery.digest, put);
    for _ in 0..2 {
        let report = rig.run(&set).await;
        assert_eq!(report.images.unchanged, 1, "{report:#?}");
        assert_eq!((rig.asked().len(), rig.at_target()), (1, 1));
        rig.again().await;
    }
}

#[tokio::test]
async fn platforms_that_an_index_lacks_are_not_missed_but_where_it_has_none() {
    let rig = Rig::new().await;
    put(&rig.up, &index(), "app", "v1");
    let wanted = |platforms: &[&str]| Set {
        platforms: platforms.iter().map(|it| it.parse().unwrap()).collect(),
        ..literal("app", &["v1"])
    };
    let report = rig.run(&wanted(&["linux/amd64", "linux/s390x"])).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    let report = rig.run(&wanted(&["linux/s390x"])).await;
    assert_eq!(report.outcome, Outcome::Nothing);
    let why = item(&report, "up.test/app:v1").to[0].why.clone();
    assert!(
        why.is_some_and(|why| why.contains("no linux/s390x in it")),
        "{report:#?}"
    );
}
