//! Tags that are gone at their source.

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::When;
use tidegate::prefetch::ItemOutcome;
use tidegate::prefetch::Outcome;
use tidegate::prefetch::Prune;
use tidegate::prefetch::Set;
use tidegate::prefetch::Source;

use crate::rig::Rig;
use crate::rig::all_of;
use crate::rig::count;
use crate::rig::including;
use crate::rig::item;
use crate::rig::latest;
use crate::rig::literal;
use crate::rig::put;
use crate::rig::repository;
use crate::rig::tag;
use crate::rig::there;
use crate::rig::to_both;

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layers(1).layer_size(1024).build()
}

/// A rig with five tags that were brought, of which one is gone, and another one that is nobody's
/// business.
async fn rig() -> Rig {
    let rig = Rig::mirroring().await;
    for n in 1..=5 {
        put(&rig.up, &image(n), "app", &format!("v1.{n}.0"));
    }
    put(&rig.up, &image(9), "app", "other");
    let all = Set {
        to: to_both(),
        ..all_of("app")
    };
    let report = rig.run(&all).await;
    assert_eq!(report.images.copied, 6, "{report:#?}");
    rig.up.delete_tag("app", "v1.3.0");
    rig.up.delete_tag("app", "other");
    rig
}

fn pruning(prune: Prune) -> Set {
    Set {
        to: to_both(),
        tags: including("v*"),
        prune,
        ..all_of("app")
    }
}

impl Rig {
    async fn has(&self, name: &str) -> (bool, bool) {
        let stored = self.flow().known_tags(&repository("app")).await;
        (
            stored.contains(&tag(name)),
            self.target().tag(&there("app"), name).is_some(),
        )
    }
}

#[tokio::test]
async fn what_is_gone_stays_or_is_told_or_goes() {
    let rig = rig().await;
    let report = rig.run(&pruning(Prune::Off)).await;
    assert_eq!((report.images.gone, report.images.pruned), (0, 0));
    let report = rig.run(&pruning(Prune::Report)).await;
    assert_eq!(
        (report.images.gone, report.images.pruned),
        (1, 0),
        "{report:#?}"
    );
    assert_eq!(
        (report.outcome, report.images.unchanged),
        (Outcome::Done, 4)
    );
    let gone = item(&report, "up.test/app:v1.3.0");
    assert_eq!((gone.outcome, gone.to.len()), (ItemOutcome::Gone, 2));
    assert_eq!(rig.has("v1.3.0").await, (true, true));

    let report = rig.run(&pruning(Prune::Delete)).await;
    assert_eq!(
        (report.outcome, report.images.pruned),
        (Outcome::Done, 1),
        "{report:#?}"
    );
    assert_eq!(rig.has("v1.3.0").await, (false, false));
    assert_eq!(rig.has("v1.2.0").await, (true, true));
    assert_eq!(
        rig.has("other").await,
        (true, true),
        "the set does not take it"
    );
    let report = rig.run(&pruning(Prune::Delete)).await;
    assert_eq!((report.images.gone, report.images.pruned), (0, 0));
}

#[tokio::test]
async fn what_is_only_left_out_is_not_gone() {
    let rig = rig().await;
    let set = Set {
        tags: latest(2),
        ..pruning(Prune::Delete)
    };
    let report = rig.run(&set).await;
    // Not the older ones: they are at the source still.
    assert_eq!(count(&report, ItemOutcome::Pruned), 1, "{report:#?}");
    assert_eq!(rig.has("v1.1.0").await, (true, true));
}

#[tokio::test]
async fn more_than_prune_max_is_an_error_and_none_goes() {
    let rig = rig().await;
    rig.up.delete_tag("app", "v1.4.0");
    let set = Set {
        prune_max: 1,
        ..pruning(Prune::Delete)
    };
    let report = rig.run(&set).await;
    assert_eq!(
        (report.outcome, report.images.pruned),
        (Outcome::Partly, 0),
        "{report:#?}"
    );
    assert_eq!(report.images.gone, 2);
    assert!(
        item(&report, "prune")
            .why
            .as_deref()
            .is_some_and(|it| it.contains("prune_max = 1"))
    );
    assert_eq!(rig.has("v1.3.0").await, (true, true));
    assert_eq!(rig.has("v1.4.0").await, (true, true));
}

#[tokio::test]
async fn nothing_is_pruned_where_a_source_has_failed_or_has_too_little() {
    let rig = rig().await;
    let too_few = Set {
        min_tags: 5,
        ..pruning(Prune::Delete)
    };
    let report = rig.run(&too_few).await;
    assert_eq!(
        (report.outcome, report.images.pruned),
        (Outcome::Partly, 0),
        "{report:#?}"
    );
    let part = Set {
        from: vec![
            Source::Repository(repository("app")),
            Source::Repository(repository("none")),
        ],
        ..pruning(Prune::Delete)
    };
    let report = rig.run(&part).await;
    assert_eq!(
        (report.outcome, report.images.pruned),
        (Outcome::Partly, 0),
        "{report:#?}"
    );
    rig.up
        .fault(When::path("/tags/list"), Fault::error(404, "NAME_UNKNOWN"));
    let report = rig.run(&pruning(Prune::Delete)).await;
    assert_eq!(
        (report.outcome, report.images.pruned),
        (Outcome::Nothing, 0),
        "{report:#?}"
    );
    // Literal lists tell nothing of what there is.
    let literal = Set {
        prune: Prune::Delete,
        to: to_both(),
        ..literal("app", &["v1.1.0", "v1.3.0"])
    };
    let report = rig.run(&literal).await;
    assert_eq!(
        (report.images.failed, report.images.pruned),
        (1, 0),
        "{report:#?}"
    );
    assert_eq!(rig.has("v1.3.0").await.1, true);
}

#[tokio::test]
async fn a_target_that_deletes_no_tags_is_told_of() {
    let rig = rig().await;
    let no = Fault::error(405, "UNSUPPORTED");
    rig.target()
        .fault(When::path("/manifests/").method(http::Method::DELETE), no);
    let report = rig.run(&pruning(Prune::Delete)).await;
    let gone = item(&report, "up.test/app:v1.3.0");
    assert_eq!(gone.outcome, ItemOutcome::Failed, "{gone:#?}");
    assert_eq!(report.outcome, Outcome::Partly);
    let why = gone.to[1].why.as_deref().unwrap_or_default();
    assert!(why.contains("405"), "{why}");
    assert_eq!(rig.has("v1.3.0").await, (false, true));
}
