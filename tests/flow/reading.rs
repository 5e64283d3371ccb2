//! Targets that are read from: before the upstream, and in its place.

use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::When;
use fake_registry::lines;
use tidegate::target::Complete;

use crate::log;
use crate::rig::Mirrored;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const AMD: &str = "linux/amd64";
const PLACE: &str = "mirror/up.test/demo/app";
const LAYER: u64 = 4 << 20;

/// A proxy that keeps nothing, and has mirrored an image to `target`; what was asked is forgotten.
async fn mirrored(name: &'static str, target: &Target, image: &Image) -> Rig {
    let setup = Setup {
        keeps: false,
        targets: vec![Mirrored::read(name, target)],
        ..Setup::impatient()
    };
    let rig = Rig::with(setup).await;
    image.push_to(&rig.up, "demo/app", "v1");
    pull(&rig, image).await;
    rig.mirrored().await;
    assert_eq!(target.tag(PLACE, "v1").as_deref(), Some(image.digest()));
    let rig = rig.restarted().await;
    rig.up.clear_log();
    target.clear_log();
    rig
}

fn image(seed: u64) -> Image {
    let builder = ImageBuilder::new(seed).layers(2);
    let builder = builder.layer_size(usize::try_from(LAYER).unwrap());
    builder.platforms(&[AMD]).build()
}

async fn pull(rig: &Rig, image: &Image) -> String {
    let reply = rig.manifest("demo/app/manifests/v1").await;
    let from = cache(&reply).to_owned();
    assert_eq!(reply.digest().await.unwrap(), image.digest());
    let own = &image.manifest(AMD).expect("a platform").digest;
    let reply = rig.manifest(&format!("demo/app/manifests/{own}")).await;
    assert_eq!(reply.digest().await.unwrap(), *own);
    for digest in image.layers(AMD) {
        let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
    from
}

/// The largest layer.
fn layer(target: &Target, image: &Image) -> String {
    let all = image.layers(AMD).into_iter();
    let length = |digest: &String| target.blob(PLACE, digest).map_or(0, |blob| blob.len());
    all.max_by_key(length).expect("a layer")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_has_costs_the_upstream_no_body() {
    let target = Target::start().await;
    let image = image(9101);
    let rig = mirrored("read-1", &target, &image).await;
    assert_eq!(pull(&rig, &image).await, "MISS");
    assert_eq!(rig.asked(), (1, 0), "{}", lines(&rig.up.log()));
    // Its blobs open for no other repository.
    let digest = layer(&target, &image);
    let other = rig.get(&format!("evil/app/blobs/{digest}")).await;
    assert_eq!(other.status.as_u16(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_stands_in_for_an_upstream_that_is_out() {
    let target = Target::start().await;
    let image = image(9102);
    let rig = mirrored("read-2", &target, &image).await;
    rig.up.stop().await;
    for _ in 0..2 {
        assert_eq!(pull(&rig, &image).await, "STALE");
    }
    let head = rig.head("demo/app/manifests/v1").await;
    assert_eq!(head.status.as_u16(), 200);
    assert_eq!(head.header("docker-content-digest"), Some(image.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_target_has_no_more_comes_from_the_upstream() {
    let target = Target::start().await;
    let image = image(9103);
    let rig = mirrored("read-3", &target, &image).await;
    let digest = layer(&target, &image);
    target.collect_garbage(&digest);
    target.forget_manifest(PLACE, image.digest());
    pull(&rig, &image).await;
    assert_eq!(rig.up.gets_of(&digest).len(), 1);
    assert_eq!(target.gets_of(&digest).len(), 1);
    // It is out of the catalog, so that the pull has brought it back.
    rig.mirrored().await;
    assert!(target.holds(PLACE, &digest), "{}", lines(&target.log()));
    assert!(target.holds(PLACE, image.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_at_the_end_goes_unnoticed() {
    let target = Target::start().await;
    let image = image(9104);
    let rig = mirrored("read-4", &target, &image).await;
    let digest = layer(&target, &image);
    let length = target.blob(PLACE, &digest).expect("a layer").len() as u64;
    let flip = Fault::flip_bit_at(length - 1);
    target.fault(When::get(&digest), flip);
    pull(&rig, &image).await;
    assert_eq!(rig.up.gets_of(&digest).len(), 1);
    assert!(!log::lines_with(&digest).is_empty(), "the log tells");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_that_was_given_is_never_completed() {
    let target = Target::start().await;
    let image = image(9105);
    let rig = mirrored("read-5", &target, &image).await;
    let digest = layer(&target, &image);
    target.fault(When::get(&digest), Fault::flip_bit_at(1000));
    let path = format!("demo/app/blobs/{digest}");
    let reply = rig.get(&path).await;
    let length = reply.content_length().expect("a length");
    let (read, error) = reply.bytes_until_error().await;
    assert!(error.is_some() && (read.len() as u64) < length);
    // The next one hears nothing of it.
    assert_eq!(rig.get(&path).await.digest().await.unwrap(), digest);
    rig.flow.settled().await;
    assert_eq!(target.gets_of(&digest).len(), 1, "it is asked no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_breaks_off_is_gone_on_with_where_it_stopped() {
    let target = Target::start().await;
    let image = image(9106);
    let rig = mirrored("read-6", &target, &image).await;
    let digest = layer(&target, &image);
    let cut = Fault::cut_after(1 << 20);
    target.fault(When::get(&digest).times(1), cut);
    pull(&rig, &image).await;
    assert_eq!(rig.asked(), (1, 0), "{}", lines(&rig.up.log()));
    assert_eq!(target.gets_of(&digest).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_goes_on_with_what_a_target_does_not_finish() {
    let target = Target::start().await;
    let image = image(9107);
    let rig = mirrored("read-7", &target, &image).await;
    let digest = layer(&target, &image);
    let cut = Fault::cut_after(1 << 20);
    target.fault(When::get(&digest).times(1), cut);
    target.fault(When::get(&digest).after(1), Fault::status(503));
    pull(&rig, &image).await;
    let gets = rig.up.gets_of(&digest);
    assert_eq!(gets.len(), 1, "{}", lines(&rig.up.log()));
    assert_eq!(gets[0].header("range"), Some("bytes=1048576-"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_is_left_out() {
    let target = Target::start().await;
    let image = image(9108);
    let rig = mirrored("read-8-down", &target, &image).await;
    target.stop().await;
    pull(&rig, &image).await;
    let all = image.layers(AMD);
    for digest in &all {
        assert_eq!(rig.up.gets_of(digest).len(), 1);
    }
    let said = log::lines_with("read-8-down");
    let said = said.iter().filter(|line| line.contains("not read from"));
    assert_eq!(said.count(), 1, "it is asked once, and then left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_not_read_from_a_target() {
    let target = Target::start().await;
    let image = image(9109);
    let mut to = Mirrored::read("read-9", &target);
    to.complete = Complete::Requested;
    let setup = Setup {
        targets: vec![to],
        ..Setup::default()
    };
    let rig = Rig::with(setup).await;
    image.push_to(&rig.up, "demo/app", "v1");
    pull(&rig, &image).await;
    rig.mirrored().await;
    rig.flow.settled().await;
    assert_eq!(pull(&rig, &image).await, "HIT");
    assert_eq!(target.count(|it| it.method.as_str() == "GET"), 0);
}
