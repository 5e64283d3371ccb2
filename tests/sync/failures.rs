//! What goes wrong stays where it is, and nothing is done twice for it.

use std::sync::Arc;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::prefetch::Destination;
use tidegate::prefetch::ItemOutcome;
use tidegate::prefetch::Outcome;
use tidegate::prefetch::Progress;
use tidegate::prefetch::Set;
use tidegate::prefetch::Source;
use tokio::time::timeout;

use crate::rig::MIRROR;
use crate::rig::Rig;
use crate::rig::all_of;
use crate::rig::item;
use crate::rig::literal;
use crate::rig::put;
use crate::rig::repository;
use crate::rig::there;
use crate::rig::to_both;
use crate::rig::to_target;

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).layers(2).layer_size(4096).build()
}

#[tokio::test]
async fn one_bad_tag_fails_alone() {
    let rig = Rig::mirroring().await;
    put(&rig.up, &image(1), "app", "good");
    let bad = image(2);
    put(&rig.up, &bad, "app", "bad");
    rig.up.remove_blob("app", &bad.blobs[1].digest);
    let set = Set {
        to: to_both(),
        ..literal("app", &["good", "bad", "absent"])
    };
    let report = rig.run(&set).await;
    assert_eq!(report.outcome, Outcome::Partly);
    assert_eq!(
        (report.images.copied, report.images.failed),
        (1, 2),
        "{report:#?}"
    );
    assert_eq!(
        item(&report, "up.test/app:good").outcome,
        ItemOutcome::Copied
    );
    let absent = item(&report, "up.test/app:absent");
    assert!(
        absent
            .why
            .as_deref()
            .is_some_and(|why| why.contains("no manifest absent"))
    );
    // Each destination says what it lacks.
    let bad_item = item(&report, "up.test/app:bad");
    for to in &bad_item.to {
        let why = to.why.as_deref().unwrap_or_default();
        assert!(why.contains("has no blob"), "{to:?}");
    }
    assert_eq!(bad_item.to.len(), 2);
    assert_eq!(rig.target().tag(&there("app"), "bad"), None);

    // Once it is there, only what is missing comes.
    let bytes = bad.blobs[1].bytes.clone();
    rig.up.put_blob("app", bytes);
    let report = rig.run(&literal_to_both(&["good", "bad"])).await;
    assert_eq!(
        (report.images.copied, report.images.unchanged),
        (1, 1),
        "{report:#?}"
    );
    let expected = [
        format!("GET app/blobs/{}", bad.blobs[1].digest),
        "HEAD app/manifests/bad".to_owned(),
        "HEAD app/manifests/good".to_owned(),
    ];
    assert_eq!(rig.asked(), expected);
    assert_eq!(rig.target().uploaded_twice(), 0);
}

fn literal_to_both(tags: &[&str]) -> Set {
    Set {
        to: to_both(),
        ..literal("app", tags)
    }
}

#[tokio::test]
async fn one_bad_repository_fails_alone() {
    let rig = Rig::new().await;
    put(&rig.up, &image(1), "app", "v1");
    let set = Set {
        from: vec![
            Source::Repository(repository("none")),
            Source::Repository(repository("app")),
        ],
        ..all_of("app")
    };
    let report = rig.run(&set).await;
    assert_eq!(report.outcome, Outcome::Partly);
    assert_eq!(
        (report.images.copied, report.images.unasked),
        (1, 1),
        "{report:#?}"
    );
    let only = Set {
        from: vec![Source::Repository(repository("none"))],
        ..all_of("app")
    };
    assert_eq!(rig.run(&only).await.outcome, Outcome::Nothing);
}

#[tokio::test]
async fn a_target_that_is_out_fails_alone_and_soon() {
    let mut rig = Rig::mirroring().await;
    let tags: Vec<String> = (0..80).map(|n| format!("v{n}")).collect();
    for (seed, tag) in tags.iter().enumerate() {
        put(&rig.up, &image(seed as u64), "app", tag);
    }
    rig.target().stop().await;
    let names: Vec<&str> = tags.iter().map(String::as_str).collect();
    let set = literal_to_both(&names);
    // Were each to wait for its turn at a target that is out, this would take minutes.
    let report = timeout(4 * PATIENCE, rig.run(&set))
        .await
        .expect("it ends soon");
    assert_eq!(report.outcome, Outcome::Nothing, "{:?}", report.images);
    assert_eq!(report.images.failed, 80);
    for item in &report.items {
        assert_eq!(item.to.len(), 2, "{item:#?}");
        assert_eq!(
            (&*item.to[0].to, item.to[0].outcome),
            ("store", ItemOutcome::Copied)
        );
        assert_eq!(
            (&*item.to[1].to, item.to[1].outcome),
            (MIRROR, ItemOutcome::Failed)
        );
    }
    rig.target().restart().await;
    rig.again().await;
    let report = rig.run(&set).await;
    assert_eq!(
        (report.outcome, report.images.copied),
        (Outcome::Done, 80),
        "{:?}",
        report.images
    );
    // All of it was here already.
    assert_eq!(rig.up.count(|it| it.path.contains("/blobs/")), 0);
}

#[tokio::test]
async fn interrupted_and_run_again_it_does_nothing_twice() {
    interrupted(Rig::mirroring().await).await;
}

#[tokio::test]
async fn interrupted_over_a_store_that_keeps_nothing_it_uploads_nothing_twice() {
    interrupted(Rig::keeping_nothing().await).await;
}

async fn interrupted(mut rig: Rig) {
    let images: Vec<Image> = (0..12).map(image).collect();
    let tags: Vec<String> = (0..12).map(|n| format!("v{n}")).collect();
    for (image, tag) in images.iter().zip(&tags) {
        put(&rig.up, image, "app", tag);
    }
    let names: Vec<&str> = tags.iter().map(String::as_str).collect();
    let set = Set {
        to: to_target(),
        ..literal("app", &names)
    };
    break_off(&rig, &set, &images[6..]).await;
    rig.again().await;
    let uploads = rig.target().uploads().into_iter();
    let whole: Vec<String> = uploads.map(|it| it.digest).collect();
    let report = rig.run(&set).await;
    let ended = (report.outcome, report.images.failed);
    assert_eq!(ended, (Outcome::Done, 0), "{report:#?}");
    assert_eq!(rig.target().uploaded_twice(), 0);
    let asked = rig.up.count(|it| it.path.contains("/manifests/v"));
    assert_eq!(asked, 12, "each tag is asked about once");
    for digest in &whole {
        let gets = rig.up.gets_of(digest).len();
        assert_eq!(gets, 0, "what was there is not fetched again");
    }
    for (image, tag) in images.iter().zip(&names) {
        let there = rig.target().tag(&there("app"), tag);
        assert_eq!(there.as_deref(), Some(image.digest()));
    }
}

/// Begins a run, and breaks it off when all is there but `stalled`.
async fn break_off(rig: &Rig, set: &Set, stalled: &[Image]) {
    let gate = Gate::new();
    for image in stalled {
        let stall = Fault::stall_after(100, &gate);
        rig.up.fault(When::get(&image.blobs[1].digest), stall);
    }
    let progress = Arc::<Progress>::default();
    let run = rig.start(set, &progress);
    let is_asked = |image: &Image| !rig.up.gets_of(&image.blobs[1].digest).is_empty();
    while progress.snapshot().images.copied < 6 || !stalled.iter().all(is_asked) {
        tokio::task::yield_now().await;
    }
    progress.abandon();
    let report = timeout(PATIENCE, run).await;
    let report = report.expect("it ends").expect("no panic");
    assert_eq!(report.outcome, Outcome::Interrupted);
    let ended = (report.images.copied, report.images.skipped);
    assert_eq!(ended, (6, 6), "{report:#?}");
    // What was broken off has cost something, too: a manifest each, at least.
    let whole = 6 * (1 + stalled[0].blobs.len() as u64);
    assert!(report.traffic.source_requests >= whole + 6, "{report:#?}");
    gate.open();
    rig.up.clear_faults();
}

#[tokio::test]
async fn a_stopped_run_ends_what_it_has_begun() {
    let rig = Rig::new().await;
    let gate = Gate::new();
    let image = image(1);
    put(&rig.up, &image, "app", "v1");
    rig.up.fault(
        When::get(&image.blobs[1].digest),
        Fault::stall_after(100, &gate),
    );
    let progress = Arc::<Progress>::default();
    let run = rig.start(&literal("app", &["v1"]), &progress);
    while rig.up.gets_of(&image.blobs[1].digest).is_empty() {
        tokio::task::yield_now().await;
    }
    progress.stop();
    gate.open();
    let report = timeout(PATIENCE, run)
        .await
        .expect("it ends")
        .expect("no panic");
    assert_eq!(report.images.copied, 1, "{report:#?}");
}

#[tokio::test]
async fn a_held_run_begins_nothing() {
    let rig = Rig::new().await;
    put(&rig.up, &image(1), "app", "v1");
    let progress = Arc::<Progress>::default();
    progress.hold(true);
    let run = rig.start(&all_of("app"), &progress);
    // The list is asked for all the same, and is followed by nothing.
    while rig.up.count(|it| it.path.ends_with("/tags/list")) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.up.count(|it| it.path.contains("/manifests/")), 0);
    progress.hold(false);
    let report = timeout(PATIENCE, run)
        .await
        .expect("it ends")
        .expect("no panic");
    assert_eq!((report.outcome, report.images.copied), (Outcome::Done, 1));
}

#[tokio::test]
async fn too_many_requests_are_waited_out() {
    let rig = Rig::mirroring().await;
    put(&rig.up, &image(1), "app", "v1");
    let busy = Fault::status(429).header("retry-after", "1");
    rig.up
        .fault(When::get("/manifests/v1").times(4), busy.clone());
    rig.target()
        .fault(When::post("/blobs/uploads/").times(4), busy);
    let report = rig.run(&literal_to_both(&["v1"])).await;
    assert_eq!(
        (report.outcome, report.images.copied),
        (Outcome::Done, 1),
        "{report:#?}"
    );
    assert!(report.traffic.throttled >= 8, "{report:#?}");
}

#[tokio::test]
async fn an_upstream_that_is_silent_delays_no_other() {
    let slow = Upstream::start().await;
    let gate = Gate::new();
    slow.fault(When::any(), Fault::stall_header(&gate));
    let mut rig = Rig::new().await;
    rig.with_upstream("slow.test", &slow.url()).await;
    put(&rig.up, &image(1), "app", "v1");
    put(&slow, &image(2), "app", "v1");
    let other =
        tidegate::oci::Repository::new("slow.test".parse().unwrap(), "app".parse().unwrap());
    let set = Set {
        from: vec![
            Source::Repository(other),
            Source::Repository(repository("app")),
        ],
        to: vec![Destination::Store],
        ..all_of("app")
    };
    let progress = Arc::<Progress>::default();
    let run = rig.start(&set, &progress);
    let other = async {
        while progress.snapshot().images.copied < 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, other)
        .await
        .expect("the other one's image comes");
    gate.open();
    let report = timeout(PATIENCE, run)
        .await
        .expect("it ends")
        .expect("no panic");
    assert_eq!(
        (report.outcome, report.images.copied),
        (Outcome::Done, 2),
        "{report:#?}"
    );
}
