//! What each side is asked, counted exactly.

use fake_registry::Image;
use fake_registry::ImageBuilder;
use tidegate::prefetch::ItemOutcome;
use tidegate::prefetch::Outcome;
use tidegate::prefetch::Set;
use tidegate::prefetch::Verify;

use crate::rig::Rig;
use crate::rig::all_of;
use crate::rig::item;
use crate::rig::literal;
use crate::rig::put;
use crate::rig::there;
use crate::rig::to_both;
use crate::rig::to_target;

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layers(2).layer_size(4096).build()
}

#[tokio::test]
async fn a_new_tag_costs_a_get_and_a_known_one_a_head() {
    let rig = Rig::new().await;
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    let set = literal("app", &["v1"]);

    let report = rig.run(&set).await;
    assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
    assert_eq!(report.images.copied, 1);
    let mut expected = vec!["GET app/manifests/v1".to_owned()];
    expected.extend(
        image
            .blobs
            .iter()
            .map(|it| format!("GET app/blobs/{}", it.digest)),
    );
    expected.sort();
    assert_eq!(rig.asked(), expected);
    assert_eq!(report.traffic.source_requests, expected.len() as u64);
    let bytes: usize = image.blobs.iter().map(|it| it.bytes.len()).sum();
    let all = (bytes + image.root.bytes.len()) as u64;
    assert_eq!(report.traffic.fetched_bytes, all);

    let report = rig.run(&set).await;
    assert_eq!((report.images.unchanged, report.images.copied), (1, 0));
    assert_eq!(rig.asked(), ["HEAD app/manifests/v1"]);
    let item = item(&report, "up.test/app:v1");
    assert_eq!(item.outcome, ItemOutcome::Unchanged);
    assert_eq!(item.digest.as_deref(), Some(image.digest()));
}

#[tokio::test]
async fn a_list_is_requested_only_where_tags_are_chosen() {
    let rig = Rig::new().await;
    put(&rig.up, &image(1), "app", "v1");
    put(&rig.up, &image(2), "app", "v2");
    let report = rig.run(&all_of("app")).await;
    assert_eq!(report.images.copied, 2, "{report:#?}");
    let lists = rig
        .asked()
        .iter()
        .filter(|it| it.ends_with("tags/list"))
        .count();
    assert_eq!(lists, 1);
    // The list, and all else, is counted.
    assert_eq!(report.traffic.source_requests, rig.asked().len() as u64);
    rig.run(&literal("app", &["v1", "v2"])).await;
    assert_eq!(
        rig.asked(),
        ["HEAD app/manifests/v1", "HEAD app/manifests/v2"]
    );
}

#[tokio::test]
async fn what_a_target_has_costs_one_head_on_each_side() {
    for keeps in [true, false] {
        let mut rig = match keeps {
            true => Rig::mirroring().await,
            false => Rig::keeping_nothing().await,
        };
        let image = image(1);
        put(&rig.up, &image, "app", "v1");
        let set = Set {
            to: to_target(),
            ..literal("app", &["v1"])
        };
        let report = rig.run(&set).await;
        assert_eq!(report.outcome, Outcome::Done, "{report:#?}");
        let blobs = image.blobs.len();
        assert_eq!(rig.asked().len(), 1 + blobs);
        // A POST and a PUT for each blob, and one PUT of the manifest.
        assert_eq!(rig.at_target(), 2 * blobs + 1);
        assert_eq!(report.traffic.target_requests, 2 * blobs as u64 + 1);
        assert_eq!(report.traffic.uploads, blobs as u64);
        assert_eq!(
            rig.target().tag(&there("app"), "v1").as_deref(),
            Some(image.digest())
        );

        for _ in 0..2 {
            let report = rig.run(&set).await;
            assert_eq!(report.images.unchanged, 1, "{report:#?}");
            assert_eq!(rig.asked(), ["HEAD app/manifests/v1"]);
            assert_eq!((rig.at_target(), rig.target().requests().heads), (1, 1));
            rig.again().await;
        }
    }
}

#[tokio::test]
async fn a_target_is_believed_or_looked_through_as_the_set_says() {
    let rig = Rig::mirroring().await;
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    let set = |verify| Set {
        to: to_target(),
        verify,
        ..literal("app", &["v1"])
    };
    rig.run(&set(Verify::Never)).await;
    rig.run(&set(Verify::Never)).await;
    assert_eq!(rig.at_target(), 0);
    rig.target().forget_manifest(&there("app"), image.digest());
    let report = rig.run(&set(Verify::Tags)).await;
    assert_eq!(report.images.copied, 1, "{report:#?}");
    assert_eq!(
        rig.target().tag(&there("app"), "v1").as_deref(),
        Some(image.digest())
    );
    let lost = &image.blobs[0].digest;
    rig.target().forget_blob(&there("app"), lost);
    rig.run(&set(Verify::Tags)).await;
    assert!(!rig.target().holds(&there("app"), lost));
    let report = rig.run(&set(Verify::Deep)).await;
    assert_eq!(report.images.copied, 1, "{report:#?}");
    assert!(rig.target().holds(&there("app"), lost));
}

#[tokio::test]
async fn what_never_moves_is_not_asked_about_again() {
    let rig = Rig::mirroring().await;
    put(&rig.up, &image(1), "app", "1.0.0");
    put(&rig.up, &image(2), "app", "latest");
    let set = Set {
        to: to_both(),
        immutable: vec!["*.*.*".parse().unwrap()],
        ..literal("app", &["1.0.0", "latest"])
    };
    rig.run(&set).await;
    let report = rig.run(&set).await;
    assert_eq!(report.images.unchanged, 2, "{report:#?}");
    assert_eq!(rig.asked(), ["HEAD app/manifests/latest"]);
    assert_eq!(rig.at_target(), 1);
}

#[tokio::test]
async fn bytes_come_once_for_all_destinations() {
    let rig = Rig::mirroring().await;
    let image = ImageBuilder::new(7)
        .layers(3)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    put(&rig.up, &image, "app", "v1");
    // The same digest under another tag.
    put(&rig.up, &image, "app", "v2");
    let set = Set {
        to: to_both(),
        ..literal("app", &["v1", "v2"])
    };
    let report = rig.run(&set).await;
    assert_eq!(
        (report.outcome, report.images.copied),
        (Outcome::Done, 2),
        "{report:#?}"
    );
    assert_eq!(
        rig.asked().len(),
        2 + image.manifests.len() + image.blobs.len()
    );
    for part in image.blobs.iter().chain(&image.manifests) {
        assert_eq!(rig.up.gets_of(&part.digest).len(), 1, "{}", part.digest);
    }
    assert_eq!(rig.target().uploaded_twice(), 0);
    let report = rig.run(&set).await;
    assert_eq!((rig.asked().len(), rig.at_target()), (2, 2), "{report:#?}");
}
