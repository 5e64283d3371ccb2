//! A digest opens only through a repository that has it.

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Reply;
use fake_registry::When;
use futures_util::future::join_all;

use crate::rig::MIB;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::cache;

const SIZE: u64 = 8 * MIB;

/// A private image, pulled through `private/app`.
struct Scene {
    rig: Rig,
    blob: String,
    manifest: String,
}

impl Scene {
    async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Self {
        let rig = Rig::with(setup).await;
        let blob = rig.up.put_generated_blob("private/app", SIZE, 1);
        let manifest = rig.put_image("private/app", "v1", &[&blob]);
        // Another repository, which exists.
        rig.put_image("public/app", "other", &[]);
        Self {
            rig,
            blob,
            manifest,
        }
    }

    async fn pull(&self) {
        let manifest = self.rig.manifest("private/app/manifests/v1").await;
        assert_eq!(manifest.status, 200);
        let blob = self.rig.get(&self.private()).await.digest().await;
        assert_eq!(blob.expect("a whole blob"), self.blob);
        self.rig.flow.settled().await;
    }

    fn private(&self) -> String {
        format!("private/app/blobs/{}", self.blob)
    }

    fn public(&self) -> String {
        format!("public/app/blobs/{}", self.blob)
    }

    /// All ways to ask for the private image through the other repository.
    async fn attack(&self) -> Vec<(String, Reply)> {
        let rig = &self.rig;
        let by_digest = format!("public/app/manifests/{}", self.manifest);
        // A manifest is a blob as well.
        let as_blob = format!("public/app/blobs/{}", self.manifest);
        let mut asked = Vec::new();
        for path in [
            &self.public(),
            &by_digest,
            "public/app/manifests/v1",
            &as_blob,
        ] {
            for method in ["GET", "HEAD"] {
                let method = || method.parse().expect("a method");
                let request = || rig.accepting(rig.client.request(method(), rig.url(path)));
                asked.push(request());
                for digest in [&self.blob, &self.manifest] {
                    let held = format!("\"{digest}\"");
                    asked.push(request().header("if-none-match", held));
                }
            }
            for range in [
                "0-9",
                "0-",
                "1-",
                "-1",
                "0-0,9-9",
                "5000000-",
                "7000000-7000009",
            ] {
                let request = rig.client.get(rig.url(path));
                asked.push(rig.accepting(request).range(range));
            }
        }
        let asked = asked.into_iter().map(async |request| {
            let shown = format!("{request:?}");
            (shown, request.send().await.expect("an answer"))
        });
        join_all(asked).await
    }

    async fn assert_closed(&self, status: u16) {
        for (request, reply) in self.attack().await {
            assert_eq!(reply.status, status, "{request}");
            assert_ne!(reply.content_length(), Some(SIZE), "{request}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_repository_brought_in_is_closed_to_another() {
    let scene = Scene::start().await;
    scene.pull().await;
    scene.assert_closed(404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_it_is_being_fetched() {
    let scene = Scene::start().await;
    let gate = Gate::new();
    let stall = Fault::stall_after(4 * MIB, &gate);
    scene.rig.up.fault(When::get(&scene.private()), stall);
    scene.rig.manifest("private/app/manifests/v1").await;
    let mut own = scene.rig.get(&scene.private()).await;
    own.read_exactly(1 << 20).await.unwrap();
    scene.assert_closed(404).await;
    gate.open();
    own.bytes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn also_before_its_fill_has_an_answer() {
    let scene = Scene::start().await;
    let gate = Gate::new();
    let stall = Fault::stall_header(&gate);
    scene.rig.up.fault(When::get(&scene.private()), stall);
    let path = scene.private();
    let (own, ()) = tokio::join!(scene.rig.get(&path), async {
        let is_asked = |r: &fake_registry::Recorded| r.is_get_of(&scene.blob);
        scene.rig.up.wait_for(|log| log.iter().any(is_asked)).await;
        scene.assert_closed(404).await;
        gate.open();
    });
    assert_eq!(own.digest().await.unwrap(), scene.blob);
}

/// Whoever asks again and again finds the moment in which a fill begins or ends.
#[tokio::test(flavor = "multi_thread")]
async fn also_in_the_moment_in_which_a_fill_begins_or_ends() {
    let scene = Scene::start().await;
    for seed in 10..40 {
        let blob = scene
            .rig
            .up
            .put_generated_blob("private/app", 200_000, seed);
        let (own, other) = (
            format!("private/app/blobs/{blob}"),
            format!("public/app/blobs/{blob}"),
        );
        let attacks = (0..24).map(async |number| {
            let reply = match number % 3 {
                0 => scene.rig.head(&other).await,
                1 => scene.rig.range(&other, "bytes=0-9").await,
                _ => scene.rig.get(&other).await,
            };
            assert_eq!(reply.status, 404, "{number}");
        });
        let (own, _) = tokio::join!(scene.rig.get(&own), join_all(attacks));
        assert_eq!(own.digest().await.unwrap(), blob);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_the_upstream_is_down() {
    let scene = Scene::start().await;
    scene.pull().await;
    scene.rig.up.stop().await;
    scene.assert_closed(502).await;
    let lists = [
        "public/app/tags/list".to_owned(),
        format!("public/app/referrers/{}", scene.manifest),
    ];
    for path in lists {
        assert_eq!(scene.rig.get(&path).await.status, 502, "{path}");
    }
    let own = scene.rig.get(&scene.private()).await;
    assert_eq!(cache(&own), "HIT", "its own repository is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn also_while_it_is_being_fetched_and_the_upstream_can_not_say() {
    let scene = Scene::start().await;
    let gate = Gate::new();
    let stall = Fault::stall_after(4 * MIB, &gate);
    scene.rig.up.fault(When::get(&scene.private()), stall);
    let mut own = scene.rig.get(&scene.private()).await;
    own.read_exactly(1 << 20).await.unwrap();
    scene
        .rig
        .up
        .fault(When::path("public/app"), Fault::status(503));
    scene.assert_closed(502).await;
    gate.open();
    own.bytes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn referrers_are_of_their_repository() {
    let scene = Scene::start().await;
    let signature = serde_json::json!({
        "schemaVersion": 2, "mediaType": tidegate::oci::media::OCI_MANIFEST, "layers": [],
        "subject": { "mediaType": "x", "digest": scene.manifest, "size": 1 },
    });
    let media_type = tidegate::oci::media::OCI_MANIFEST;
    let up = &scene.rig.up;
    let signature = up.put_manifest("private/app", "sig", media_type, signature.to_string());
    let referrers = |name: &str| format!("{name}/referrers/{}", scene.manifest);
    let own = scene.rig.get(&referrers("private/app")).await;
    let own = own.json().await.unwrap();
    assert_eq!(own["manifests"][0]["digest"], signature);
    let other = scene.rig.get(&referrers("public/app")).await;
    let other = other.json().await.unwrap();
    assert_eq!(other["manifests"], serde_json::json!([]));
    let path = format!("private/app/manifests/{signature}");
    assert_eq!(scene.rig.manifest(&path).await.status, 200);
    let path = format!("public/app/manifests/{signature}");
    assert_eq!(scene.rig.manifest(&path).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_has_it_too_costs_one_head_and_no_byte() {
    let rig = Rig::start().await;
    let digest = rig.up.put_generated_blob("a/app", MIB, 3);
    rig.up.put_generated_blob("b/app", MIB, 3);
    let first = rig.get(&format!("a/app/blobs/{digest}")).await;
    first.digest().await.unwrap();
    rig.flow.settled().await;
    rig.up.clear_log();
    for _ in 0..2 {
        let reply = rig.get(&format!("b/app/blobs/{digest}")).await;
        assert_eq!(cache(&reply), "HIT");
        assert_eq!(reply.digest().await.unwrap(), digest);
    }
    assert_eq!(rig.asked(), (1, 0));
}

/// Who may write a manifest may name in it what is not theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_opens_nothing_that_its_repository_has_not() {
    let scene = Scene::with(Setup {
        negative_ttl: std::time::Duration::ZERO,
        ..Setup::default()
    })
    .await;
    let hostile = scene.rig.put_image("public/app", "v2", &[&scene.blob]);
    let index = serde_json::json!({
        "schemaVersion": 2, "manifests": [
            { "mediaType": "x", "digest": scene.manifest, "size": 1 },
            { "mediaType": "x", "digest": hostile, "size": 1 },
        ],
    });
    let media_type = tidegate::oci::media::OCI_INDEX;
    let up = &scene.rig.up;
    up.put_manifest("public/app", "all", media_type, index.to_string());
    for round in ["before", "after"] {
        for tag in ["v2", "all"] {
            let path = format!("public/app/manifests/{tag}");
            assert_eq!(scene.rig.manifest(&path).await.status, 200, "{round}");
        }
        if round == "before" {
            scene.pull().await;
        }
        for (request, reply) in scene.attack().await {
            assert_eq!(reply.status, 404, "{round}: {request}");
        }
    }
    scene.rig.up.stop().await;
    for (request, reply) in scene.attack().await {
        assert_eq!(reply.status, 502, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_and_held_costs_one_head_once_and_own_blobs_nothing() {
    let rig = Rig::with(Setup {
        tag_ttl: std::time::Duration::from_secs(3600),
        ..Setup::default()
    })
    .await;
    let shared = rig.up.put_generated_blob("a/app", MIB, 4);
    rig.up.put_generated_blob("b/app", MIB, 4);
    let own = rig.up.put_generated_blob("b/app", MIB, 5);
    rig.get(&format!("a/app/blobs/{shared}"))
        .await
        .digest()
        .await
        .unwrap();
    rig.flow.settled().await;
    rig.put_image("b/app", "v1", &[&shared, &own]);
    let pull = async |rig: &Rig| {
        rig.manifest("b/app/manifests/v1").await;
        for digest in [&shared, &own] {
            let blob = rig.get(&format!("b/app/blobs/{digest}")).await;
            assert_eq!(blob.digest().await.unwrap(), *digest);
        }
        rig.flow.settled().await;
    };
    rig.up.clear_log();
    pull(&rig).await;
    assert_eq!(rig.asked(), (1, 2), "a HEAD of what another brought in");
    pull(&rig).await;
    let rig = rig.restarted().await;
    pull(&rig).await;
    assert_eq!(rig.asked(), (1, 2), "nothing more, also after a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_name_is_never_asked_for() {
    let rig = Rig::with(Setup {
        deny: vec!["secret/*".into(), "library/hidden".into()],
        ..Setup::default()
    })
    .await;
    rig.put_image("secret/app", "v1", &[]);
    let digest = rig.up.put_generated_blob("secret/app", MIB, 6);
    let names = [
        "secret/app",
        "secret/deep/er/app",
        "secret%2Fapp",
        "%73ecret/app",
        "up.test/secret/app",
        "up%2Etest%2Fsecret/app",
        "up.test/library/hidden",
    ];
    let rests = [
        "manifests/v1".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{digest}"),
        "tags/list".to_owned(),
        format!("referrers/{digest}"),
    ];
    for (name, rest) in names
        .iter()
        .flat_map(|name| rests.iter().map(move |rest| (name, rest)))
    {
        for (way, host) in [
            ("", "127.0.0.1"),
            ("?ns=up.test", "127.0.0.1"),
            ("", "up.test"),
        ] {
            for method in ["GET", "HEAD"] {
                let url = rig.url(&format!("{name}/{rest}{way}"));
                let request = rig.client.request(method.parse().unwrap(), &url);
                let reply = request.header("host", host).send().await.unwrap();
                assert_eq!(reply.status, 403, "{method} {url} at {host}");
                if method == "GET" {
                    let json = reply.json().await.unwrap();
                    assert_eq!(json["errors"][0]["code"], "DENIED");
                }
            }
        }
    }
    assert_eq!(rig.up.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_allowed_name_is_asked_for() {
    let rig = Rig::with(Setup {
        allow: vec!["library/*".into()],
        deny: vec!["library/not-*".into()],
        ..Setup::default()
    })
    .await;
    for name in [
        "library/app",
        "library/not-this",
        "other/app",
        "libraryx/app",
    ] {
        rig.put_image(name, "v1", &[]);
        let reply = rig.manifest(&format!("{name}/manifests/v1")).await;
        let expected = if name == "library/app" { 200 } else { 403 };
        assert_eq!(reply.status, expected, "{name}");
    }
    assert_eq!(rig.asked(), (0, 1));
}
