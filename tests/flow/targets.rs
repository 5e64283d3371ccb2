//! What is pulled goes to the targets, at no cost to clients or upstreams.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Target;
use fake_registry::When;
use fake_registry::lines;

use crate::rig::Mirrored;
use crate::rig::Rig;
use crate::rig::Setup;

const AMD: &str = "linux/amd64";
const ARM: &str = "linux/arm64";
/// Where `demo/app` is at a target.
const PLACE: &str = "mirror/up.test/demo/app";

async fn mirroring(targets: Vec<Mirrored>) -> Rig {
    let setup = Setup {
        targets,
        ..Setup::default()
    };
    Rig::with(setup).await
}

/// An image of one platform, with layers large enough to be streamed.
fn image(seed: u64) -> Image {
    let builder = ImageBuilder::new(seed).layers(3).layer_size(2 << 20);
    builder.platforms(&[AMD]).build()
}

/// Pulls as dockerd does: `HEAD` of the tag, then all by digest.
async fn pull(rig: &Rig, image: &Image, tag: &str) {
    let head = rig.head(&format!("demo/app/manifests/{tag}")).await;
    assert_eq!(head.status.as_u16(), 200);
    assert_eq!(head.header("docker-content-digest"), Some(image.digest()));
    let mut wanted = vec![image.digest().to_owned()];
    let manifest = image.manifest(AMD).expect("a platform");
    if manifest.digest != image.digest() {
        wanted.push(manifest.digest.clone());
    }
    for digest in wanted {
        let path = format!("demo/app/manifests/{digest}");
        let reply = rig.manifest(&path).await;
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
    blobs(rig, image).await;
}

/// Pulls the blobs of the one platform, one after the other.
async fn blobs(rig: &Rig, image: &Image) {
    for digest in image.layers(AMD) {
        let reply = rig.get(&format!("demo/app/blobs/{digest}")).await;
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
}

/// The blobs of one platform, config and layers, by the manifest that is in the target.
fn has_platform(target: &Target, image: &Image, platform: &str) -> bool {
    let manifest = image.manifest(platform).expect("a platform");
    let there = target.manifest(PLACE, &manifest.digest);
    let blobs = image.layers(platform);
    there.is_some_and(|(_, bytes)| bytes == manifest.bytes)
        && blobs.iter().all(|blob| target.holds(PLACE, blob))
}

/// No blob was asked of the upstream more than once.
fn fetched_once(rig: &Rig, image: &Image, platforms: &[&str]) {
    for platform in platforms {
        for digest in image.layers(platform) {
            let gets = rig.up.gets_of(&digest).len();
            assert_eq!(gets, 1, "{digest}: {}", lines(&rig.up.log()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_get_serves_a_client_and_two_targets() {
    let (east, west) = (Target::start().await, Target::start().await);
    let targets = vec![
        Mirrored::into("east-1", &east),
        Mirrored::into("west-1", &west),
    ];
    let rig = mirroring(targets).await;
    let image = image(9001);
    image.push_to(&rig.up, "demo/app", "v1");
    pull(&rig, &image, "v1").await;
    rig.mirrored().await;
    for target in [&east, &west] {
        assert!(
            has_platform(target, &image, AMD),
            "{}",
            lines(&target.log())
        );
        assert_eq!(target.tag(PLACE, "v1").as_deref(), Some(image.digest()));
        assert_eq!(target.uploaded_twice(), 0);
        // The tag is known by the client's HEAD, so the manifest is put by it, once.
        assert_eq!(target.count(|it| it.method.as_str() == "HEAD"), 0);
    }
    fetched_once(&rig, &image, &[AMD]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_alone_is_no_pull() {
    let target = Target::start().await;
    let rig = mirroring(vec![Mirrored::into("east-2", &target)]).await;
    image(9002).push_to(&rig.up, "demo/app", "v1");
    rig.head("demo/app/manifests/v1").await;
    rig.mirrored().await;
    assert_eq!(target.requests().total(), 0, "{}", lines(&target.log()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moved_is_not_put_back() {
    let target = Target::start().await;
    let rig = mirroring(vec![Mirrored::into("east-3", &target)]).await;
    let (old, new) = (image(9003), image(9004));
    old.push_to(&rig.up, "demo/app", "v1");
    rig.head("demo/app/manifests/v1").await;
    new.push_to(&rig.up, "demo/app", "v1");
    rig.head("demo/app/manifests/v1").await;
    let path = format!("demo/app/manifests/{}", old.digest());
    assert_eq!(rig.manifest(&path).await.status.as_u16(), 200);
    rig.mirrored().await;
    assert!(has_platform(&target, &old, AMD), "{}", lines(&target.log()));
    assert_eq!(target.tag(PLACE, "v1"), None);
    pull(&rig, &new, "v1").await;
    rig.mirrored().await;
    assert_eq!(target.tag(PLACE, "v1").as_deref(), Some(new.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_converted_is_mirrored_without_its_tag() {
    let target = Target::start().await;
    let rig = mirroring(vec![Mirrored::into("east-4", &target)]).await;
    let image = image(9005);
    image.push_to(&rig.up, "demo/app", "v1");
    let url = rig.url("demo/app/manifests/v1");
    let only = "application/vnd.oci.image.index.v1+json";
    let reply = rig.client.get(url).header("accept", only).send().await;
    assert_eq!(reply.unwrap().status.as_u16(), 200);
    rig.mirrored().await;
    assert!(has_platform(&target, &image, AMD));
    assert_eq!(target.tag(PLACE, "v1"), None);
    // Once it is known what was pushed, the same client's pull counts for the tag.
    rig.head("demo/app/manifests/v1").await;
    let url = rig.url("demo/app/manifests/v1");
    let reply = rig.client.get(url).header("accept", only).send().await;
    assert_eq!(reply.unwrap().status.as_u16(), 200);
    rig.mirrored().await;
    assert_eq!(target.tag(PLACE, "v1").as_deref(), Some(image.digest()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_takes_nothing_is_nothing_to_the_client() {
    for keeps in [true, false] {
        let (slow, dead) = (Target::start().await, Target::start().await);
        dead.stop().await;
        let gate = Gate::new();
        let put = When::any().and(|request| ["PUT", "PATCH"].contains(&request.method.as_str()));
        slow.fault(put, Fault::hold_taking_after(1000, &gate));
        let setup = Setup {
            keeps,
            targets: vec![
                Mirrored::into("slow-5", &slow),
                Mirrored::into("dead-5", &dead),
            ],
            ..Setup::default()
        };
        let rig = Rig::with(setup).await;
        let image = image(9006);
        image.push_to(&rig.up, "demo/app", "v1");
        pull(&rig, &image, "v1").await;
        assert!(!has_platform(&slow, &image, AMD), "the gate is closed");
        gate.open();
        rig.mirrored().await;
        let said = lines(&slow.log());
        assert!(has_platform(&slow, &image, AMD), "{keeps}: {said}");
        fetched_once(&rig, &image, &[AMD]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_pulled_comes_when_no_client_waits() {
    let target = Target::start().await;
    let rig = mirroring(vec![Mirrored::into("east-6", &target)]).await;
    let builder = ImageBuilder::new(9007).layers(2).layer_size(1 << 20);
    let image = builder.platforms(&[AMD, ARM]).build();
    image.push_to(&rig.up, "demo/app", "v1");
    let gate = Gate::new();
    let other = rig.up.put_generated_blob("demo/app", 2 << 20, 9107);
    rig.up
        .fault(When::get(&other), Fault::stall_after(1000, &gate));
    let waiting = rig.get(&format!("demo/app/blobs/{other}")).await;
    pull(&rig, &image, "v1").await;
    for digest in image.layers(ARM) {
        let is_shared = image.layers(AMD).contains(&digest);
        let gets = rig.up.gets_of(&digest).len();
        assert!(is_shared || gets == 0, "{}", lines(&rig.up.log()));
    }
    gate.open();
    assert_eq!(waiting.digest().await.unwrap(), other);
    rig.mirrored().await;
    for platform in [AMD, ARM] {
        assert!(has_platform(&target, &image, platform), "{platform}");
    }
    assert_eq!(target.tag(PLACE, "v1").as_deref(), Some(image.digest()));
    fetched_once(&rig, &image, &[AMD, ARM]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_is_done_after_a_restart() {
    let target = Target::start().await;
    let rig = mirroring(vec![Mirrored::into("east-7", &target)]).await;
    let image = image(9008);
    image.push_to(&rig.up, "demo/app", "v1");
    target.stop().await;
    pull(&rig, &image, "v1").await;
    rig.mirrored().await;
    let rig = rig.restarted().await;
    target.restart().await;
    let there = || has_platform(&target, &image, AMD) && target.tag(PLACE, "v1").is_some();
    let done = async {
        while !there() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(std::time::Duration::from_secs(120), done).await;
    assert!(done.is_ok(), "{}", lines(&target.log()));
    rig.mirrored().await;
    fetched_once(&rig, &image, &[AMD]);
}
