use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Release;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::prefetch;
use tidegate::prefetch::Set;
use tidegate::prefetch::Source;
use tidegate::prefetch::TagSet;

use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::Told;

const RELEASES: &str = "openshift-release-dev/ocp-release";
const PARTS: &str = "quay.io/openshift-release-dev/ocp-v4.0-art-dev";
const VERSION: &str = "4.20.8";
const REFERENCES: &str = "release-manifests/image-references";

fn release(text: &str, architectures: &[&str]) -> Set {
    let release = prefetch::Release::new(text, architectures).expect("a release");
    rig::set(Source::Release(release), TagSet::default())
}

async fn offering(image: &Image, tag: &str) -> Rig {
    let up = Upstream::start().await;
    image.push_to(&up, RELEASES, tag);
    Rig::before(up).await
}

/// A release image with this file, on two layers.
fn image(seed: u64, path: &str, file: &str) -> Image {
    let image = ImageBuilder::new(seed).docker().base(4, 2).layers(1);
    image.file(path, file.to_owned(), 0o644).build()
}

fn failure(told: &Told) -> &str {
    let [(what, why)] = &told.failed[..] else {
        panic!("{told:?}");
    };
    assert!(what.starts_with("openshift:4.20.8"), "{what}");
    assert!(told.wanted.is_empty(), "{told:?}");
    why
}

#[tokio::test]
async fn a_release_is_its_components_by_digest_and_its_image_last() {
    let built = Release::new(VERSION, PARTS, 190);
    let rig = offering(&built.image, "4.20.8-x86_64").await;
    let told = rig.discover(release(VERSION, &[])).await;
    assert_eq!(told.failed, []);
    let (last, components) = told.wanted.split_last().expect("some");
    assert_eq!(components.len(), 190);
    for (wanted, (name, image)) in components.iter().zip(&built.components) {
        assert_eq!(wanted.repository.to_string(), PARTS);
        assert_eq!(wanted.reference.as_str(), image.digest());
        let digest = wanted.digest.as_ref().map(|digest| digest.as_str());
        assert_eq!(digest, Some(image.digest()));
        let tag = wanted.tag.as_ref().map(ToString::to_string);
        assert_eq!(tag, Some(format!("4.20.8-x86_64-{name}")));
    }
    assert_eq!(last.repository.to_string(), format!("quay.io/{RELEASES}"));
    assert_eq!(last.reference.as_str(), "4.20.8-x86_64");
    assert_eq!(
        last.tag.as_ref().map(|tag| tag.as_str()),
        Some("4.20.8-x86_64")
    );
    let digest = last.digest.as_ref().map(|digest| digest.as_str());
    assert_eq!(digest, Some(built.image.digest()));
    // The manifest, and the topmost layer: nothing of the base, nothing of the components.
    let manifests = rig.up.count(|r| r.path.contains("/manifests/"));
    let blobs = rig.up.count(|r| r.path.contains("/blobs/"));
    assert_eq!((manifests, blobs), (1, 1));
}

#[tokio::test]
async fn a_second_look_fetches_nothing_again() {
    let built = Release::new(VERSION, PARTS, 20);
    let rig = offering(&built.image, "4.20.8-x86_64").await;
    rig.discover(release(VERSION, &[])).await;
    let before = rig.received().await;
    rig.up.clear_log();
    let told = rig.discover(release(VERSION, &[])).await;
    assert_eq!(told.wanted.len(), 21);
    let asked: Vec<String> = rig.up.log().iter().map(|r| r.method.to_string()).collect();
    assert_eq!(asked, ["HEAD"]);
    assert_eq!(rig.received().await, before);
}

#[tokio::test]
async fn the_file_is_looked_for_from_the_topmost_layer_down() {
    let built = Release::new(VERSION, PARTS, 3);
    let json = references(&built);
    let up = Upstream::start().await;
    // The file is in the lowest layer of three.
    let below = image(7, REFERENCES, &json);
    let above = ImageBuilder::new(8).docker().layers(2).build();
    let layers = [&below, &above].map(|it| it.layers("linux/amd64"));
    let order: Vec<&String> = layers.iter().flatten().collect();
    stack(&up, &[&below, &above], &order);
    let rig = Rig::before(up).await;
    let told = rig.discover(release(VERSION, &[])).await;
    assert_eq!(told.failed, []);
    assert_eq!(told.wanted.len(), 4);
    let fetched: Vec<String> = rig
        .up
        .log()
        .iter()
        .filter_map(|r| Some(r.path.rsplit_once("/blobs/")?.1.to_owned()))
        .collect();
    let expected: Vec<&String> = order.iter().rev().take(3).copied().collect();
    assert_eq!(fetched.iter().collect::<Vec<_>>(), expected);
}

/// The file of a release.
fn references(release: &Release) -> String {
    let tags = release.components.iter().map(|(name, image)| {
        let place = format!("{PARTS}@{}", image.digest());
        serde_json::json!({"name": name, "from": {"kind": "DockerImage", "name": place}})
    });
    let tags: Vec<_> = tags.collect();
    let version = &release.version;
    serde_json::json!({"kind": "ImageStream", "metadata": {"name": version}, "spec": {"tags": tags}})
        .to_string()
}

/// Puts a release image of these layers, the lowest first.
fn stack(up: &Upstream, images: &[&Image], layers: &[&String]) {
    let blobs = images.iter().flat_map(|image| &image.blobs);
    let mut entries = Vec::new();
    for blob in blobs {
        up.put_blob(RELEASES, blob.bytes.clone());
        entries.push(blob.descriptor());
    }
    let of = |digest: &&String| {
        let mut all = entries.iter();
        all.find(|it| it["digest"] == digest.as_str())
            .expect("a layer")
            .clone()
    };
    let mut manifest = images[0].root.json();
    manifest["layers"] = layers.iter().map(of).collect();
    let media_type = manifest["mediaType"].as_str().expect("a type").to_owned();
    up.put_manifest(RELEASES, "4.20.8-x86_64", &media_type, manifest.to_string());
}

#[tokio::test]
async fn a_file_that_was_removed_is_not_there() {
    let built = Release::new(VERSION, PARTS, 3);
    let up = Upstream::start().await;
    let below = image(7, REFERENCES, &references(&built));
    let above = image(8, "release-manifests/.wh.image-references", "");
    let layers = [&below, &above].map(|it| it.layers("linux/amd64"));
    let order: Vec<&String> = layers.iter().flatten().collect();
    stack(&up, &[&below, &above], &order);
    let rig = Rig::before(up).await;
    let told = rig.discover(release(VERSION, &[])).await;
    assert!(failure(&told).contains("no release image"), "{told:?}");
    assert_eq!(rig.up.count(|r| r.path.contains("/blobs/")), 1);
}

#[tokio::test]
async fn architectures_are_called_as_their_vendor_does() {
    let up = Upstream::start().await;
    for (seed, tag) in [
        (3, "4.20.8-x86_64"),
        (4, "4.20.8-aarch64"),
        (5, "4.20.8-s390x"),
    ] {
        let built = Release::new(VERSION, PARTS, seed);
        built.image.push_to(&up, RELEASES, tag);
    }
    // One for several: an index of release images, which name the same components.
    let json = references(&Release::new(VERSION, PARTS, 6));
    let multi = ImageBuilder::new(9)
        .docker()
        .platforms(&["linux/arm64", "linux/s390x"]);
    let multi = multi.file(REFERENCES, json, 0o644).build();
    multi.push_to(&up, RELEASES, "4.20.8-multi");
    let rig = Rig::before(up).await;
    let told = rig
        .discover(release(VERSION, &["arm64", "s390x", "multi", "ppc64le"]))
        .await;
    let with = |prefix: &str| {
        let names = told.names();
        names.iter().filter(|it| it.contains(prefix)).count()
    };
    assert_eq!(with(":4.20.8-aarch64"), 5);
    assert_eq!(with(":4.20.8-s390x"), 6);
    assert_eq!(with(":4.20.8-multi"), 7);
    assert_eq!(told.wanted.len(), 18);
    let [(what, why)] = &told.failed[..] else {
        panic!("{told:?}");
    };
    assert_eq!(what, "openshift:4.20.8 (ppc64le)");
    assert!(why.contains("has no 4.20.8-ppc64le"), "{why}");
}

#[tokio::test]
async fn a_release_elsewhere_may_have_its_components_beside_it() {
    let built = Release::new(VERSION, PARTS, 5);
    let up = Upstream::start().await;
    built.image.push_to(&up, "mirror/release", "4.20.8-x86_64");
    built.image.push_to(&up, "okd/scos-release", VERSION);
    let setup = Setup {
        upstream: "mirror.example",
        ..Setup::default()
    };
    let rig = Rig::with(up, setup).await;
    let mirrored = "4.20.8@mirror.example/mirror/release";
    let told = rig.discover(release(mirrored, &[])).await;
    assert_eq!(told.failed, []);
    assert_eq!(told.wanted.len(), 6);
    for wanted in &told.wanted {
        assert_eq!(
            wanted.repository.to_string(),
            "mirror.example/mirror/release"
        );
    }
    // The tag is the version, and nothing more, as OKD has it.
    let told = rig
        .discover(release("4.20.8@mirror.example/okd/scos-release", &[]))
        .await;
    let last = told.wanted.last().expect("some");
    assert_eq!(last.reference.as_str(), VERSION);
    let tag = told.wanted[0].tag.as_ref().map(ToString::to_string);
    assert_eq!(tag, Some(format!("4.20.8-{}", built.components[0].0)));
    // Who has not said where, is told.
    let told = rig.discover(release(VERSION, &[])).await;
    let why = failure(&told);
    assert!(
        why.contains("'quay.io'") && why.contains("openshift:4.20.8@"),
        "{why}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_release_is_said() {
    let stream = |kind: &str, name: &str| {
        let from = serde_json::json!({"kind": "DockerImage", "name": name});
        let tags = [serde_json::json!({"name": "etcd", "from": from})];
        let all = serde_json::json!({
            "kind": kind, "metadata": {"name": VERSION}, "spec": {"tags": tags}
        });
        all.to_string()
    };
    let digest = Release::new(VERSION, PARTS, 2).components[0]
        .1
        .digest()
        .to_owned();
    let other = format!("registry.example/a/b@{digest}");
    let cases = [
        (
            REFERENCES,
            stream("ImageStream", "quay.io/a/b:v1"),
            "'etcd'",
        ),
        (
            REFERENCES,
            stream("List", &format!("{PARTS}@{digest}")),
            "'List'",
        ),
        (REFERENCES, "not JSON".to_owned(), "no list of components"),
        (
            "manifests/image-references",
            "{}".to_owned(),
            "no release image",
        ),
        (
            REFERENCES,
            stream("ImageStream", &other),
            "registry.example",
        ),
    ];
    for (seed, (path, file, said)) in (10..).zip(cases) {
        let rig = offering(&image(seed, path, &file), "4.20.8-x86_64").await;
        let told = rig.discover(release(VERSION, &[])).await;
        let why = failure(&told);
        assert!(why.contains(said), "{why}");
    }
}

#[tokio::test]
async fn a_layer_that_can_t_be_had_or_read_is_named() {
    let built = Release::new(VERSION, PARTS, 3);
    let rig = offering(&built.image, "4.20.8-x86_64").await;
    let layers = built.image.layers("linux/amd64");
    let top = layers.last().expect("a layer");
    let gone = rig.up.fault(When::get(top), Fault::status(404));
    let told = rig.discover(release(VERSION, &[])).await;
    assert!(failure(&told).contains(top.as_str()), "{told:?}");
    gone.lift();
    let up = Upstream::start().await;
    // What is no tar file at all.
    let noise = up.put_generated_blob(RELEASES, 100_000, 1);
    let mut manifest = built.image.root.json();
    manifest["layers"][2] = serde_json::json!({
        "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "digest": noise, "size": 100_000,
    });
    let media_type = manifest["mediaType"].as_str().expect("a type").to_owned();
    up.put_manifest(RELEASES, "4.20.8-x86_64", &media_type, manifest.to_string());
    let rig = Rig::before(up).await;
    let told = rig.discover(release(VERSION, &[])).await;
    assert!(failure(&told).contains(&noise), "{told:?}");
}
