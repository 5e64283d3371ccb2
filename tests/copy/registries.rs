//! Registries, by the engine that mirrors.

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::need;
use serde_json::json;

use crate::rig::Place;
use crate::rig::assert_blobs;
use crate::rig::push;
use crate::rig::registry;

const PLATFORMS: [&str; 3] = ["linux/amd64", "linux/arm64", "linux/s390x"];

fn count(log: &[Access], method: &str, part: &str, status: u16) -> usize {
    let is_it = |asked: &&Access| {
        asked.method == method && asked.status == status && asked.path.contains(part)
    };
    log.iter().filter(is_it).count()
}

/// What tidegate has asked, which has to be so many requests.
async fn own(registry: &DockerRegistry, expected: usize) -> Vec<Access> {
    let is_own = |asked: &&Access| asked.user_agent.starts_with("tidegate/");
    registry
        .wait_for(|log| log.iter().filter(is_own).count() >= expected)
        .await;
    let asked: Vec<Access> = registry.access().iter().filter(is_own).cloned().collect();
    let line = |asked: &Access| format!("{} {} {}", asked.method, asked.path, asked.status);
    let lines: Vec<String> = asked.iter().map(line).collect();
    assert_eq!(asked.len(), expected, "{}", lines.join("\n"));
    asked
}

/// Fails unless `reference` of `registry` is `image`, byte for byte.
async fn assert_there(
    place: &Place,
    registry: &DockerRegistry,
    reference: &str,
    images: &[&Image],
) {
    let folder = format!("checked-{}", reference.replace(['/', ':'], "-"));
    let copy = format!(
        "copy --all --src-tls-verify=false docker://{}/{reference} oci:{folder}:x",
        registry.host()
    );
    place.run("skopeo", &copy).await.well();
    assert_blobs(place.files(&folder), images);
}

#[tokio::test]
async fn an_image_goes_from_registry_to_registry_by_the_fewest_requests() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, from, to) = (Place::new(), registry().await, registry().await);
    let image = ImageBuilder::new(41)
        .base(3, 2)
        .platforms(&PLATFORMS)
        .build();
    push(&from, &image, "team/app", "v1").await;
    let words = format!("{}/team/app:v1 {}/mirror/app:v2", from.host(), to.host());
    let report = place.copied(&words).await;
    assert_eq!(report["digest"], image.digest());
    assert_eq!(report["uploads"], image.blobs.len());
    assert_there(&place, &to, "mirror/app:v2", &[&image]).await;

    // One more asks whether the image is there, and one whether the repository is.
    let (blobs, manifests) = (image.blobs.len(), image.manifests.len() + 1);
    let asked = own(&to, 2 * blobs + manifests + 2).await;
    assert_eq!(count(&asked, "POST", "/blobs/uploads/", 202), blobs);
    assert_eq!(count(&asked, "PUT", "/blobs/uploads/", 201), blobs);
    assert_eq!(count(&asked, "PUT", "/manifests/", 201), manifests);

    // The same again is one question.
    let report = place.copied(&words).await;
    assert_eq!(report["uploads"], 0, "{report}");
    // Under another tag: is it there, is the repository, each blob; and at the end, is it there.
    let report = place.copied(&format!("--verify {words}-too")).await;
    assert_eq!(report["uploads"], 0, "{report}");
    assert_there(&place, &to, "mirror/app:v2-too", &[&image]).await;
    let asked = own(&to, asked.len() + 1 + 2 + blobs + manifests + 1).await;
    assert_eq!(count(&asked, "HEAD", "/blobs/", 200), blobs);
}

#[tokio::test]
async fn within_one_registry_all_is_mounted() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, registry) = (Place::new(), registry().await);
    let image = ImageBuilder::new(42).platforms(&PLATFORMS).build();
    push(&registry, &image, "team/app", "v1").await;
    let host = registry.host();
    let report = place
        .copied(&format!("{host}/team/app:v1 {host}/other/app:v1"))
        .await;
    assert_eq!(report["mounts"], image.blobs.len());
    assert_eq!(report["uploads"], 0);
    assert_eq!(count(&registry.access(), "GET", "/blobs/", 200), 0);
    assert_there(&place, &registry, "other/app:v1", &[&image]).await;
}

#[tokio::test]
async fn files_go_into_registries() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, registry) = (Place::new(), registry().await);
    let image = ImageBuilder::new(43).base(3, 1).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let host = registry.host();
    place.copied(&format!("oci:in {host}/team/app:v1")).await;
    assert_there(&place, &registry, "team/app:v1", &[&image]).await;

    place.copied("oci:in docker-archive:in.tar").await;
    let report = place
        .copied(&format!("docker-archive:in.tar {host}/team/app:docker"))
        .await;
    let raw = format!("inspect --raw --tls-verify=false docker://{host}/team/app:docker");
    let raw = place.run("skopeo", &raw).await.well();
    assert_eq!(
        tidegate::oci::Digest::of(raw.as_bytes()).as_str(),
        report["digest"]
    );
    let copy = format!("copy --src-tls-verify=false docker://{host}/team/app:docker dir:checked");
    place.run("skopeo", &copy).await.well();
    // By digest alone, which has to be the one.
    let by_digest = format!("oci:in {host}/team/digest@{}", image.digest());
    place.copied(&by_digest).await;
    let wrong = tidegate::oci::Digest::of(b"another");
    let said = place
        .copy(&format!("oci:in {host}/team/digest@{wrong}"))
        .await
        .failed(2);
    assert!(
        said.contains(&format!("the source is {}", image.digest())),
        "{said}"
    );
}

/// The index that lists `referrer` under a fallback tag.
fn index_of(referrer: &Image) -> Image {
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "manifests": [referrer.root.descriptor()],
        "mediaType": media_type});
    let bytes = index.to_string();
    Image {
        root: fake_registry::Part {
            digest: tidegate::oci::Digest::of(bytes.as_bytes()).to_string(),
            media_type: media_type.to_owned(),
            bytes: bytes.into(),
        },
        manifests: Vec::new(),
        blobs: Vec::new(),
    }
}

/// docker-registry has no referrers API: fallback tags at the source, and at the target.
#[tokio::test]
async fn signatures_and_sboms_come_along() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, from, to) = (Place::new(), registry().await, registry().await);
    let image = ImageBuilder::new(44).platforms(&PLATFORMS[..2]).build();
    let sbom = image.referrer("application/spdx+json", "an sbom");
    let signed = sbom.referrer("application/vnd.test.signature", "signed");
    let cosign = ImageBuilder::new(45).layers(1).build();
    push(&from, &image, "team/app", "v1").await;
    for (referrer, subject) in [(&sbom, &image), (&signed, &sbom)] {
        push(&from, referrer, "team/app", referrer.digest()).await;
        let fallback = index_of(referrer);
        push(
            &from,
            &fallback,
            "team/app",
            &subject.digest().replace(':', "-"),
        )
        .await;
    }
    let signature = format!("{}.sig", image.manifests[0].digest.replace(':', "-"));
    push(&from, &cosign, "team/app", &signature).await;
    push(
        &from,
        &ImageBuilder::new(46).build(),
        "team/app",
        "unrelated",
    )
    .await;

    let words = format!("{}/team/app:v1 {}/mirror/app:v1", from.host(), to.host());
    let report = place.copied(&words).await;
    assert_eq!(report["referrers"], 3, "{report}");
    let host = to.host();
    assert_there(&place, &to, "mirror/app:v1", &[&image]).await;
    assert_there(&place, &to, &format!("mirror/app:{signature}"), &[&cosign]).await;
    for (referrer, subject) in [(&sbom, &image), (&signed, &sbom)] {
        let tag = subject.digest().replace(':', "-");
        let raw = format!("inspect --raw --tls-verify=false docker://{host}/mirror/app:{tag}");
        let raw = place.run("skopeo", &raw).await.well();
        assert!(raw.contains(referrer.digest()), "{raw}");
    }
    // And on, into files, with the same found again.
    let report = place.copied(&format!("{host}/mirror/app:v1 oci:out")).await;
    assert_eq!(report["referrers"], 3);
    assert_blobs(place.files("out"), &[&image, &sbom, &signed, &cosign]);
    let bare = format!(
        "--no-referrers {}/team/app:v1 {host}/bare/app:v1",
        from.host()
    );
    place.copied(&bare).await;
    let list = format!("list-tags --tls-verify=false docker://{host}/bare/app");
    let tags = place.run("skopeo", &list).await.well();
    let tags: serde_json::Value = serde_json::from_str(&tags).unwrap();
    assert_eq!(tags["Tags"], json!(["v1"]));
}

/// docker-registry wants all manifests of an index.
#[tokio::test]
async fn a_part_of_an_index_is_refused_with_what_to_do() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let (place, from, to) = (Place::new(), registry().await, registry().await);
    let image = ImageBuilder::new(47).platforms(&PLATFORMS).build();
    push(&from, &image, "team/app", "v1").await;
    let target = format!("{}/mirror/app:v1", to.host());
    let words = format!(
        "--platform linux/arm64 {}/team/app:v1 {target}",
        from.host()
    );
    let said = place.copy(&words).await.failed(2);
    let advice = format!(
        "tidegate copy {}/team/app@{} {target}",
        from.host(),
        image.manifest("linux/arm64").unwrap().digest
    );
    assert!(said.contains(&advice), "{said}");
    let advice = advice.strip_prefix("tidegate copy ").unwrap();
    let report = place.copied(advice).await;
    assert_eq!(
        report["digest"],
        image.manifest("linux/arm64").unwrap().digest
    );
}

#[tokio::test]
async fn what_can_not_be_done_is_said() {
    if !need(&["docker-registry"]) {
        return;
    }
    let (place, from) = (Place::new(), registry().await);
    let image = ImageBuilder::new(48).build();
    push(&from, &image, "team/app", "v1").await;
    let host = from.host();
    let said = place
        .copy(&format!("{host}/team/app:v2 oci:out"))
        .await
        .failed(3);
    assert!(
        said.contains("team/app:v2: there is no such image"),
        "{said}"
    );
    assert!(!place.at("out").exists());
    let said = place
        .copy(&format!("{host}/team/app:v1 127.0.0.1:1/a:v1"))
        .await
        .failed(3);
    assert!(said.contains("127.0.0.1:1"), "{said}");
    let said = place
        .copy(&format!("{host}/team/App oci:out"))
        .await
        .failed(2);
    assert!(said.contains("is not a repository name"), "{said}");
    place.copy("oci:in").await.failed(2);
    // Nothing temporary is left, wherever that is.
    std::fs::create_dir(place.at("tmp")).unwrap();
    let mut command = place.tidegate(&format!("copy --plain-http {host}/team/app:v1 oci:out"));
    command.env("TMPDIR", place.at("tmp"));
    crate::rig::Said::of(command).await.well();
    assert_eq!(std::fs::read_dir(place.at("tmp")).unwrap().count(), 0);
}

/// With credentials from docker's configuration, and TLS settings from proxy.toml.
#[tokio::test]
async fn credentials_and_authorities_are_found() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let pki = fake_registry::Pki::new();
    let tokens = fake_registry::TokenServer::for_docker_registry()
        .user("robot", "s3cret-of-the-test", &["mirror/*:pull,push"])
        .tls(&pki)
        .start()
        .await;
    let to = DockerRegistry::builder()
        .tls(&pki, &[])
        .token_auth(&tokens)
        .start()
        .await;
    let place = Place::new();
    let image = ImageBuilder::new(49).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let words = format!("copy oci:in {}/mirror/app:v1", to.host());
    let said = crate::rig::Said::of(place.tidegate(&words)).await;
    assert!(said.failed(3).contains("certificate"));

    let config = format!(
        "[[upstream]]\nname = \"mirror.test\"\nurl = {:?}\nca = {:?}\n",
        to.url(),
        pki.ca_file()
    );
    std::fs::write(place.at("proxy.toml"), config).unwrap();
    let said = crate::rig::Said::of(place.tidegate(&words)).await.failed(3);
    assert!(said.contains("refused with 401"), "{said}");
    use base64::Engine as _;
    let login = base64::prelude::BASE64_STANDARD.encode("robot:s3cret-of-the-test");
    let docker = json!({"auths": {to.host(): {"auth": login}}});
    std::fs::write(place.at("config.json"), docker.to_string()).unwrap();
    crate::rig::Said::of(place.tidegate(&words)).await.well();
}
