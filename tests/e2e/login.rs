//! How real clients log in to the proxy itself, as `docs/clients.md` says.

use std::process::Command;

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
use crate::upstream::trusting;

/// `alice` with the password `wonderland`.
const USERS: &str = "alice:$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G\n";
const TOKEN: &str = "token-of-the-build-machine";

/// A proxy that lets in `alice`, and `ci` with its token.
async fn start() -> (Scene, TempDir) {
    let folder = TempDir::with_prefix("users-").unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("users"), USERS).unwrap();
    std::fs::write(at("tokens"), format!("ci:{TOKEN}\n")).unwrap();
    let keys = format!(
        "login = {{ htpasswd = {:?}, tokens = {:?} }}\n",
        at("users"),
        at("tokens")
    );
    (Scene::start_with(&keys).await, folder)
}

fn host(url: &str) -> &str {
    url.trim_start_matches("https://")
}

/// The image by its name at the proxy.
fn name(url: &str) -> String {
    format!("{}/{IMAGE}", host(url))
}

async fn refused(command: Command) {
    let said = sandbox::attempt(command).await.unwrap_err();
    let is_about_login = [
        "unauthorized",
        "log in to this proxy",
        "invalid username/password",
    ]
    .iter()
    .any(|words| said.to_lowercase().contains(words));
    assert!(is_about_login, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_logs_in_with_src_creds() {
    if !need(&["skopeo", "docker-registry"]) {
        return;
    }
    let (scene, _users) = start().await;
    let copy = |login: &str| {
        let folder = TempDir::with_prefix("skopeo-").unwrap();
        let copy = skopeo::copy_all(&format!("docker://{}", name(scene.url())), folder.path());
        let mut copy = trusting(copy, &scene.upstream.ca());
        if !login.is_empty() {
            copy.arg(login);
        }
        (copy, folder)
    };
    for login in ["", "--src-creds=alice:nonsense"] {
        refused(copy(login).0).await;
    }
    let by_password = format!("--src-creds=ci:{TOKEN}");
    for login in ["--src-creds=alice:wonderland", &by_password] {
        let (copy, folder) = copy(login);
        sandbox::run(copy).await;
        let expected = scene.direct().part(Platforms::All);
        assert_blobs(&expected, folder.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn podman_logs_in_and_pulls_by_its_mirror() {
    if !need(&["podman", "skopeo", "docker-registry"]) {
        return;
    }
    let (scene, users) = start().await;
    let files = scene.recipe("podman", scene.url()).await;
    let registries = files.join("etc/containers/registries.conf.d/50-tidegate.conf");
    let client = Podman::new(&registries, &scene.upstream.ca());
    let auth = users.path().join("auth.json");
    std::fs::write(&auth, "{}").unwrap();
    let podman = |arguments: &[&str]| {
        let mut command = client.podman(arguments.iter().copied());
        command.env("REGISTRY_AUTH_FILE", &auth);
        command
    };
    let host = host(scene.url());
    let login = |password| podman(&["login", "--username=alice", password, host]);
    refused(login("--password=nonsense")).await;
    refused(podman(&["pull", "--quiet", &name(scene.url())])).await;
    sandbox::run(login("--password=wonderland")).await;
    sandbox::run(podman(&["pull", "--quiet", IMAGE])).await;
    let gets = scene.upstream.requests();
    assert!(!gets.is_empty(), "it was pulled past the proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctr_logs_in_by_a_header_in_hosts_toml() {
    if !need(&["containerd", "ctr", "skopeo", "docker-registry"]) {
        return;
    }
    let (scene, _users) = start().await;
    let files = scene.recipe("containerd", scene.url()).await;
    let hosts = files.join("etc/containerd/certs.d");
    let hosts_toml = hosts.join("docker.io/hosts.toml");
    scene.add_ca(&hosts_toml);
    let client = Containerd::start().await;
    let pull = || {
        let mut pull = client.ctr(["images", "pull", "--all-platforms", "--snapshotter=native"]);
        pull.arg("--hosts-dir").arg(&hosts).arg(IMAGE);
        pull
    };
    sandbox::attempt(pull()).await.unwrap_err();
    let text = std::fs::read_to_string(&hosts_toml).unwrap();
    let header = format!(
        "[host.{:?}.header]\nauthorization = [\"Bearer {TOKEN}\"]\n",
        scene.url()
    );
    std::fs::write(&hosts_toml, format!("{text}{header}")).unwrap();
    sandbox::run(pull()).await;
    let expected = scene.direct().part(Platforms::All);
    assert_blobs(&expected, &client.blobs());
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_logs_in_and_pulls_by_the_proxys_name() {
    if !need(&["dockerd", "docker", "skopeo", "docker-registry"]) {
        return;
    }
    let (scene, users) = start().await;
    let config = users.path().join("daemon.json");
    std::fs::write(&config, "{}").unwrap();
    let engine = Dockerd::start(&config, &scene.upstream.ca()).await;
    let url = scene.url();
    let (host, name) = (host(url), name(url));
    let login = |password| engine.docker(["login", "--username=alice", password, host]);
    // In 127.0.0.0/8 it tries plain HTTP next, and complains of that.
    for refused in [
        engine.docker(["pull", "--quiet", &name]),
        login("--password=nonsense"),
    ] {
        sandbox::attempt(refused).await.unwrap_err();
    }
    sandbox::run(login("--password=wonderland")).await;
    sandbox::run(engine.docker(["pull", "--quiet", &name])).await;
    let found = engine.inspect(&name).await;
    let own = scene.direct().own();
    let id = found["Id"].as_str().unwrap();
    assert!(id == own.config || id == scene.direct().digest, "{found:#}");
}
