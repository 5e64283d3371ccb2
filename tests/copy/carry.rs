//! `tidegate store export` and `store import`, beside a proxy that serves from the store.

use fake_registry::DockerRegistry;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Tidegate;
use fake_registry::need;
use serde_json::Value;

use crate::rig::Place;
use crate::rig::Said;
use crate::rig::assert_blobs;
use crate::rig::push;
use crate::rig::registry;

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A proxy whose store is `<name>` and whose only upstream, `a.io`, is at `url`.
async fn proxy(place: &Place, name: &str, url: &str) -> Tidegate {
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[store]\npath = \"store\"\n\
         [[upstream]]\nname = \"a.io\"\nurl = {url:?}\nplain_http = true\n\
         credentials = \"anonymous\"\nconnect_timeout = \"1s\"\n"
    );
    let folder = place.at(name);
    std::fs::create_dir_all(&folder).unwrap();
    let binary = env!("CARGO_BIN_EXE_tidegate");
    Tidegate::builder(binary, &config)
        .folder(folder)
        .start()
        .await
}

/// Pulls through the proxy, as a client does, all platforms or this machine's.
async fn pull(place: &Place, proxy: &Tidegate, reference: &str, all: &str, to: &str) -> Said {
    let source = format!("docker://{}/a.io/{reference}", proxy.host());
    let copy = format!("copy {all} --src-tls-verify=false {source} oci:{to}:x");
    place.run("skopeo", &copy).await
}

async fn store(place: &Place, name: &str, args: &str) -> Said {
    let config = place.at(name).join("proxy.toml");
    let words = format!("--config {} store {args}", config.display());
    Said::of(place.tidegate(&words)).await
}

async fn upstream(images: &[(&Image, &str)]) -> DockerRegistry {
    let upstream = registry().await;
    for (image, tag) in images {
        push(&upstream, image, "team/app", tag).await;
    }
    upstream
}

#[tokio::test]
async fn an_image_crosses_the_gap_beside_proxies_that_serve() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let place = Place::new();
    let image = ImageBuilder::new(31)
        .base(3, 2)
        .platforms(&PLATFORMS)
        .build();
    let upstream = upstream(&[(&image, "v1")]).await;
    let here = proxy(&place, "here", &upstream.url()).await;
    pull(&place, &here, "team/app:v1", "--all", "pulled")
        .await
        .well();

    store(&place, "here", "export a.io/team/app:v1 oci:carried")
        .await
        .well();
    assert_blobs(place.files("carried"), &[&image]);

    // Nobody is at this address.
    let there = proxy(&place, "there", "http://127.0.0.1:1").await;
    let import = "import oci:carried --as a.io/team/app:v1 --json";
    let report: Value = serde_json::from_str(&store(&place, "there", import).await.well()).unwrap();
    assert_eq!(report["digest"], image.digest());
    assert_eq!(report["uploads"], image.blobs.len());
    pull(&place, &there, "team/app:v1", "--all", "there-pulled")
        .await
        .well();
    assert_blobs(place.files("there-pulled"), &[&image]);
    // The same again finds all there; and what is stored is right.
    let report: Value = serde_json::from_str(&store(&place, "there", import).await.well()).unwrap();
    assert_eq!(report["uploads"], 0);
    store(&place, "there", "verify").await.well();
    // Through another repository nothing of it can be had.
    let other = pull(&place, &there, "other/app:v1", "--all", "other").await;
    assert_ne!(other.code, Some(0));
}

#[tokio::test]
async fn what_was_pulled_of_an_index_is_exported() {
    if !need(&["docker-registry", "skopeo"]) {
        return;
    }
    let place = Place::new();
    let own = format!("linux/{}", architecture());
    let platforms = [own.as_str(), "linux/s390x", "linux/ppc64le"];
    let image = ImageBuilder::new(32).platforms(&platforms).build();
    let second = ImageBuilder::new(33).base(3, 1).build();
    let upstream = upstream(&[(&image, "v1"), (&second, "v2")]).await;
    let here = proxy(&place, "here", &upstream.url()).await;
    pull(&place, &here, "team/app:v1", "", "pulled")
        .await
        .well();
    pull(&place, &here, "team/app:v2", "", "pulled-too")
        .await
        .well();

    let said = store(&place, "here", "export a.io/team/app oci:carried --json").await;
    assert!(
        said.stderr
            .contains("2 of 3 manifests of its index were never pulled"),
        "{}",
        said.stderr
    );
    let reports: Value = serde_json::from_str(&said.well()).unwrap();
    assert_eq!(reports[0]["digest"], image.digest());
    assert_eq!(reports[0]["manifests"], 2);
    assert_eq!(reports[1]["digest"], second.digest());
    let named = "oci:carried:a.io/team/app:v2";
    let inspected = place
        .run("skopeo", &format!("inspect --raw {named}"))
        .await
        .well();
    assert!(inspected.as_bytes() == second.root.bytes);

    // Both in one archive, of this machine's platform.
    store(
        &place,
        "here",
        "export a.io/team/app docker-archive:both.tar",
    )
    .await
    .well();
    for name in ["a.io/team/app:v1", "a.io/team/app:v2"] {
        let copy = format!("copy docker-archive:both.tar:{name} dir:{}", &name[14..]);
        place.run("skopeo", &copy).await.well();
    }
    let said = store(
        &place,
        "here",
        "export a.io/team/app:v1 --platform linux/s390x oci:x",
    )
    .await;
    assert!(said.failed(3).contains("is not there"));
    let said = store(&place, "here", "export a.io/team/app:v3 oci:x").await;
    assert!(
        said.failed(3)
            .contains("a.io/team/app:v3: it is not in the store")
    );
    let said = store(&place, "here", "export a.io/other oci:x").await;
    assert!(said.failed(3).contains("no tag of it is in the store"));
    assert!(!place.at("x").exists());
}

#[tokio::test]
async fn an_archive_of_docker_is_imported_and_served() {
    if !need(&["skopeo"]) {
        return;
    }
    let place = Place::new();
    let image = ImageBuilder::new(34).layers(3).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    place
        .copied("oci:in docker-archive:in.tar:team/app:v7")
        .await;
    std::fs::create_dir(place.at("there")).unwrap();
    std::fs::write(place.at("there/proxy.toml"), "").unwrap();
    // Into a store that is made for it, with the tag that it has in the archive.
    let config = "[store]\npath = \"store\"\n[[upstream]]\nname = \"a.io\"\n";
    std::fs::write(place.at("there/proxy.toml"), config).unwrap();
    store(
        &place,
        "there",
        "import docker-archive:in.tar --as a.io/team/app",
    )
    .await
    .well();
    let there = proxy(&place, "there", "http://127.0.0.1:1").await;
    pull(&place, &there, "team/app:v7", "", "out").await.well();

    let said = store(&place, "there", "import docker-archive:in.tar --as app")
        .await
        .failed(2);
    assert!(said.contains("expected UPSTREAM/NAME"), "{said}");
    let said = store(&place, "there", "import in.tar --as a.io/app")
        .await
        .failed(2);
    assert!(said.contains("expected oci:DIR"), "{said}");
    let said = store(&place, "there", "import oci:nothing --as a.io/app")
        .await
        .failed(3);
    assert!(said.contains("nothing: No such file"), "{said}");
}

/// A layer that is not what it should be: nothing can be pulled of it.
#[tokio::test]
async fn what_is_wrong_is_not_imported() {
    let place = Place::new();
    let image = ImageBuilder::new(35).build();
    image.write_oci_layout(place.at("in"), "v1").unwrap();
    let layer = &image.blobs[1].digest;
    let file = place.at("in/blobs").join(layer.replace(':', "/"));
    std::fs::write(&file, "other bytes").unwrap();
    std::fs::create_dir(place.at("there")).unwrap();
    std::fs::write(place.at("there/proxy.toml"), "[store]\npath = \"store\"\n").unwrap();
    let import = "import oci:in --as a.io/team/app:v1";
    let said = store(&place, "there", import).await.failed(3);
    assert!(said.contains("other bytes than its digest says"), "{said}");
    let listed = store(&place, "there", "ls --json").await.well();
    assert!(!listed.contains("v1"), "{listed}");
    store(&place, "there", "verify").await.well();
    let left = std::fs::read_dir(place.at("there/store/tidegate/tmp")).unwrap();
    assert_eq!(left.count(), 0);
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}
