//! Images: their parts fit together, and registries and tools take them.

use std::collections::HashSet;

use fake_registry::Client;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Upstream;
use fake_registry::digest_of;

use crate::missing;

fn digests(image: &Image) -> HashSet<String> {
    image.blobs.iter().map(|blob| blob.digest.clone()).collect()
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let build = |seed| {
        ImageBuilder::new(seed)
            .platforms(&["linux/amd64", "linux/arm64"])
            .build()
    };
    assert_eq!(build(1).digest(), build(1).digest());
    assert_ne!(build(1).digest(), build(2).digest());
    assert!(digests(&build(1)).is_disjoint(&digests(&build(2))));
    assert_eq!(build(1).blobs.len(), 2 * (1 + 2));
}

#[test]
fn a_base_is_shared() {
    let one = ImageBuilder::new(1).base(9, 3).layers(1).build();
    let two = ImageBuilder::new(2).base(9, 3).layers(1).build();
    assert_eq!(digests(&one).intersection(&digests(&two)).count(), 3);
    assert_eq!(
        one.layers("linux/amd64")[..3],
        two.layers("linux/amd64")[..3]
    );
    assert_eq!(one.layers("linux/amd64").len(), 4);
}

#[test]
fn descriptors_and_diff_ids_are_right() {
    let image = ImageBuilder::new(1)
        .docker()
        .platforms(&["linux/amd64", "linux/s390x"])
        .build();
    let manifest = image.manifest("linux/s390x").unwrap();
    assert!(manifest.media_type.contains("docker"));
    let blob = |digest: &serde_json::Value| {
        image
            .blobs
            .iter()
            .find(|blob| blob.digest == *digest)
            .expect("a blob of the image")
    };
    let config = blob(&manifest.json()["config"]["digest"]);
    assert_eq!(config.json()["architecture"], "s390x");
    for (at, layer) in manifest.json()["layers"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let layer = &blob(&layer["digest"]).bytes;
        let mut archive = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(&layer[..]);
        std::io::copy(&mut gzip, &mut archive).unwrap();
        assert_eq!(config.json()["rootfs"]["diff_ids"][at], digest_of(&archive));
        assert!(tar::Archive::new(&archive[..]).entries().unwrap().count() >= 2);
    }
}

#[tokio::test]
async fn a_scripted_registry_serves_an_image_and_its_referrers() {
    let upstream = Upstream::start().await;
    let image = ImageBuilder::new(1).platforms(&["linux/amd64"]).build();
    image.push_to(&upstream, "a/b", "v1");
    let signature = image.referrer("application/vnd.test.signature", "signed");
    signature.push_to(&upstream, "a/b", signature.digest());
    let client = Client::new();
    let get = async |path: String| {
        client
            .get(format!("{}/v2/a/b/{path}", upstream.url()))
            .send()
            .await
            .expect("an answer")
    };
    assert_eq!(
        get("manifests/v1".to_owned()).await.digest().await.unwrap(),
        image.digest()
    );
    for blob in &image.blobs {
        assert_eq!(
            get(format!("blobs/{}", blob.digest))
                .await
                .digest()
                .await
                .unwrap(),
            blob.digest
        );
    }
    let referrers = get(format!("referrers/{}", image.digest()))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(referrers["manifests"][0]["digest"], signature.digest());
    assert_eq!(
        referrers["manifests"][0]["artifactType"],
        "application/vnd.test.signature"
    );
}

#[tokio::test]
async fn skopeo_reads_a_layout_and_a_scripted_registry() {
    if missing("skopeo", "skopeo_reads_a_layout_and_a_scripted_registry") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let image = ImageBuilder::new(1)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build();
    image
        .write_oci_layout(folder.path().join("layout"), "v1")
        .unwrap();
    let upstream = Upstream::start().await;
    image.push_to(&upstream, "a", "v1");
    let layout = format!("oci:{}/layout:v1", folder.path().display());
    let registry = format!("docker://{}/a:v1", upstream.host());
    for source in [layout, registry] {
        let target = format!("dir:{}", folder.path().join("copy").display());
        let mut copy = fake_registry::Process::command("skopeo")
            .args(["copy", "--all", "--preserve-digests", "--insecure-policy"])
            .args(["--src-tls-verify=false", &source, &target])
            .spawn();
        let status = copy.wait(fake_registry::PATIENCE).await;
        assert!(status.success(), "{source}: {}", copy.stderr());
    }
}
