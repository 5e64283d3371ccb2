//! Repositories at ECR, which no push makes: a scripted registry plays the registry, moto the API
//! that they are made by.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Mounts;
use fake_registry::Pki;
use fake_registry::Target;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::has_all;
use serde_json::Value;

use crate::fleet::UPSTREAM;
use crate::fleet::pull;
use crate::fleet::said_of_target;
use crate::mirror::ARRIVAL;
use crate::mirror::Mirror;
use crate::moto;
use crate::moto::ACCOUNT;
use crate::moto::Moto;
use crate::moto::REGION;
use crate::moto::Way;
use crate::sandbox;
use crate::scene::TIDEGATE;

/// How often what nobody tells is looked at.
const GLANCE: Duration = Duration::from_millis(20);
/// Runs tidegate where the registry's host name leads to us.
const WITH_HOSTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/with_hosts");

/// Whether there is all that it takes.
fn need() -> bool {
    let mut lacking = Vec::new();
    if !moto::server().is_file() {
        lacking.push("moto (./tests/run installs it)");
    }
    if !sandbox::is_possible() {
        lacking.push("right to mount (root)");
    }
    has_all(&lacking)
}

/// A scripted registry, and one that has ECR's ways and, in the proxy's eyes, its name.
struct Scene {
    upstream: Upstream,
    target: Arc<Target>,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn start() -> Self {
        let target = Target::builder().existing_only().mounts(Mounts::Committed);
        Self {
            upstream: Upstream::start().await,
            target: Arc::new(target.start().await),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The proxy, with all of `environment`.
    async fn proxy(&self, environment: &[(&str, &str)]) -> Tidegate {
        let host = format!("{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com");
        let hosts = self.folder.path().join("hosts");
        std::fs::write(&hosts, format!("127.0.0.1 {host}\n")).unwrap();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [store]\npath = \"store\"\n\n[[upstream]]\nname = {UPSTREAM:?}\ndefault = true\n\
             url = {:?}\nplain_http = true\ncredentials = \"anonymous\"\n\n\
             [[target]]\nname = \"ecr\"\nurl = \"http://{host}:{}\"\nplain_http = true\n\
             credentials = \"anonymous\"\n\
             repository = \"mirror/{{upstream}}/{{repository}}\"\n",
            self.upstream.url(),
            self.target.address().port(),
        );
        let nothing = self.folder.path().join("none");
        let nothing = nothing.to_str().unwrap();
        let mut proxy = Tidegate::builder(WITH_HOSTS, &config)
            .env("TIDEGATE", TIDEGATE)
            .env("HOSTS", hosts.to_str().unwrap())
            // Nothing of the machine's own.
            .env("AWS_CONFIG_FILE", nothing)
            .env("AWS_SHARED_CREDENTIALS_FILE", nothing)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        for (key, value) in environment {
            proxy = proxy.env(key, value);
        }
        proxy.start().await
    }

    /// Waits until the target is as `wanted` says.
    async fn until(&self, proxy: &Tidegate, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + ARRIVAL;
        loop {
            let said = said_of_target(proxy, "ecr").await;
            if wanted(&said) {
                return said;
            }
            assert!(Instant::now() < deadline, "{said:#}\n{}", proxy.log());
            tokio::time::sleep(GLANCE).await;
        }
    }
}

fn image(seed: u64) -> Image {
    ImageBuilder::new(seed).base(7, 1).layers(3).build()
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_made_at_ecr_once_each() {
    if !need() {
        return;
    }
    let (scene, moto, pki) = (Scene::start().await, Moto::start().await, Pki::new());
    let way = Way::start(&moto, scene.target.clone(), &pki).await;
    let token = scene.folder.path().join("token");
    std::fs::write(&token, "a service account's").unwrap();
    // As in a pod with a role of its own.
    let role = format!("arn:aws:iam::{ACCOUNT}:role/mirror");
    let proxy = scene
        .proxy(&[
            ("AWS_ENDPOINT_URL", &way.url),
            ("SSL_CERT_FILE", pki.ca_file().to_str().unwrap()),
            ("AWS_ROLE_ARN", &role),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
            ("AWS_REGION", "us-east-2"),
        ])
        .await;
    // It comes to be before tidegate asks for it.
    let place = |name| Mirror::place(UPSTREAM, name);
    moto.create(&place("c")).await;
    let images = [
        ("a", image(1)),
        ("a", image(2)),
        ("b", image(3)),
        ("c", image(4)),
    ];
    let pulls: Vec<_> = images
        .iter()
        .zip(["1", "2", "1", "1"])
        .map(|((name, image), tag)| {
            image.push_to(&scene.upstream, name, tag);
            (*name, tag, image)
        })
        .collect();
    pull(proxy.url(), &pulls).await.unwrap();
    let state = scene.until(&proxy, |it| it["owed"] == 0).await;
    for (name, tag, image) in pulls {
        let there = scene.target.tag(&place(name), tag);
        assert_eq!(there.as_deref(), Some(image.digest()), "{state:#}");
    }
    assert_eq!(moto.repositories().await, ["a", "b", "c"].map(place));
    let actions = way.actions();
    let made = |it: &&String| *it == "CreateRepository";
    assert_eq!(actions.iter().filter(made).count(), 3, "{actions:?}");
    assert!(actions.iter().any(|it| it == "AssumeRoleWithWebIdentity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_make_no_repository_is_told_what_to_allow() {
    if !need() {
        return;
    }
    let (moto, pki) = (Moto::strict(2).await, Pki::new());
    let (id, secret) = moto.user().await;
    let (scene, other) = (Scene::start().await, Scene::start().await);
    let way = Way::start(&moto, other.target.clone(), &pki).await;
    let (image, place) = (image(1), Mirror::place(UPSTREAM, "a"));
    let allow = format!("`ecr:CreateRepository` on repository/{place} (");
    for (scene, url, said) in [
        (&scene, moto.url(), "status 403"),
        (
            &other,
            &way.url,
            "AccessDeniedException: User: arn:aws:iam::",
        ),
    ] {
        let proxy = scene
            .proxy(&[
                ("AWS_ENDPOINT_URL_ECR", url),
                ("SSL_CERT_FILE", pki.ca_file().to_str().unwrap()),
                ("AWS_ACCESS_KEY_ID", &id),
                ("AWS_SECRET_ACCESS_KEY", &secret),
            ])
            .await;
        image.push_to(&scene.upstream, "a", "1");
        pull(proxy.url(), &[("a", "1", &image)]).await.unwrap();
        let failed = |it: &Value| it["errands"][0]["last_error"].is_string();
        let state = scene.until(&proxy, failed).await;
        let why = state["errands"][0]["last_error"].as_str().unwrap();
        assert!(why.contains(&format!("{allow}{said}")), "{why}");
        assert!(!why.contains(&secret), "a secret is told");
        // All else that is owed there is not held up.
        assert!(state["outage"].is_null(), "{state:#}");
    }
    // One for each manifest that is owed, at most: not one for each blob.
    let actions = way.actions();
    assert!(actions.len() <= 1 + image.manifests.len(), "{actions:?}");
}
