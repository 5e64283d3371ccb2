//! What goes wrong at a target, and how it is healed in the same run where it can be.

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Mounts;
use fake_registry::Recorded;
use fake_registry::Target;
use fake_registry::When;

use crate::rig::Rig;
use crate::rig::assert_there;
use crate::rig::config;
use crate::rig::pulled;
use crate::rig::there;
use crate::shelf::shelf;

/// A target that has `first/1`, and a rig that knows it.
async fn scene(image: &Image) -> (Target, Rig) {
    let target = Target::start().await;
    let rig = Rig::new(&target, [image]);
    rig.start();
    rig.targets
        .pulled(pulled("first", Some("1"), image.digest()));
    rig.done().await;
    target.clear_log();
    (target, rig)
}

fn image() -> Image {
    ImageBuilder::new(1).layers(2).build()
}

/// Mirrors an image once while `fault` strikes, and finds it there without any later try.
async fn healed(when: When, fault: Fault) {
    // Too large to be gathered, and sent again, by the client of the registry.
    let image = ImageBuilder::new(1).layers(2).layer_size(400_000).build();
    let target = Target::start().await;
    let rig = Rig::new(&target, [&image]);
    let struck = target.fault(when, fault);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert!(struck.hits() > 0);
    assert_there(&target, "app", "1", &image);
    assert_eq!(rig.state().figures.failures, 0);
    rig.close().await;
}

fn is_large(request: &Recorded) -> bool {
    let length = request
        .header("content-length")
        .and_then(|it| it.parse::<u64>().ok());
    length.is_some_and(|length| length > 150_000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_is_begun_again() {
    let lost = Fault::error(404, "BLOB_UPLOAD_UNKNOWN");
    let when = When::put("/blobs/uploads/").times(1);
    let image = image();
    let target = Target::start().await;
    let rig = Rig::new(&target, [&image]);
    target.fault(when, lost);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    let state = rig.state();
    assert_eq!((state.figures.failures, state.figures.retries), (0, 1));
    assert_eq!(target.requests().starts, image.blobs.len() + 1);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_mid_upload_is_made_again() {
    healed(
        When::put("/blobs/uploads/").and(is_large).times(1),
        Fault::cut_taking_after(100_000),
    )
    .await;
    healed(
        When::put("/blobs/uploads/").and(is_large).times(1),
        Fault::reset_taking_after(70_000),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_401_in_mid_upload_is_begun_again() {
    let refused = Fault::error(401, "UNAUTHORIZED").early(70_000);
    healed(When::put("/blobs/uploads/").and(is_large).times(1), refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_has_had_too_much_gets_it_later() {
    let throttled = Fault::status(429).header("Retry-After", "1");
    let image = image();
    let target = Target::start().await;
    let rig = Rig::new(&target, [&image]);
    target.fault(When::put("/manifests/").times(1), throttled);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    rig.close().await;
}

/// The target has lost a blob that the catalog knows: one retry, and the image is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_has_lost_is_brought_again() {
    let image = image();
    let (target, rig) = scene(&image).await;
    let layer = image.layers("linux/amd64").remove(0);
    target.collect_garbage(&layer);
    // In the same repository: the catalog says that it is there.
    target.forget_manifest(&there("first"), image.digest());
    rig.targets
        .pulled(pulled("first", Some("2"), image.digest()));
    rig.done().await;
    assert_there(&target, "first", "2", &image);
    let state = rig.state();
    assert_eq!((state.figures.failures, state.figures.retries), (0, 1));
    assert_eq!(target.uploads().len(), image.blobs.len() + 1);
    assert!(state.catalog.withdrawals > 0);
    rig.close().await;
}

/// The same for a mount: it is refused, and the session that came instead takes the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_mounted_any_more_is_uploaded_in_the_same_session() {
    let image = image();
    let (target, rig) = scene(&image).await;
    let rig = forgetful(rig).await;
    let layer = image.layers("linux/amd64").remove(0);
    target.collect_garbage(&layer);
    rig.targets
        .pulled(pulled("second", Some("1"), image.digest()));
    rig.done().await;
    assert_there(&target, "second", "1", &image);
    let requests = target.requests();
    assert_eq!(
        (requests.starts, requests.mounts, requests.finishes),
        (0, 3, 1)
    );
    assert_eq!((requests.heads, requests.cancels), (0, 0));
    assert!(!rig.state().refuses_mounts);
    rig.close().await;
}

/// One that knows what is there, but not that it was put there just now.
async fn forgetful(rig: Rig) -> Rig {
    let rig = rig.restarted().await;
    rig.start();
    rig
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_mounts_is_asked_once() {
    let image = image();
    let (target, rig) = scene(&image).await;
    target.set_mounts(Mounts::Never);
    for name in ["second", "third"] {
        rig.targets.pulled(pulled(name, Some("1"), image.digest()));
        rig.done().await;
        assert_there(&target, name, "1", &image);
    }
    assert!(rig.state().refuses_mounts);
    let requests = target.requests();
    assert!(requests.mounts <= 3, "{requests:?}");
    assert_eq!(requests.mounts + requests.starts, 6);
    assert_eq!(
        (requests.finishes, requests.heads, requests.cancels),
        (6, 0, 0)
    );
    assert_eq!(rig.state().figures.failures, 0);
    rig.close().await;
}

/// A full target: the queue tells the truth, and the image is there once there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_target_is_told_of_and_filled_later() {
    let image = image();
    let target = Target::start().await;
    let rig = Rig::new(&target, [&image]);
    let full = target.fault(When::put("/blobs/uploads/"), Fault::status(507));
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.until("it has failed", |state| state.outage.is_some())
        .await;
    rig.until("it is told of", |state| {
        state.errands[0]
            .last_error
            .as_deref()
            .is_some_and(|why| why.contains("no room"))
    })
    .await;
    assert_eq!(rig.state().owed, 1);
    full.lift();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    assert!(rig.state().outage.is_none());
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_or_denied_is_owed_with_advice() {
    for (status, code, advice) in [
        (413, "SIZE_INVALID", "client_max_body_size"),
        (403, "DENIED", "credentials"),
    ] {
        let image = image();
        let target = Target::start().await;
        let rig = Rig::new(&target, [&image]);
        target.fault(When::put("/blobs/uploads/"), Fault::error(status, code));
        rig.targets.pulled(pulled("app", Some("1"), image.digest()));
        rig.start();
        rig.until("it is told of", |state| {
            let why = state
                .errands
                .first()
                .and_then(|errand| errand.last_error.clone());
            why.is_some_and(|why| why.contains(advice))
        })
        .await;
        let state = rig.state();
        assert_eq!((state.owed, state.outage.is_some()), (1, false), "{status}");
        assert!(state.errands[0].next.is_some());
        rig.close().await;
    }
}

/// A target that is down costs a probe now and then, however much is owed to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_down_is_probed_and_gets_all_when_it_is_back() {
    let target = Target::start().await;
    let images: Vec<_> = (0..30)
        .map(|seed| ImageBuilder::new(seed).layers(1).build())
        .collect();
    let rig = Rig::new(&target, &images);
    let down = target.fault(When::any(), Fault::status(503));
    rig.start();
    for (number, image) in images.iter().enumerate() {
        let name = format!("app-{number}");
        rig.targets.pulled(pulled(&name, Some("1"), image.digest()));
    }
    rig.until("nothing is under way", |state| {
        state.outage.is_some() && state.under_way == 0
    })
    .await;
    let before = target.log().len();
    rig.until("it was probed", |_| target.log().len() > before)
        .await;
    // One errand, that is two blobs, each tried as often as any request.
    rig.until("the probe is over", |state| state.under_way == 0)
        .await;
    let probe = target.log().len() - before;
    assert!(probe <= 2 * 3, "{probe} requests");
    assert_eq!(rig.state().owed, 30);
    down.lift();
    rig.done().await;
    for (number, image) in images.iter().enumerate() {
        assert_there(&target, &format!("app-{number}"), "1", image);
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_dead_hinders_no_other() {
    let image = image();
    let (alive, dead) = (Target::start().await, Target::start().await);
    dead.stop().await;
    let configs = vec![config("dead", &dead.url()), config("alive", &alive.url())];
    let rig = Rig::with(configs, shelf([&image]));
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    alive
        .wait_for(|log| log.iter().any(|it| it.path.contains("/manifests/")))
        .await;
    rig.settled().await;
    assert_there(&alive, "app", "1", &image);
    assert_eq!(rig.state().owed, 1);
    dead.restart().await;
    rig.done().await;
    assert_there(&dead, "app", "1", &image);
    rig.close().await;
}

/// One that takes nothing more holds up neither other targets nor other images.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_hangs_hinders_no_other() {
    let target = Target::start().await;
    let (slow, quick) = (image(), ImageBuilder::new(2).build());
    let rig = Rig::new(&target, [&slow, &quick]);
    let gate = fake_registry::Gate::new();
    target.fault(
        When::put("/blobs/uploads/").times(1),
        Fault::hold_taking_after(0, &gate),
    );
    rig.start();
    rig.targets.pulled(pulled("slow", Some("1"), slow.digest()));
    target
        .wait_for(|log| log.iter().any(|it| it.method == http::Method::PUT))
        .await;
    rig.targets
        .pulled(pulled("quick", Some("1"), quick.digest()));
    rig.until("the other is done", |state| state.figures.errands == 1)
        .await;
    assert_there(&target, "quick", "1", &quick);
    gate.open();
    rig.done().await;
    assert_there(&target, "slow", "1", &slow);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_is_gone_is_given_up_and_what_is_late_comes_when_it_is_pulled() {
    let target = Target::start().await;
    let (gone, late) = (image(), ImageBuilder::new(2).build());
    let rig = Rig::new(&target, [&gone, &late]);
    rig.shelf.lose(&gone.blobs[0].digest);
    let blob = late.blobs[0].digest.clone();
    rig.shelf.withhold(&blob, true);
    rig.start();
    rig.targets.pulled(pulled("gone", Some("1"), gone.digest()));
    rig.targets.pulled(pulled("late", Some("1"), late.digest()));
    rig.until("one is given up", |state| state.figures.given_up == 1)
        .await;
    rig.until("one has failed", |state| {
        state.errands.iter().any(|it| it.attempts > 0)
    })
    .await;
    let state = rig.state();
    assert_eq!((state.owed, state.outage.is_some()), (1, false));
    rig.shelf.withhold(&blob, false);
    rig.targets.pulled(pulled("late", Some("1"), late.digest()));
    rig.done().await;
    assert_there(&target, "late", "1", &late);
    assert_eq!(target.tag(&there("gone"), "1"), None);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supply_that_breaks_is_no_fault_of_the_target() {
    let target = Target::start().await;
    let image = image();
    let rig = Rig::new(&target, [&image]);
    rig.shelf.cut(&image.layers("linux/amd64")[0], 1);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    assert!(rig.state().outage.is_none());
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harbors_projects_are_made() {
    let target = Target::builder().projects().start().await;
    let image = image();
    let rig = Rig::new(&target, [&image]);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.done().await;
    assert_there(&target, "app", "1", &image);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_no_push_makes_is_told_of() {
    let target = Target::builder().existing_only().start().await;
    let image = image();
    let rig = Rig::new(&target, [&image]);
    rig.targets.pulled(pulled("app", Some("1"), image.digest()));
    rig.start();
    rig.until("it is told of", |state| {
        let why = state
            .errands
            .first()
            .and_then(|errand| errand.last_error.clone());
        why.is_some_and(|why| why.contains("create the repository"))
    })
    .await;
    rig.close().await;
}

/// All faults at once, in turn, at random places: in the end all is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_it_is_there_in_the_end() {
    let target = Target::start().await;
    let images: Vec<_> = (0..8)
        .map(|seed| ImageBuilder::new(seed).base(seed % 3, 2).layers(2).build())
        .collect();
    let rig = Rig::new(&target, &images);
    for (nth, fault) in [
        Fault::error(404, "BLOB_UPLOAD_UNKNOWN"),
        Fault::cut_taking_after(100),
        Fault::status(500),
        Fault::lose_answer(),
        Fault::error(401, "UNAUTHORIZED"),
        Fault::status(507),
    ]
    .into_iter()
    .enumerate()
    {
        target.fault(When::put("/").nth(2 + 3 * nth), fault.clone());
        target.fault(When::post("/").nth(3 + 4 * nth), fault);
    }
    rig.start();
    for (number, image) in images.iter().enumerate() {
        let name = format!("app-{number}");
        rig.targets.pulled(pulled(&name, Some("1"), image.digest()));
    }
    rig.done().await;
    for (number, image) in images.iter().enumerate() {
        assert_there(&target, &format!("app-{number}"), "1", image);
    }
    rig.close().await;
}
