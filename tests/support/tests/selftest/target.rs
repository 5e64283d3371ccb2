//! What a scripted target takes, grants and refuses.

use fake_registry::Client;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Mount;
use fake_registry::Mounts;
use fake_registry::PATIENCE;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Push;
use fake_registry::Reply;
use fake_registry::Tally;
use fake_registry::Target;
use fake_registry::TokenServer;
use fake_registry::digest_of;
use http::Method;

use crate::missing;

/// A target, and requests to it as they are.
struct Scene {
    target: Target,
    client: Client,
}

impl Scene {
    async fn new() -> Self {
        Self::of(Target::start().await)
    }

    fn of(target: Target) -> Self {
        let client = Client::new();
        Self { target, client }
    }

    async fn send(
        &self,
        method: Method,
        place: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let url = if place.starts_with("http") {
            place.to_owned()
        } else {
            format!("{}{place}", self.target.url())
        };
        let mut request = self.client.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.send().await.expect("an answer")
    }

    async fn post(&self, place: &str) -> Reply {
        self.send(Method::POST, place, &[], "").await
    }

    /// A new session's place.
    async fn begin(&self, repository: &str) -> String {
        let reply = self.post(&format!("/v2/{repository}/blobs/uploads/")).await;
        assert_eq!(reply.status, 202);
        reply.header("location").expect("a place").to_owned()
    }

    async fn put(&self, repository: &str, reference: &str, kind: &str, body: &str) -> Reply {
        let place = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("content-type", kind)];
        self.send(Method::PUT, &place, &headers, body).await
    }
}

fn push(target: &Target) -> Push {
    Push::to(&target.url(), Client::new())
}

fn image() -> Image {
    ImageBuilder::new(1)
        .platforms(&["linux/amd64", "linux/arm64"])
        .build()
}

async fn code(reply: Reply) -> String {
    let body = reply.json().await.expect("JSON");
    body["errors"][0]["code"]
        .as_str()
        .expect("a code")
        .to_owned()
}

#[tokio::test]
async fn an_image_is_taken_and_given_back() {
    let (target, image) = (Target::start().await, image());
    image.push_http(&push(&target), "a/b", "v1").await.unwrap();
    assert_eq!(target.tag("a/b", "v1").as_deref(), Some(image.digest()));
    for blob in &image.blobs {
        assert!(target.blob("a/b", &blob.digest) == Some(blob.bytes.clone()));
        assert!(target.holds("a/b", &blob.digest) && !target.holds("a", &blob.digest));
    }
    let asked = target.requests();
    let expected = Tally {
        starts: 6,
        finishes: 6,
        manifests: 3,
        ..Tally::default()
    };
    assert_eq!(asked, expected);
    assert_eq!((asked.total(), target.uploads().len()), (15, 6));
    let put = target
        .log()
        .into_iter()
        .find(|it| it.method == "PUT")
        .unwrap();
    assert_eq!(put.request_bytes, image.blobs[0].bytes.len() as u64);
    let reply = Client::new()
        .get(format!("{}/v2/a/b/manifests/v1", target.url()))
        .send()
        .await
        .unwrap();
    assert!(reply.bytes().await.unwrap() == image.root.bytes);
    assert_eq!((target.open_sessions(), target.uploaded_twice()), (0, 0));
}

#[tokio::test]
async fn skopeo_pushes_to_a_target_and_pulls_back() {
    if missing("skopeo", "skopeo_pushes_to_a_target_and_pulls_back") {
        return;
    }
    let pki = Pki::new();
    let target = Target::builder().tls(&pki).start().await;
    let folder = tempfile::tempdir().unwrap();
    let image = image();
    let layout = folder.path().join("layout");
    image.write_oci_layout(&layout, "v1").unwrap();
    let registry = format!("docker://{}/a:v1", target.host());
    let source = format!("oci:{}:v1", layout.display());
    let back = format!("dir:{}", folder.path().join("back").display());
    for (from, to) in [(&source, &registry), (&registry, &back)] {
        let mut copy = Process::command("skopeo")
            .args(["copy", "--all", "--preserve-digests", "--insecure-policy"])
            .args([
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
                from,
                to,
            ])
            .spawn();
        let status = copy.wait(PATIENCE).await;
        assert!(status.success(), "{from}: {}", copy.stderr());
    }
    assert_eq!(target.tag("a", "v1").as_deref(), Some(image.digest()));
    assert_eq!(target.uploads().len(), image.blobs.len());
}

#[tokio::test]
async fn uploads_come_in_one_request_or_in_chunks() {
    let scene = Scene::new().await;
    let digest = digest_of(b"hello world");

    let reply = scene
        .send(
            Method::POST,
            &format!("/v2/one/blobs/uploads/?digest={digest}"),
            &[],
            "hello world",
        )
        .await;
    assert_eq!(reply.status, 201);

    let first = scene.begin("many").await;
    let patch = async |place: &str, range: &str, body: &str| {
        let headers = [("content-range", range)];
        scene.send(Method::PATCH, place, &headers, body).await
    };
    let reply = patch(&first, "0-4", "hello").await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("range")),
        (202, Some("0-4"))
    );
    let second = reply.header("location").unwrap().to_owned();
    let old = patch(&first, "5-10", " world").await;
    assert_eq!(code(old).await, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(patch(&second, "6-11", " world").await.status, 416);
    let reply = scene.send(Method::GET, &second, &[], "").await;
    assert_eq!(
        (reply.status.as_u16(), reply.header("range")),
        (204, Some("0-4"))
    );
    let end = format!("{second}&digest={digest}");
    let wrong = [("content-range", "4-10")];
    assert_eq!(
        scene.send(Method::PUT, &end, &wrong, " world").await.status,
        416
    );
    let reply = scene.send(Method::PUT, &end, &[], " world").await;
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("docker-content-digest"), Some(digest.as_str()));
    assert!(scene.target.blob("many", &digest).unwrap() == "hello world");
    assert_eq!(scene.target.uploaded_twice(), 1);
}

#[tokio::test]
async fn an_upload_that_lies_or_is_cancelled_is_none() {
    let scene = Scene::new().await;
    let digest = digest_of(b"hello world");
    let place = scene.begin("lie").await;
    let reply = scene
        .send(
            Method::PUT,
            &format!("{place}&digest={digest}"),
            &[],
            "hello",
        )
        .await;
    assert_eq!(code(reply).await, "DIGEST_INVALID");
    let place = scene.begin("cancelled").await;
    assert_eq!(
        scene.send(Method::DELETE, &place, &[], "").await.status,
        204
    );
    let reply = scene
        .send(
            Method::PUT,
            &format!("{place}&digest={digest}"),
            &[],
            "hello world",
        )
        .await;
    assert_eq!(code(reply).await, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(scene.target.requests().cancels, 1);
}

#[tokio::test]
async fn limits_are_kept() {
    let target = Target::builder()
        .put_limit(5)
        .patch_limit(8)
        .chunk_min(4)
        .start()
        .await;
    let scene = Scene::of(target);
    let digest = digest_of(b"123456");
    let reply = scene.post("/v2/x/blobs/uploads/").await;
    assert_eq!(reply.header("oci-chunk-min-length"), Some("4"));
    let place = reply.header("location").unwrap().to_owned();
    let end = format!("{place}&digest={digest}");
    assert_eq!(
        scene.send(Method::PUT, &end, &[], "123456").await.status,
        413
    );
    assert_eq!(
        scene
            .send(Method::PATCH, &place, &[], "123456789")
            .await
            .status,
        413
    );
    let reply = scene.send(Method::PATCH, &place, &[], "123").await;
    assert_eq!(reply.status, 202);
    let place = reply.header("location").unwrap().to_owned();
    assert_eq!(
        scene.send(Method::PATCH, &place, &[], "456").await.status,
        416
    );
    let end = format!("{place}&digest={digest}");
    assert_eq!(scene.send(Method::PUT, &end, &[], "456").await.status, 201);

    let scene = Scene::of(Target::builder().without_patch().start().await);
    let place = scene.begin("x").await;
    assert_eq!(
        scene.send(Method::PATCH, &place, &[], "123").await.status,
        405
    );
}

#[tokio::test]
async fn places_are_absolute_or_relative_here_or_elsewhere() {
    let scene = Scene::new().await;
    assert!(
        scene
            .begin("x")
            .await
            .starts_with(&format!("{}/v2/x/", scene.target.url()))
    );
    let odd = Target::builder().relative_locations().uploads_elsewhere();
    let scene = Scene::of(odd.start().await);
    let place = scene.begin("x").await;
    assert!(place.starts_with("/upload-sessions/"), "{place}");
    let digest = digest_of(b"abc");
    let reply = scene
        .send(Method::PUT, &format!("{place}&digest={digest}"), &[], "abc")
        .await;
    assert_eq!(reply.status, 201);
    assert!(scene.target.holds("x", &digest));
}

#[tokio::test]
async fn mounts_are_granted_by_the_rule() {
    let scene = Scene::new().await;
    let digest = scene.target.put_blob("a", "abc");
    let mount = async |to: &str, from: &str| {
        let place = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        scene.post(&place).await.status.as_u16()
    };
    assert_eq!(mount("b", "a").await, 201);
    assert!(scene.target.holds("b", &digest));
    assert_eq!(mount("c", "nowhere").await, 202);
    scene.target.set_mounts(Mounts::Never);
    assert_eq!(mount("c", "a").await, 202);
    scene.target.set_mounts(Mounts::Committed);
    assert_eq!(mount("c", "a").await, 202);
    let manifest = serde_json::json!({"layers": [{"digest": digest}]}).to_string();
    assert_eq!(
        scene.put("a", "v1", "text/json", &manifest).await.status,
        201
    );
    assert_eq!(mount("c", "a").await, 201);
    let last = Mount {
        repository: "c".to_owned(),
        digest: digest.clone(),
        from: "a".to_owned(),
        accepted: true,
    };
    assert_eq!(scene.target.mounts().last(), Some(&last));
    assert_eq!(
        (scene.target.requests().mounts, scene.target.open_sessions()),
        (5, 3)
    );
}

#[tokio::test]
async fn a_manifest_names_only_what_is_there() {
    let (scene, image) = (Scene::new().await, image());
    let child = &image.manifests[0];
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let child_text = text(&child.bytes);
    let reply = scene
        .put("x", &child.digest, &child.media_type, &child_text)
        .await;
    assert_eq!(reply.status, 400);
    let errors = reply.json().await.unwrap();
    assert_eq!(errors["errors"].as_array().unwrap().len(), 3);
    assert_eq!(errors["errors"][0]["code"], "MANIFEST_BLOB_UNKNOWN");
    let detail = errors["errors"][0]["detail"].as_str().unwrap();
    assert!(image.blobs.iter().any(|blob| blob.digest == detail));
    for blob in &image.blobs {
        scene.target.put_blob("x", blob.bytes.clone());
    }
    let put =
        async |reference: &str, kind: &str| scene.put("x", reference, kind, &child_text).await;
    assert_eq!(
        code(put("v1", "text/plain").await).await,
        "MANIFEST_INVALID"
    );
    assert_eq!(
        code(put(image.digest(), &child.media_type).await).await,
        "DIGEST_INVALID"
    );
    assert_eq!(put(&child.digest, &child.media_type).await.status, 201);

    let (root, kind) = (text(&image.root.bytes), &image.root.media_type);
    let reply = scene.put("x", "v1", kind, &root).await;
    assert_eq!(code(reply).await, "MANIFEST_BLOB_UNKNOWN");
    assert_eq!(scene.target.tag("x", "v1"), None);
    scene.target.set_sparse(true);
    assert_eq!(scene.put("x", "v1", kind, &root).await.status, 201);
    assert_eq!(scene.target.tag("x", "v1").as_deref(), Some(image.digest()));
    scene.target.collect_garbage(&image.blobs[0].digest);
    assert!(!scene.target.holds("x", &image.blobs[0].digest));
}

#[tokio::test]
async fn subjects_are_told_where_referrers_are_known() {
    for (known, target) in [
        (true, Target::builder()),
        (false, Target::builder().without_referrers()),
    ] {
        let (scene, image) = (Scene::of(target.start().await), image());
        let artifact = image.referrer("application/test", "signed");
        for blob in &artifact.blobs {
            scene.target.put_blob("x", blob.bytes.clone());
        }
        let body = String::from_utf8(artifact.root.bytes.to_vec()).unwrap();
        let kind = &artifact.root.media_type;
        let reply = scene.put("x", artifact.digest(), kind, &body).await;
        assert_eq!(reply.status, 201);
        assert_eq!(reply.header("oci-subject"), known.then(|| image.digest()));
        let place = format!("/v2/x/referrers/{}", image.digest());
        let reply = scene.send(Method::GET, &place, &[], "").await;
        assert_eq!(reply.status == 200, known);
    }
}

#[tokio::test]
async fn repositories_and_projects_are_made_first() {
    let scene = Scene::of(Target::builder().existing_only().start().await);
    let refused = scene.post("/v2/a/b/blobs/uploads/").await;
    assert_eq!(code(refused).await, "NAME_UNKNOWN");
    let refused = scene.put("a/b", "v1", "text/json", "{}").await;
    assert_eq!(code(refused).await, "NAME_UNKNOWN");
    scene.target.create("a/b");
    scene.begin("a/b").await;

    let scene = Scene::of(Target::builder().projects().start().await);
    let refused = scene.post("/v2/a/b/blobs/uploads/").await;
    assert_eq!(code(refused).await, "NAME_UNKNOWN");
    let make = async || {
        let body = r#"{"project_name": "a"}"#;
        scene
            .send(Method::POST, "/api/v2.0/projects", &[], body)
            .await
            .status
    };
    assert_eq!(make().await, 201);
    assert_eq!(make().await, 409);
    scene.begin("a/b").await;
}

#[tokio::test]
async fn a_push_needs_its_own_scope() {
    let tokens = TokenServer::builder()
        .user("ann", "pw", &["a:pull,push", "b:pull"])
        .start()
        .await;
    let scene = Scene::of(Target::builder().bearer(&tokens).start().await);
    let digest = scene.target.put_blob("b", "abc");
    let token = |scopes: &[&str]| format!("Bearer {}", tokens.token_for(Some("ann"), scopes));
    let post = async |place: &str, token: &str| {
        let headers = [("authorization", token)];
        scene.send(Method::POST, place, &headers, "").await
    };
    let (pull, push) = (
        token(&["repository:a:pull"]),
        token(&["repository:a:pull,push"]),
    );
    let refused = post("/v2/a/blobs/uploads/", &pull).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("scope=\"repository:a:pull,push\""),
        "{challenge}"
    );
    assert_eq!(post("/v2/a/blobs/uploads/", &push).await.status, 202);
    let mount = format!("/v2/a/blobs/uploads/?mount={digest}&from=b");
    assert_eq!(post(&mount, &push).await.status, 401);
    let both = token(&["repository:a:pull,push", "repository:b:pull"]);
    assert_eq!(post(&mount, &both).await.status, 201);
}
