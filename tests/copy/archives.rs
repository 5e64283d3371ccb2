//! docker-archives.

use std::collections::BTreeMap;
use std::io::Read as _;

use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::need;
use serde_json::Value;
use tidegate::oci::Digest;

use crate::rig::Place;
use crate::rig::push;
use crate::rig::registry;

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut gzip = flate2::read::MultiGzDecoder::new(bytes);
    gzip.read_to_end(&mut plain).unwrap();
    plain
}

/// What a docker-archive of one platform of `image` has in it: the config and the plain layers.
fn expected(image: &Image, platform: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let manifest = image.manifest(platform).unwrap().json();
    let blob = |digest: &str| {
        let found = image.blobs.iter().find(|blob| blob.digest == digest);
        found.unwrap().bytes.to_vec()
    };
    let config = blob(manifest["config"]["digest"].as_str().unwrap());
    let layers = image.layers(platform);
    (
        config,
        layers.iter().map(|layer| unpacked(&blob(layer))).collect(),
    )
}

fn entries(place: &Place, file: &str) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(std::fs::File::open(place.at(file)).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, std::fs::File>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

#[track_caller]
fn assert_holds(place: &Place, file: &str, image: &Image, platform: &str, tag: Option<&str>) {
    let entries = entries(place, file);
    let list: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    let (config, layers) = expected(image, platform);
    assert!(entries[list[0]["Config"].as_str().unwrap()] == config);
    let names = list[0]["Layers"].as_array().unwrap();
    assert_eq!(names.len(), layers.len());
    for (name, layer) in names.iter().zip(&layers) {
        assert!(entries[name.as_str().unwrap()] == *layer, "{name}");
    }
    match tag {
        Some(tag) => assert_eq!(list[0]["RepoTags"][0], tag),
        None => assert!(list[0]["RepoTags"].is_null(), "{list}"),
    }
}

#[tokio::test]
async fn one_platform_becomes_an_archive_that_skopeo_reads() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, registry) = (Place::new(), registry().await);
    let image = ImageBuilder::new(11)
        .base(3, 2)
        .platforms(&["linux/arm64", "linux/s390x"])
        .build();
    push(&registry, &image, "team/app", "v1").await;
    let source = format!("{}/team/app:v1", registry.host());
    let wish = format!("--platform linux/s390x {source} docker-archive:out.tar");
    let report = place.copied(&wish).await;
    let (config, _) = expected(&image, "linux/s390x");
    assert_eq!(report["image_id"], Digest::of(&config).as_str());
    assert_holds(&place, "out.tar", &image, "linux/s390x", Some(&source));
    let first = std::fs::read(place.at("out.tar")).unwrap();
    place.copied(&wish).await;
    assert!(
        std::fs::read(place.at("out.tar")).unwrap() == first,
        "not the same bytes"
    );

    let inspected = place
        .run("skopeo", "inspect --config --raw docker-archive:out.tar")
        .await;
    assert!(inspected.well().as_bytes() == config);
    // skopeo checks each layer against the config.
    place
        .run("skopeo", "copy docker-archive:out.tar dir:checked")
        .await
        .well();
    let said = place
        .copy(&format!("{source} docker-archive:x.tar"))
        .await
        .failed(2);
    assert!(said.contains("but linux/arm64, linux/s390x"), "{said}");
    assert!(!place.at("x.tar").exists());
}

#[tokio::test]
async fn the_machines_own_platform_is_meant_where_none_is_named() {
    let place = Place::new();
    let own = match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    };
    let image = ImageBuilder::new(12)
        .platforms(&["linux/s390x", own])
        .build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    place.copied("oci:in docker-archive:out.tar:team/app").await;
    assert_holds(&place, "out.tar", &image, own, Some("team/app:latest"));
    let two = "--platform linux/s390x --platform linux/arm64";
    let said = place
        .copy(&format!("{two} oci:in docker-archive:x.tar"))
        .await
        .failed(2);
    assert!(said.contains("a docker-archive has one platform"), "{said}");
}

#[tokio::test]
async fn what_skopeo_archives_is_read() {
    if !need(&["skopeo"]) {
        return;
    }
    let place = Place::new();
    let image = ImageBuilder::new(13).base(3, 1).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    place
        .run("skopeo", "copy oci:in:v1 docker-archive:s.tar:team/app:v2")
        .await
        .well();
    let report = place.copied("docker-archive:s.tar oci:out:v2").await;
    let (config, layers) = expected(&image, "linux/amd64");
    let files = place.files("out");
    let blob = |digest: &str| &files[&format!("blobs/{}", digest.replace(':', "/"))];
    let manifest: Value = serde_json::from_slice(blob(report["digest"].as_str().unwrap())).unwrap();
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    assert!(*blob(manifest["config"]["digest"].as_str().unwrap()) == config);
    for (entry, layer) in manifest["layers"].as_array().unwrap().iter().zip(&layers) {
        assert!(blob(entry["digest"].as_str().unwrap()) == layer);
        assert_eq!(entry["size"], layer.len());
    }
    // By its name; and compressed as a whole.
    place
        .copied("docker-archive:s.tar:team/app:v2 oci:named")
        .await;
    place.run("gzip", "-k s.tar").await.well();
    place.copied("docker-archive:s.tar.gz oci:packed").await;
    assert!(place.files("packed") == place.files("named"));
    let said = place
        .copy("docker-archive:s.tar:other:1 oci:x")
        .await
        .failed(2);
    assert!(
        said.contains("no image other:1 in it, but docker.io/team/app:v2"),
        "{said}"
    );
}

/// There and back: the config and the layers stay, the manifest is another one.
#[tokio::test]
async fn an_archive_of_an_archive_is_the_same_image() {
    let place = Place::new();
    let image = ImageBuilder::new(14).layers(3).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let name = "docker-archive:a.tar:r.test/team/app:v1";
    let first = place.copied(&format!("oci:in {name}")).await;
    let second = place
        .copied("docker-archive:a.tar docker-archive:b.tar")
        .await;
    assert_eq!(first["image_id"], second["image_id"]);
    assert_ne!(first["digest"], second["digest"]);
    let [a, b] = ["a.tar", "b.tar"].map(|file| std::fs::read(place.at(file)).unwrap());
    assert!(a == b, "the archives differ");
}

#[tokio::test]
async fn what_is_no_image_is_refused_and_leaves_nothing() {
    let place = Place::new();
    let image = ImageBuilder::new(15).build();
    let artifact = image.referrer("application/spdx+json", "an sbom");
    artifact.write_oci_layout(place.at("in"), "v1").unwrap();
    let said = place
        .copy("oci:in:v1 docker-archive:out.tar")
        .await
        .failed(2);
    assert!(
        said.contains("a docker-archive holds images only, and this is an artifact"),
        "{said}"
    );
    std::fs::create_dir(place.at("folder")).unwrap();
    let said = place
        .copy("oci:in:v1 docker-archive:folder")
        .await
        .failed(3);
    assert!(said.contains("this is a folder"), "{said}");
    let mut left: Vec<_> = std::fs::read_dir(place.at("")).unwrap().collect();
    left.retain(|entry| {
        !matches!(
            entry.as_ref().unwrap().file_name().to_str(),
            Some("in" | "folder")
        )
    });
    assert!(left.is_empty(), "{left:?}");
}
