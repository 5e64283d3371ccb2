//! Client certificates as a login.

use fake_registry::Leaf;
use fake_registry::Pki;
use rustls::ClientConfig;
use tempfile::TempDir;
use tidegate::front::Tls;
use tidegate::login;
use tidegate::login::Access;
use tidegate::login::Rule;

use crate::client::Got;
use crate::client::over_h1;
use crate::client::over_h2;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;
use crate::people::BOB;
use crate::people::BOB_WRONG;
use crate::people::People;
use crate::tls::connect_as;
use crate::tls::files;
use crate::tls::issue;

const PATH: &str = "/v2/docker.io/of/alice/manifests/x";

struct Scene {
    house: House,
    authority: Pki,
    _folder: TempDir,
}

impl Scene {
    /// Everybody may pull what is theirs: `alice` `docker.io/of/alice`, and so on.
    async fn new(login: Option<login::Config>) -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Pki::new());
        issue(&authority, folder.path());
        let mut plan = Plan::default();
        plan.front.tls = Some(Tls {
            client_ca: Some(authority.ca_file()),
            ..files(folder.path())
        });
        plan.front.login = login;
        let rules = ["alice", "node.test", "bob"].map(|user| Rule {
            who: vec![user.to_owned()],
            allow: vec![format!("docker.io/of/{user}")],
            deny: Vec::new(),
        });
        plan.front.access = Access::new(rules.into()).unwrap();
        let house = plan.build().await;
        for user in ["alice", "node.test", "bob"] {
            house
                .put_manifest(&format!("docker.io/of/{user}"), "x", "{}")
                .await;
        }
        Self {
            house,
            authority,
            _folder: folder,
        }
    }

    /// The answer to a client with this certificate; `None` where there is none.
    async fn get(&self, leaf: Option<&Leaf>, path: &str, headers: &[(&str, &str)]) -> Option<Got> {
        let config = match leaf {
            Some(leaf) => self.authority.client_config_with(leaf),
            None => self.authority.client_config(),
        };
        self.get_as(config, path, headers).await
    }

    async fn get_as(
        &self,
        config: ClientConfig,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<Got> {
        let stream = connect_as(self.house.address, config, &["h2"]).await.ok()?;
        let io = hyper_util::rt::TokioIo::new(stream);
        let executor = hyper_util::rt::TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, io).await;
        let (mut sender, connection) = handshake.ok()?;
        tokio::spawn(connection);
        let mut request = request("GET", path, headers);
        *request.uri_mut() = format!("https://mirror.test{path}").parse().unwrap();
        request.headers_mut().remove("Host");
        let response = sender.send_request(request).await.ok()?;
        Some(Got::read(response).await.unwrap())
    }

    async fn status(&self, leaf: Option<&Leaf>, path: &str, headers: &[(&str, &str)]) -> u16 {
        self.get(leaf, path, headers)
            .await
            .map_or(0, |got| got.status)
    }
}

/// The status of what belongs to `user`.
async fn of(scene: &Scene, leaf: &Leaf, user: &str) -> u16 {
    let path = format!("/v2/docker.io/of/{user}/manifests/x");
    scene.status(Some(leaf), &path, &[]).await
}

#[tokio::test]
async fn a_certificate_names_its_user() {
    let only_certificates = login::Config {
        certificates: true,
        ..login::Config::default()
    };
    for login in [None, Some(only_certificates)] {
        let nameless_ping = if login.is_none() { 200 } else { 403 };
        let scene = Scene::new(login).await;
        let alice = scene.authority.client("alice");
        assert_eq!(of(&scene, &alice, "alice").await, 200);
        assert_eq!(of(&scene, &alice, "bob").await, 403);
        let node = scene.authority.client_without_name(&["node.test", "alice"]);
        assert_eq!(of(&scene, &node, "node.test").await, 200);
        assert_eq!(of(&scene, &node, "alice").await, 403);
        // An address is no name.
        let nameless = scene.authority.client_without_name(&["10.0.0.1"]);
        assert_eq!(of(&scene, &nameless, "alice").await, 403);
        let ping = scene.status(Some(&nameless), "/v2/", &[]).await;
        assert_eq!(ping, nameless_ping);
        assert_eq!(scene.status(None, "/v2/", &[]).await, 0);
        let other = Pki::new();
        let config = scene.authority.client_config_with(&other.client("alice"));
        assert!(scene.get_as(config, "/v2/", &[]).await.is_none());
    }
}

#[tokio::test]
async fn beside_passwords_either_will_do() {
    let people = People::new();
    let login = login::Config {
        certificates: true,
        ..people.config()
    };
    let scene = Scene::new(Some(login)).await;
    let alice = scene.authority.client("alice");
    let bob = [("Authorization", BOB)];
    let bobs = "/v2/docker.io/of/bob/manifests/x";
    assert_eq!(scene.status(Some(&alice), PATH, &[]).await, 200);
    assert_eq!(scene.status(None, bobs, &bob).await, 200);
    let nobody = scene.get(None, PATH, &[]).await.unwrap();
    assert_eq!(nobody.status, 401);
    assert_eq!(
        nobody.header("www-authenticate"),
        "Basic realm=\"tidegate\""
    );
    // Who sends a login is whom it names.
    assert_eq!(scene.status(Some(&alice), bobs, &bob).await, 200);
    let wrong = [("Authorization", BOB_WRONG)];
    assert_eq!(scene.status(Some(&alice), PATH, &wrong).await, 401);
    // A certificate of another authority is none.
    let other = Pki::new();
    let config = scene.authority.client_config_with(&other.client("alice"));
    assert!(scene.get_as(config, PATH, &[]).await.is_none());
}

#[tokio::test]
async fn without_the_key_both_are_needed() {
    let people = People::new();
    let scene = Scene::new(Some(people.config())).await;
    let alice = scene.authority.client("alice");
    let bob = [("Authorization", BOB)];
    let bobs = "/v2/docker.io/of/bob/manifests/x";
    assert_eq!(scene.status(Some(&alice), PATH, &[]).await, 401);
    assert_eq!(scene.status(None, bobs, &bob).await, 0);
    assert_eq!(scene.status(Some(&alice), bobs, &bob).await, 200);
    assert_eq!(scene.status(Some(&alice), PATH, &bob).await, 403);
}

#[tokio::test]
async fn each_connection_has_its_own_user_also_when_resumed() {
    let scene = Scene::new(None).await;
    let alice = scene.authority.client("alice");
    // One configuration keeps the tickets of its connections.
    let config = scene.authority.client_config_with(&alice);
    for _ in 0..3 {
        let stream = connect_as(scene.house.address, config.clone(), &[]).await;
        let response = over_h1(stream.unwrap(), request("GET", PATH, &[])).await;
        assert_eq!(response.status(), 200);
        drop(Got::read(response).await);
    }
    let node = scene.authority.client_without_name(&["node.test"]);
    let config = scene.authority.client_config_with(&node);
    let stream = connect_as(scene.house.address, config, &["h2"]).await;
    let response = over_h2(stream.unwrap(), request("GET", PATH, &[])).await;
    assert_eq!(response.status(), 403);
}
