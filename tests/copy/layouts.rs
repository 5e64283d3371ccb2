//! OCI image layouts.

use fake_registry::ImageBuilder;
use fake_registry::need;
use serde_json::Value;

use crate::rig::Place;
use crate::rig::assert_blobs;
use crate::rig::push;
use crate::rig::registry;

const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/s390x"];

fn index(place: &Place, folder: &str) -> Value {
    let bytes = std::fs::read(place.at(folder).join("index.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn all_platforms_of_an_image_become_a_layout_that_skopeo_reads() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, registry) = (Place::new(), registry().await);
    let image = ImageBuilder::new(1)
        .base(3, 2)
        .platforms(&PLATFORMS)
        .build();
    push(&registry, &image, "team/app", "v1").await;

    let source = format!("{}/team/app:v1", registry.host());
    let report = place.copied(&format!("{source} oci:out")).await;
    assert_eq!(report["digest"], image.digest());
    assert_eq!(report["manifests"], 4);
    assert_eq!(report["blobs"], image.blobs.len());
    assert_blobs(place.files("out"), &[&image]);
    assert_eq!(
        index(&place, "out")["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
        "v1"
    );
    // Each blob and each manifest was asked for once.
    let log = registry.access();
    let gets = log.iter().filter(|asked| {
        asked.method == "GET" && asked.status == 200 && asked.path.contains("sha256:")
    });
    let gets: Vec<_> = gets
        .filter(|asked| !asked.path.contains("referrers"))
        .collect();
    assert_eq!(
        gets.len(),
        image.blobs.len() + image.manifests.len(),
        "{log:?}"
    );

    // The same again writes the same bytes, and fetches no blob.
    let files = place.files("out");
    let report = place.copied(&format!("{source} oci:out")).await;
    assert_eq!(report["uploads"], 0);
    assert!(place.files("out") == files);

    let copied = "copy --all oci:out:v1 oci:skopeo:v1";
    place.run("skopeo", copied).await.well();
    assert_blobs(place.files("skopeo"), &[&image]);
}

#[tokio::test]
async fn what_skopeo_writes_is_read() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, registry) = (Place::new(), registry().await);
    let image = ImageBuilder::new(2).platforms(&PLATFORMS).build();
    push(&registry, &image, "team/app", "v1").await;
    let source = format!("docker://{}/team/app:v1", registry.host());
    let copied = format!("copy --all --src-tls-verify=false {source} oci:skopeo:name");
    place.run("skopeo", &copied).await.well();

    let report = place.copied("oci:skopeo:name oci:ours").await;
    assert_eq!(report["digest"], image.digest());
    assert_blobs(place.files("ours"), &[&image]);
    // By digest, and without a name, too.
    let child = &image.manifests[1];
    let report = place
        .copied(&format!("oci:skopeo:{} oci:one", child.digest))
        .await;
    assert_eq!(report["digest"], child.digest);
    assert_eq!(report["blobs"], 3);
    place.copied("oci:skopeo oci:again").await;
    assert_blobs(place.files("again"), &[&image]);
}

#[tokio::test]
async fn a_layout_takes_more_images_and_moves_names() {
    let place = Place::new();
    let [first, second, third] = [1, 2, 3].map(|seed| ImageBuilder::new(seed).base(9, 1).build());
    for (image, folder) in [(&first, "a"), (&second, "b"), (&third, "c")] {
        image.write_oci_layout(place.at(folder), "x").unwrap();
    }
    place.copied("oci:a oci:all:one").await;
    place.copied("oci:b oci:all:two").await;
    place.copied("oci:c oci:all:one").await;
    assert_blobs(place.files("all"), &[&first, &second, &third]);
    let list = index(&place, "all");
    let entries: Vec<_> = list["manifests"].as_array().unwrap().iter().collect();
    assert_eq!(entries.len(), 2, "{list}");
    assert_eq!(entries[0]["digest"], third.digest());
    assert_eq!(entries[1]["digest"], second.digest());

    let said = place.copy("oci:all oci:x").await.failed(2);
    assert!(
        said.contains("name one of them behind a colon: one, two"),
        "{said}"
    );
    let said = place.copy("oci:all:three oci:x").await.failed(2);
    assert!(
        said.contains("no image three in it, but one, two"),
        "{said}"
    );
    assert!(!place.at("x").exists());
}

#[tokio::test]
async fn a_part_of_the_platforms_keeps_the_index() {
    let place = Place::new();
    let image = ImageBuilder::new(4).platforms(&PLATFORMS).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let two = "--platform linux/arm64 --platform linux/amd64";
    let report = place.copied(&format!("{two} oci:in oci:out")).await;
    assert_eq!(report["digest"], image.digest());
    assert_eq!(report["manifests"], 3);
    assert_eq!(report["blobs"], 6);
    let said = place
        .copy("--platform linux/riscv64 oci:in oci:out")
        .await
        .failed(2);
    assert!(said.contains("no linux/riscv64 in it, but linux/amd64, linux/arm64, linux/s390x"));
    // What is not there is said, and what to do.
    let said = place.copy("oci:out oci:more").await.failed(3);
    assert!(
        said.contains("is not there; name the platforms that are there with --platform"),
        "{said}"
    );
    place.copied(&format!("{two} oci:out oci:more")).await;
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_no_image() {
    let place = Place::new();
    let image = ImageBuilder::new(5).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let layer = place
        .at("in/blobs")
        .join(image.blobs[1].digest.replace(':', "/"));
    std::fs::write(&layer, b"something else").unwrap();
    let said = place.copy("oci:in oci:out").await.failed(3);
    assert!(
        said.contains("holds other bytes than its digest says"),
        "{said}"
    );
    assert!(!place.at("out/index.json").exists());
    let left = place.files("out");
    assert!(
        !left.keys().any(|name| name.contains(".tidegate-")),
        "{:?}",
        left.keys()
    );
    let said = place.copy("oci:out oci:again").await.failed(3);
    assert!(said.contains("whoever wrote it did not finish"), "{said}");

    // Healed, it is finished where it was.
    std::fs::write(&layer, &image.blobs[1].bytes).unwrap();
    place.copied("oci:in oci:out").await;
    assert_blobs(place.files("out"), &[&image]);
}

#[tokio::test]
async fn a_folder_with_something_else_is_left_alone() {
    let place = Place::new();
    let image = ImageBuilder::new(6).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    std::fs::create_dir(place.at("home")).unwrap();
    std::fs::write(place.at("home/letter"), "dear").unwrap();
    let said = place.copy("oci:in oci:home").await.failed(3);
    assert!(said.contains("not empty, and no OCI layout"), "{said}");
    assert_eq!(place.files("home").len(), 1);
}

/// Referrers by their subject, cosign's by their tag, and those of a child: all come along.
#[tokio::test]
async fn signatures_come_along_between_layouts() {
    let place = Place::new();
    let image = ImageBuilder::new(7).platforms(&PLATFORMS[..2]).build();
    let sbom = image.referrer("application/spdx+json", "an sbom");
    let about_sbom = sbom.referrer("application/vnd.test.signature", "signed");
    let signature = ImageBuilder::new(8).layers(1).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let mut list = index(&place, "in");
    for (part, name) in [
        (&sbom, None),
        (&about_sbom, None),
        (
            &signature,
            Some(format!("{}.sig", image.digest().replace(':', "-"))),
        ),
    ] {
        let scratch = Place::new();
        part.write_oci_layout(scratch.at("x"), "x").unwrap();
        for (file, bytes) in scratch.files("x") {
            if file.starts_with("blobs/") {
                std::fs::write(place.at("in").join(file), bytes).unwrap();
            }
        }
        let mut entry = part.root.descriptor();
        if let Some(name) = name {
            entry["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": name});
        }
        list["manifests"].as_array_mut().unwrap().push(entry);
    }
    std::fs::write(place.at("in/index.json"), list.to_string()).unwrap();

    let report = place.copied("oci:in oci:out").await;
    assert_eq!(report["referrers"], 3);
    assert_blobs(
        place.files("out"),
        &[&image, &sbom, &about_sbom, &signature],
    );
    assert_eq!(
        index(&place, "out")["manifests"].as_array().unwrap().len(),
        4
    );
    let report = place.copied("oci:out oci:back").await;
    assert_eq!(report["referrers"], 3);

    let report = place.copied("--no-referrers oci:in oci:bare").await;
    assert_eq!(report["referrers"], 0);
    assert_blobs(place.files("bare"), &[&image]);
}
