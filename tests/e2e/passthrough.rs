//! Where the clients sign in to the registry themselves, through the proxy.

use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
use crate::upstream::PASSWORD;
use crate::upstream::USER;
use crate::upstream::trusting;

/// A user that may sign in, and pull nothing.
const STRANGER: &str = "stranger:pw";

async fn scene() -> Scene {
    let scene = Scene::passthrough().await;
    scene.upstream.tokens().set_user("stranger", "pw", &[]);
    scene
}

/// As `user:password`; nobody where that is empty.
async fn copy(scene: &Scene, name: &str, login: &str) -> Result<TempDir, String> {
    let host = scene.url().trim_start_matches("https://");
    let folder = TempDir::with_prefix("skopeo-").unwrap();
    let copy = skopeo::copy_all(&format!("docker://{host}/{name}"), folder.path());
    let mut copy = trusting(copy, &scene.upstream.ca());
    if !login.is_empty() {
        copy.arg(format!("--src-creds={login}"));
    }
    sandbox::attempt(copy).await.map(|_| folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_signs_in_where_the_registry_says() {
    if !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let mut scene = scene().await;
    let owner = format!("{USER}:{PASSWORD}");
    let expected = scene.direct().part(Platforms::All);
    // The scope that it asks for first is right by one name, and wrong by the other.
    for name in ["demo/app:v1", "docker.io/demo/app:v1"] {
        for login in ["", STRANGER, "robot:guess"] {
            let refused = copy(&scene, name, login).await.unwrap_err();
            let refused = refused.to_lowercase();
            assert!(refused.contains("unauthorized"), "{login}: {refused}");
        }
        let copied = copy(&scene, name, &owner).await.unwrap();
        assert_blobs(&expected, copied.path());
    }
    let all = scene.upstream.pulled(Platforms::All).await;
    let gets = all.iter().filter(|asked| crate::upstream::is_get(asked));
    assert_eq!(gets.count(), expected.len(), "each part crossed once");
    // Each copy got a token of its own, of which the registry can say nothing now.
    scene.upstream.stop();
    copy(&scene, "demo/app:v1", &owner).await.unwrap_err();
}

/// Past the proxy there is only Docker Hub, which does not know the image.
#[tokio::test(flavor = "multi_thread")]
async fn podman_signs_in_with_what_it_has_for_the_proxy() {
    if !need(&["podman", "docker-registry", "skopeo"]) {
        return;
    }
    let scene = scene().await;
    let files = scene.recipe("podman", scene.url()).await;
    let registries = files.join("etc/containers/registries.conf.d/50-tidegate.conf");
    let host = scene.url().trim_start_matches("https://");
    for (login, may) in [
        (format!("{USER}:{PASSWORD}"), true),
        (STRANGER.into(), false),
    ] {
        let client = Podman::new(&registries, &scene.upstream.ca());
        let auth = auth_file(host, &login);
        let mut pull = client.podman(["pull", "--quiet", IMAGE]);
        pull.env("REGISTRY_AUTH_FILE", auth.path().join("config.json"));
        let pulled = sandbox::attempt(pull).await;
        assert_eq!(pulled.is_ok(), may, "{pulled:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctr_signs_in_where_the_registry_says() {
    if !need(&["containerd", "ctr", "docker-registry", "skopeo"]) {
        return;
    }
    let scene = scene().await;
    let files = scene.recipe("containerd", scene.url()).await;
    let hosts = files.join("etc/containerd/certs.d");
    scene.add_ca(&hosts.join("docker.io/hosts.toml"));
    let client = Containerd::start().await;
    let pull = |login: &str| -> Command {
        let mut pull = client.ctr(["images", "pull", "--all-platforms", "--snapshotter=native"]);
        pull.arg("--hosts-dir").arg(&hosts).arg("--user").arg(login);
        // Its token is asked for by itself, from a server that only the authority knows.
        let mut pull = trusting(pull, &scene.upstream.ca());
        pull.arg(IMAGE);
        pull
    };
    sandbox::run(pull(&format!("{USER}:{PASSWORD}"))).await;
    assert_blobs(&scene.direct().part(Platforms::All), &client.blobs());
    sandbox::attempt(pull(STRANGER)).await.unwrap_err();
}

/// With what `docker login` has for Docker Hub. Past the proxy there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn docker_signs_in_where_the_registry_says() {
    if !need(&["dockerd", "docker", "docker-registry", "skopeo"]) {
        return;
    }
    let scene = scene().await;
    let files = scene.recipe("docker", scene.verified_url()).await;
    let config = files.join("etc/docker/daemon.json");
    let engine = Dockerd::start(&config, &scene.upstream.ca()).await;
    let index = "https://index.docker.io/v1/";
    for (login, may) in [
        (STRANGER.to_owned(), false),
        (format!("{USER}:{PASSWORD}"), true),
    ] {
        let auth = auth_file(index, &login);
        let mut pull = engine.docker(["pull", "--quiet", "demo/app:v1"]);
        pull.env("DOCKER_CONFIG", auth.path());
        let pulled = sandbox::attempt(pull).await;
        assert_eq!(pulled.is_ok(), may, "{pulled:?}");
    }
}

fn auth_file(host: &str, login: &str) -> TempDir {
    let folder = TempDir::with_prefix("login-").unwrap();
    let auth = BASE64_STANDARD.encode(login);
    let config = serde_json::json!({ "auths": { host: { "auth": auth } } });
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}
