//! Where the clients' own credentials decide: what one may see is told to nobody else.

use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Recorded;
use fake_registry::Reply;
use fake_registry::RequestBuilder;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::basic;
use futures_util::future::join_all;
use tidegate::registry::Credentials;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const REPOSITORY: &str = "private/app";
const TAG: &str = "private/app/manifests/v1";

/// A proxy that passes on what clients sign in with, before a registry with an image that Alice
/// may read, and Bob may not.
struct Scene {
    rig: Rig,
    tokens: TokenServer,
    manifest: String,
    blob: String,
}

fn setup() -> Setup {
    Setup {
        credentials: Credentials::Passthrough,
        ..Setup::default()
    }
}

impl Scene {
    async fn start() -> Self {
        Self::with(setup()).await
    }

    async fn with(setup: Setup) -> Self {
        let tokens = TokenServer::builder()
            .user("alice", "a", &["private/*"])
            .user("bob", "b", &["public/*"])
            .start()
            .await;
        let up = Upstream::builder().bearer(&tokens).start().await;
        let rig = Rig::before(up, setup).await;
        let blob = rig.up.put_generated_blob(REPOSITORY, 8 * MIB, 1);
        let manifest = rig.put_image(REPOSITORY, "v1", &[&blob]);
        Self {
            rig,
            tokens,
            manifest,
            blob,
        }
    }

    /// A new token of `user`, as `Authorization`.
    fn token(&self, user: &str) -> String {
        let scopes = [
            "repository:private/app:pull",
            "repository:public/app:pull",
            "repository:private/other:pull",
        ];
        format!("Bearer {}", self.tokens.token_for(Some(user), &scopes))
    }

    fn blob_path(&self) -> String {
        format!("{REPOSITORY}/blobs/{}", self.blob)
    }

    fn request(&self, method: &str, path: &str, authorization: &str) -> RequestBuilder {
        let url = self.rig.url(path);
        let request = self
            .rig
            .client
            .request(method.parse().expect("a method"), url);
        let request = self.rig.accepting(request);
        match authorization {
            "" => request,
            given => request.header("authorization", given),
        }
    }

    async fn get(&self, path: &str, authorization: &str) -> Reply {
        let request = self.request("GET", path, authorization);
        request.send().await.expect("an answer")
    }

    async fn head(&self, path: &str, authorization: &str) -> Reply {
        let request = self.request("HEAD", path, authorization);
        request.send().await.expect("an answer")
    }

    /// The whole image, as `authorization`.
    async fn pull(&self, authorization: &str) {
        let manifest = self.get(TAG, authorization).await;
        assert_eq!(manifest.status, 200);
        let blob = self.get(&self.blob_path(), authorization).await;
        assert_eq!(blob.status, 200);
        assert_eq!(blob.digest().await.expect("a whole blob"), self.blob);
        self.rig.flow.settled().await;
    }

    /// The statuses of all that can be asked of the image, each by a request of its own.
    async fn all(&self, authorization: &str) -> Vec<(String, u16)> {
        let (manifest, blob) = (&self.manifest, &self.blob_path());
        let by_digest = format!("{REPOSITORY}/manifests/{manifest}");
        let referrers = format!("{REPOSITORY}/referrers/{manifest}");
        let mut asked = Vec::new();
        for path in [TAG, &by_digest, blob] {
            for method in ["GET", "HEAD"] {
                asked.push(self.request(method, path, authorization));
                // Who holds it already gets a 304, which says that it is there.
                for tag in [manifest, &self.blob] {
                    let held = self.request(method, path, authorization);
                    asked.push(held.header("if-none-match", format!("\"{tag}\"")));
                }
            }
            for range in ["0-9", "10-", "-10", "5000000-", "6000000-6000010"] {
                asked.push(self.request("GET", path, authorization).range(range));
            }
        }
        for path in ["private/app/tags/list", &referrers] {
            for method in ["GET", "HEAD"] {
                asked.push(self.request(method, path, authorization));
            }
        }
        let mut statuses = Vec::new();
        for request in asked {
            let shown = format!("{request:?}");
            let reply = request.send().await.expect("an answer");
            statuses.push((shown, reply.status.as_u16()));
        }
        statuses
    }

    async fn assert_closed(&self, authorization: &str, status: u16) {
        for (request, got) in self.all(authorization).await {
            assert_eq!(got, status, "{request}");
        }
    }
}

fn is_by(authorization: &str) -> impl Fn(&Recorded) -> bool + Send + Sync + 'static {
    let authorization = authorization.to_owned();
    move |asked| asked.header("authorization") == Some(&*authorization)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_challenge_reaches_the_client_as_it_is() {
    let scene = Scene::start().await;
    let alice = scene.token("alice");
    let bob = scene.token("bob");
    let client = &scene.rig.client;
    for path in ["", TAG, &scene.blob_path(), "private/app/tags/list"] {
        for authorization in ["", "Bearer nonsense", &bob] {
            let direct = client.head(format!("{}/v2/{path}", scene.rig.up.url()));
            let direct = direct.header("authorization", authorization).send().await;
            let direct = direct.unwrap();
            if direct.status == 200 {
                continue;
            }
            let challenge = direct.header("www-authenticate");
            assert!(challenge.unwrap().contains(&scene.tokens.realm()));
            for method in ["GET", "HEAD"] {
                let ours = scene.request(method, path, authorization);
                let ours = ours.send().await.unwrap();
                assert_eq!(ours.status, 401, "{method} {path}");
                assert_eq!(ours.header("www-authenticate"), challenge, "{path}");
                if method == "GET" {
                    let json = ours.json().await.unwrap();
                    assert_eq!(json["errors"][0]["code"], "UNAUTHORIZED");
                }
            }
        }
    }
    for way in ["", "?ns=up.test"] {
        assert_eq!(scene.get(way, "").await.status, 401);
        assert_eq!(scene.get(way, &alice).await.status, 200);
    }
    let by_host = scene.request("GET", "", "").header("host", "up.test");
    assert_eq!(by_host.send().await.unwrap().status, 401);
    assert_eq!(scene.get("?ns=elsewhere.test", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_private_image_is_closed_to_others() {
    let scene = Scene::start().await;
    scene.pull(&scene.token("alice")).await;
    for other in ["", &scene.token("bob"), &basic("alice", "a"), "Bearer x"] {
        scene.assert_closed(other, 401).await;
    }
    let open = scene.all(&scene.token("alice")).await;
    let open: Vec<_> = open
        .iter()
        .filter(|(_, status)| !matches!(status, 200 | 206 | 304 | 416))
        .collect();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_being_fetched_is_closed_to_others() {
    let scene = Scene::start().await;
    let gate = Gate::new();
    let stall = Fault::stall_after(4 * MIB, &gate);
    scene.rig.up.fault(When::get(&scene.blob), stall);
    let alice = scene.token("alice");
    assert_eq!(scene.get(TAG, &alice).await.status, 200);
    let mut own = scene.get(&scene.blob_path(), &alice).await;
    own.read_exactly(1 << 20).await.unwrap();
    scene.assert_closed(&scene.token("bob"), 401).await;
    scene.assert_closed("", 401).await;
    let other = scene.token("alice");
    let joined = scene.get(&scene.blob_path(), &other).await;
    assert_eq!((joined.status.as_u16(), cache(&joined)), (200, "JOIN"));
    gate.open();
    own.bytes().await.unwrap();
    assert_eq!(joined.digest().await.unwrap(), scene.blob);
    assert_eq!(scene.rig.up.gets_of(&scene.blob).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_pull_is_made_with_the_clients_token_and_asks_nothing_more() {
    let scene = Scene::start().await;
    let alice = scene.token("alice");
    let reply = scene.get(TAG, &alice).await;
    assert_eq!(cache(&reply), "MISS");
    assert_eq!(scene.rig.asked(), (0, 1));
    assert_eq!(cache(&scene.get(&scene.blob_path(), &alice).await), "MISS");
    scene.rig.flow.settled().await;
    assert_eq!(scene.rig.asked(), (0, 2));
    assert!(scene.rig.up.log().iter().all(is_by(&alice)));

    let scene = Scene::start().await;
    let alice = scene.token("alice");
    let path = format!("{REPOSITORY}/manifests/{}", scene.manifest);
    assert_eq!(cache(&scene.get(&path, &alice).await), "MISS");
    assert_eq!(scene.rig.asked(), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_about_once_for_each_repository() {
    let scene = Scene::with(Setup {
        tag_ttl: Duration::from_secs(3600),
        ..setup()
    })
    .await;
    scene.pull(&scene.token("alice")).await;
    let alice = scene.token("alice");
    scene.rig.up.clear_log();
    let replies = join_all((0..8).map(|_| scene.get(TAG, &alice))).await;
    assert!(replies.iter().all(|reply| cache(reply) == "HIT"));
    scene.pull(&alice).await;
    scene.pull(&alice).await;
    assert_eq!(scene.rig.asked(), (1, 0));
    assert!(scene.rig.up.log().iter().all(is_by(&alice)));
    // What is asked about is the thing itself, whatever it is.
    for path in [
        scene.blob_path(),
        format!("{REPOSITORY}/manifests/{}", scene.manifest),
    ] {
        let another = scene.token("alice");
        scene.rig.up.clear_log();
        for _ in 0..2 {
            assert_eq!(cache(&scene.get(&path, &another).await), "HIT");
        }
        assert_eq!(scene.rig.asked(), (1, 0));
        assert!(scene.rig.up.log()[0].path.ends_with(&path));
    }
    let other = format!("private/other/blobs/{}", scene.blob);
    assert_eq!(scene.get(&other, &alice).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_auth_ttl_each_request_is_asked_about() {
    let scene = Scene::with(Setup {
        auth_ttl: Duration::ZERO,
        tag_ttl: Duration::from_secs(3600),
        ..setup()
    })
    .await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    scene.rig.up.clear_log();
    scene.pull(&alice).await;
    scene.pull(&alice).await;
    assert_eq!(scene.rig.asked(), (4, 0));
    scene.tokens.revoke_tokens();
    scene.assert_closed(&alice, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_is_refused_is_no_answer_to_another() {
    for status in [401, 403, 404] {
        let scene = Scene::start().await;
        let (alice, mallory) = (scene.token("alice"), scene.token("alice"));
        let refusal = When::any().and(is_by(&mallory));
        scene.rig.up.fault(refusal, Fault::status(status));
        for round in ["cold", "stored"] {
            scene.assert_closed(&mallory, status).await;
            scene.pull(&alice).await;
            let later = scene.all(&alice).await;
            let refused = later
                .iter()
                .find(|(_, got)| matches!(got, 401 | 403 | 404 | 502));
            assert!(refused.is_none(), "{round}: {refused:?}");
        }
        // A 404 of one does not make others lose what is stored.
        scene.assert_closed(&mallory, status).await;
        scene.rig.up.stop().await;
        assert_eq!(cache(&scene.get(TAG, &alice).await), "STALE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_for_one_is_no_outage_for_others() {
    for status in [429, 500, 503] {
        let scene = Scene::start().await;
        let (alice, mallory) = (scene.token("alice"), scene.token("alice"));
        scene.pull(&alice).await;
        let refusal = When::any().and(is_by(&mallory));
        let fault = Fault::status(status).header("retry-after", "3600");
        scene.rig.up.fault(refusal, fault);
        assert!(scene.get(TAG, &mallory).await.status.as_u16() >= 429);
        assert_eq!(cache(&scene.get(TAG, &alice).await), "HIT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_another_is_told() {
    let scene = Scene::start().await;
    let (first, second) = (scene.token("alice"), scene.token("alice"));
    scene.pull(&first).await;
    scene.pull(&second).await;
    let new = scene.rig.put_image(REPOSITORY, "v2", &[]);
    let new = format!("{REPOSITORY}/manifests/{new}");
    let gate = Gate::new();
    let fault = Fault::status(401).and(Fault::stall_header(&gate));
    scene.rig.up.fault(When::any().and(is_by(&first)), fault);
    scene.rig.up.clear_log();
    for (path, expected) in [(&*new, "MISS"), (TAG, "HIT")] {
        let (waiting, ()) = tokio::join!(scene.get(path, &first), async {
            let is_asked = |log: &[Recorded]| log.iter().any(|r| r.path.ends_with(path));
            scene.rig.up.wait_for(is_asked).await;
            assert_eq!(cache(&scene.get(path, &second).await), expected);
            gate.open();
        });
        assert_eq!(waiting.status, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_that_is_refused_fails_nobody_else() {
    let scene = Scene::start().await;
    let first = scene.token("alice");
    assert_eq!(scene.get(TAG, &first).await.status, 200);
    let others: Vec<_> = (0..8).map(|_| scene.token("alice")).collect();
    let gate = Gate::new();
    let refused = When::get(&scene.blob).and(is_by(&first));
    let fault = Fault::status(401).and(Fault::stall_header(&gate));
    scene.rig.up.fault(refused, fault);
    let path = scene.blob_path();
    let (starter, followers, ()) = tokio::join!(
        scene.get(&path, &first),
        async {
            let is_asked = |log: &[Recorded]| log.iter().any(|r| r.is_get_of(&scene.blob));
            scene.rig.up.wait_for(is_asked).await;
            join_all(others.iter().map(|other| scene.get(&path, other))).await
        },
        async {
            let is_answered = |r: &&Recorded| r.method == "HEAD" && r.status.is_some();
            let are_let_in = |log: &[Recorded]| log.iter().filter(is_answered).count() == 8;
            scene.rig.up.wait_for(are_let_in).await;
            gate.open();
        }
    );
    assert_eq!(starter.status, 401);
    for follower in followers {
        assert_eq!(follower.status, 200);
        assert_eq!(follower.digest().await.unwrap(), scene.blob);
    }
    assert_eq!(scene.rig.up.gets_of(&scene.blob).len(), 2);
    scene.rig.flow.settled().await;
    assert_eq!(cache(&scene.get(&path, &others[0]).await), "HIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_for_one_request_is_no_answer_to_another_of_the_same_client() {
    let scene = Scene::start().await;
    scene.pull(&scene.token("alice")).await;
    let alice = scene.token("alice");
    let gate = Gate::new();
    let stall = Fault::stall_header(&gate);
    scene.rig.up.fault(When::path("missing"), stall);
    let missing = format!("{REPOSITORY}/manifests/missing");
    let (missing, served) = tokio::join!(scene.get(&missing, &alice), async {
        let is_asked = |log: &[Recorded]| log.iter().any(|r| r.path.ends_with("missing"));
        scene.rig.up.wait_for(is_asked).await;
        let asking = join_all((0..8).map(|_| scene.get(TAG, &alice)));
        let open = async {
            // They wait for the first one's answer: nothing tells when, but these come later.
            for _ in 0..50 {
                scene.get("_catalog", "").await;
            }
            gate.open();
        };
        futures_util::future::join(asking, open).await.0
    });
    assert_eq!(missing.status, 404);
    assert!(served.iter().all(|reply| reply.status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_is_believed_for_auth_ttl_and_no_longer() {
    let scene = Scene::with(Setup {
        auth_ttl: Duration::from_millis(500),
        ..setup()
    })
    .await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    scene.tokens.revoke_tokens();
    let path = scene.blob_path();
    let refused = async { while scene.get(&path, &alice).await.status != 401 {} };
    let in_time = tokio::time::timeout(fake_registry::PATIENCE, refused).await;
    assert!(in_time.is_ok(), "believed for ever");
    scene.assert_closed(&alice, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_in_mid_blob_ends_nobodys_download() {
    let scene = Scene::start().await;
    let (first, second) = (scene.token("alice"), scene.token("alice"));
    let gate = Gate::new();
    let cut = Fault::stall_after(4 * MIB, &gate).and(Fault::cut_after(4 * MIB));
    let is_first = || When::get(&scene.blob).and(is_by(&first));
    scene.rig.up.fault(is_first().nth(1), cut);
    let late = scene.rig.up.fault(is_first().after(1), Fault::status(401));
    let path = scene.blob_path();
    let mut starter = scene.get(&path, &first).await;
    starter.read_exactly(1 << 20).await.unwrap();
    let follower = scene.get(&path, &second).await;
    assert_eq!(cache(&follower), "JOIN");
    gate.open();
    assert_eq!(follower.digest().await.unwrap(), scene.blob);
    starter.bytes().await.unwrap();
    assert_eq!(late.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_upstream_is_down_only_who_was_let_in_is_served() {
    let scene = Scene::start().await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    let (later, bob) = (scene.token("alice"), scene.token("bob"));
    scene.rig.up.stop().await;
    assert_eq!(cache(&scene.get(TAG, &alice).await), "STALE");
    assert_eq!(cache(&scene.head(TAG, &alice).await), "STALE");
    assert_eq!(cache(&scene.get(&scene.blob_path(), &alice).await), "HIT");
    for (request, status) in scene.all(&alice).await {
        let is_list = request.contains("/tags/") || request.contains("/referrers/");
        assert_eq!(status == 502, is_list, "{request}: {status}");
    }
    for nobody in ["", &later, &bob] {
        scene.assert_closed(nobody, 502).await;
        assert_eq!(scene.get("", nobody).await.status, 502);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_silent_lets_nobody_in() {
    let scene = Scene::with(Setup {
        credentials: Credentials::Passthrough,
        ..Setup::impatient()
    })
    .await;
    scene.pull(&scene.token("alice")).await;
    scene
        .rig
        .up
        .fault(When::any(), Fault::stall_header(&Gate::new()));
    let alice = scene.token("alice");
    for path in [TAG, &scene.blob_path()] {
        assert_eq!(scene.get(path, &alice).await.status, 504, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_the_callers_own() {
    let scene = Scene::start().await;
    scene.pull(&scene.token("alice")).await;
    let referrers = format!("{REPOSITORY}/referrers/{}", scene.manifest);
    let alice = scene.token("alice");
    for path in ["private/app/tags/list", &referrers] {
        scene.rig.up.clear_log();
        let replies = join_all((0..4).map(|_| scene.get(path, &alice))).await;
        assert!(replies.iter().all(|reply| cache(reply) == "MISS"));
        assert_eq!(scene.rig.asked(), (0, 4), "each asks for itself");
        assert_eq!(scene.get(path, &scene.token("bob")).await.status, 401);
    }
    // To list is not to pull: some registries tell the two apart.
    scene.rig.up.clear_log();
    scene.rig.up.fault(When::head("v1"), Fault::status(403));
    assert_eq!(scene.get(TAG, &alice).await.status, 403);
    assert_eq!(scene.rig.asked(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalog_tells_no_names() {
    let scene = Scene::start().await;
    scene.pull(&scene.token("alice")).await;
    let list = scene.get("_catalog", &scene.token("alice")).await;
    let list = list.json().await.unwrap();
    assert_eq!(list["repositories"], serde_json::json!([]));
    let open = Setup {
        credentials: Credentials::Anonymous,
        ..setup()
    };
    scene.rig.reconfigure(&open);
    let list = scene.get("_catalog", "").await.json().await.unwrap();
    assert_eq!(list["repositories"][0], "up.test/private/app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_what_was_remembered() {
    let scene = Scene::start().await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    scene.tokens.revoke_tokens();
    let blob = scene.blob_path();
    let kept = scene.get(&blob, &alice).await;
    assert_eq!(kept.status, 200, "believed for auth_ttl");
    // The tag is asked about, for its own sake.
    assert_eq!(scene.get(TAG, &alice).await.status, 401);
    assert_eq!(scene.get(&blob, &alice).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_who_was_let_in() {
    let scene = Scene::start().await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    scene.tokens.revoke_tokens();
    let blob = scene.blob_path();
    assert_eq!(scene.get(&blob, &alice).await.status, 200);
    scene.rig.reconfigure(&setup());
    scene.assert_closed(&alice, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_itself_fetched_is_closed_after_a_reload_to_passthrough() {
    let robot = |scene: &Scene| Setup {
        credentials: Credentials::Token(tidegate::registry::Secret::new(
            scene.token("alice").trim_start_matches("Bearer "),
        )),
        tag_ttl: Duration::from_secs(3600),
        ..Setup::default()
    };
    let scene = Scene::start().await;
    scene.rig.reconfigure(&robot(&scene));
    scene.pull("").await;
    let missing = "private/app/manifests/later";
    assert_eq!(scene.get(missing, "").await.status, 404);
    assert_eq!(scene.get("private/app/tags/list", "").await.status, 200);
    scene.rig.reconfigure(&Setup {
        tag_ttl: Duration::from_secs(3600),
        ..setup()
    });
    scene.assert_closed("", 401).await;
    scene.assert_closed(&scene.token("bob"), 401).await;
    let alice = scene.token("alice");
    scene.pull(&alice).await;
    scene.rig.put_image(REPOSITORY, "later", &[]);
    // The proxy was told a moment ago that there is none; this client was not.
    assert_eq!(scene.get(missing, &alice).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_challenges_are_relayed_apart() {
    let scene = Scene::start().await;
    let both = [
        "Basic realm=\"a, b\"",
        "Bearer realm=\"https://t.test/token\"",
    ];
    let refusal = both.iter().fold(Fault::status(401), |fault, challenge| {
        fault.header("www-authenticate", challenge)
    });
    scene.rig.up.fault(When::any(), refusal);
    for path in ["", TAG] {
        let reply = scene.head(path, "").await;
        let relayed = reply.headers.get_all("www-authenticate").iter();
        assert!(relayed.eq(both), "{:?}", reply.headers);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_passed_on_as_well() {
    let up = Upstream::builder().basic("alice", "a").start().await;
    let rig = Rig::before(up, setup()).await;
    let digest = rig.put_image(REPOSITORY, "v1", &[]);
    let ask = |authorization: String| {
        let request = rig.client.get(rig.url(TAG));
        request.header("authorization", authorization).send()
    };
    let refused = ask(basic("alice", "guess")).await.unwrap();
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate");
    assert_eq!(challenge, Some("Basic realm=\"fake-registry\""));
    let served = ask(basic("alice", "a")).await.unwrap();
    assert_eq!(served.header("docker-content-digest"), Some(&*digest));
    assert_eq!(ask(basic("alice", "A")).await.unwrap().status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_sign_in_with_goes_to_the_registry_alone() {
    let cdn = Upstream::start().await;
    let scene = Scene::start().await;
    let path = format!("/v2/{}", scene.blob_path());
    let content = fake_registry::Content::generated(8 * MIB, 1);
    cdn.put_blob_as(REPOSITORY, &scene.blob, content);
    let redirect = Fault::redirect_to_host(&cdn.url());
    scene.rig.up.fault(When::get(&scene.blob), redirect);
    scene.pull(&scene.token("alice")).await;
    let asked = cdn.log();
    assert!(asked.iter().any(|asked| asked.path == path));
    let told = asked.iter().find(|r| r.header("authorization").is_some());
    assert!(told.is_none());
    scene.assert_closed("", 401).await;
    // Where the proxy signs in itself, or as nobody, nobody hears of it at all.
    scene.rig.reconfigure(&Setup::default());
    scene.rig.up.clear_log();
    let alice = scene.token("alice");
    for path in ["", TAG, &scene.blob_path(), "private/app/tags/list"] {
        scene.get(path, &alice).await;
    }
    let asked = scene.rig.up.log();
    assert!(!asked.is_empty());
    assert!(!asked.iter().any(is_by(&alice)));
}
