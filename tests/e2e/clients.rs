//! One test a client, configured by what `tidegate client` writes for it.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::TempDir;

use crate::containerd::Containerd;
use crate::dockerd::Dockerd;
use crate::layout::Platforms;
use crate::layout::assert_blobs;
use crate::need::need;
use crate::podman::Podman;
use crate::sandbox;
use crate::scene::IMAGE;
use crate::scene::Scene;
use crate::skopeo;
use crate::upstream::is_get;
use crate::upstream::trusting;

#[tokio::test(flavor = "multi_thread")]
async fn docker_pulls_by_registry_mirrors() {
    if need(&["dockerd", "docker", "skopeo", "docker-registry"]) {
        journey(Platforms::Own, docker).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctr_pulls_by_hosts_toml() {
    if need(&["containerd", "ctr", "skopeo", "docker-registry"]) {
        journey(Platforms::All, ctr).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_pulls_by_registries_conf() {
    if need(&["podman", "skopeo", "docker-registry"]) {
        journey(Platforms::Own, podman).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_copies_every_platform() {
    if need(&["skopeo", "docker-registry"]) {
        journey(Platforms::All, copy).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_clients_at_once_cause_one_fetch_of_each_part() {
    let daemons = ["dockerd", "docker", "containerd", "ctr", "podman"];
    if !need(&daemons) || !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let scene = Scene::start().await;
    tokio::join!(docker(&scene), ctr(&scene), podman(&scene), copy(&scene));
    assert_one_fetch_each(&scene, Platforms::All).await;
    assert_books(&scene, Platforms::All).await;
}

/// What every client goes through. `pull` starts one that has nothing, pulls `platforms` of the
/// image, and compares them with a direct copy.
async fn journey(platforms: Platforms, pull: impl AsyncFn(&Scene)) {
    let mut scene = Scene::start().await;

    pull(&scene).await;
    assert_one_fetch_each(&scene, platforms).await;
    assert_books(&scene, platforms).await;
    let cold = scene.upstream.requests().len();

    pull(&scene).await;
    let all = scene.upstream.requests();
    let warm = &all[cold..];
    let head = warm.iter().all(|asked| asked.method == "HEAD");
    assert!(
        warm.len() <= 1 && head,
        "the second pull asked for {warm:#?}"
    );

    scene.upstream.stop();
    pull(&scene).await;

    scene.stop_proxy().await;
    compare_store(&scene, platforms).await;
}

/// Each manifest and blob of `platforms` has crossed the upstream's wire once, and nothing else.
async fn assert_one_fetch_each(scene: &Scene, platforms: Platforms) {
    let asked = scene.upstream.pulled(platforms).await;
    let gets: Vec<_> = asked.iter().filter(|asked| is_get(asked)).collect();
    let parts: BTreeSet<_> = gets.iter().map(|asked| &asked.path).collect();
    assert_eq!(parts.len(), gets.len(), "fetched twice: {gets:#?}");
    assert_eq!(
        gets.len(),
        scene.direct().part(platforms).len(),
        "{gets:#?}"
    );
}

/// The proxy has stored the image, each byte once, and has got what the registry and the token server
/// say that they sent it: no byte more was needed than to sign in.
async fn assert_books(scene: &Scene, platforms: Platforms) {
    let books = scene.books().await;
    let image: usize = scene.direct().part(platforms).values().map(Vec::len).sum();
    assert_eq!(books["committed"], image, "{books:#}");
    assert_eq!(books["passed"], 0, "{books:#}");
    let received = books["upstream_received"].as_u64().unwrap();
    scene.upstream.has_sent(received).await;
}

/// A `docker-registry` on the store's folder serves what was pulled.
async fn compare_store(scene: &Scene, platforms: Platforms) {
    let registry = scene.serve_store().await;
    let source = format!("docker://{}/{IMAGE}", registry.host());
    let folder = TempDir::with_prefix("from-store-").unwrap();
    let mut copy = match platforms {
        Platforms::All => skopeo::copy_all(&source, folder.path()),
        Platforms::Own => skopeo::copy(&source, folder.path()),
    };
    copy.arg("--src-tls-verify=false");
    sandbox::run(copy).await;
    let mut expected = scene.direct().part(platforms);
    if platforms == Platforms::Own {
        // A layout of one platform has no index: ask for it.
        let mut raw = skopeo::raw(&source);
        raw.arg("--tls-verify=false");
        let index = expected.remove(&scene.direct().digest).unwrap();
        assert_eq!(sandbox::run(raw).await.into_bytes(), index);
    }
    assert_blobs(&expected, folder.path());
}

/// Past the proxy there is only Docker Hub, which does not know the image.
async fn docker(scene: &Scene) {
    let files = scene.recipe("docker", scene.verified_url()).await;
    let engine = Dockerd::start(&files.join("etc/docker/daemon.json"), &scene.upstream.ca()).await;
    sandbox::run(engine.docker(["pull", "--quiet", "demo/app:v1"])).await;
    let found = engine.inspect("demo/app:v1").await;
    let own = scene.direct().own();
    // The classic image store calls an image by its config, containerd's by its index.
    let id = found["Id"].as_str().unwrap();
    assert!(id == own.config || id == scene.direct().digest, "{found:#}");
    let digests = [format!("demo/app@{}", scene.direct().digest)];
    assert_eq!(strings(&found["RepoDigests"]), digests);
    assert_eq!(strings(&found["RootFS"]["Layers"]), own.diff_ids);
}

async fn ctr(scene: &Scene) {
    let files = scene.recipe("containerd", scene.url()).await;
    let hosts = files.join("etc/containerd/certs.d");
    scene.add_ca(&hosts.join("docker.io/hosts.toml"));
    let client = Containerd::start().await;
    let mut pull = client.ctr(["images", "pull", "--all-platforms", "--snapshotter=native"]);
    pull.arg("--hosts-dir").arg(hosts).arg(IMAGE);
    sandbox::run(pull).await;
    let expected = scene.direct().part(Platforms::All);
    assert_blobs(&expected, &client.blobs());
}

async fn podman(scene: &Scene) {
    let files = scene.recipe("podman", scene.url()).await;
    let registries = files.join("etc/containers/registries.conf.d/50-tidegate.conf");
    let client = Podman::new(&registries, &scene.upstream.ca());
    sandbox::run(client.podman(["pull", "--quiet", IMAGE])).await;
    let found = sandbox::run(client.podman(["image", "inspect", IMAGE])).await;
    let found: Value = serde_json::from_str(&found).unwrap();
    let found = &found[0];
    let own = scene.direct().own();
    assert_eq!(
        format!("sha256:{}", found["Id"].as_str().unwrap()),
        own.config
    );
    assert_eq!(found["Digest"], scene.direct().digest.as_str());
    assert_eq!(strings(&found["RootFS"]["Layers"]), own.diff_ids);
}

async fn copy(scene: &Scene) {
    let files = scene.recipe("podman", scene.url()).await;
    let folder = TempDir::with_prefix("skopeo-").unwrap();
    let copy = skopeo::copy_all(&format!("docker://{IMAGE}"), folder.path());
    let mut copy = trusting(copy, &scene.upstream.ca());
    copy.arg("--registries-conf")
        .arg(files.join("etc/containers/registries.conf.d/50-tidegate.conf"));
    sandbox::run(copy).await;
    let expected = scene.direct().part(Platforms::All);
    assert_blobs(&expected, folder.path());
}

fn strings(list: &Value) -> Vec<String> {
    let all = list.as_array().unwrap().iter();
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}
