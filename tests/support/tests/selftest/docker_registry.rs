//! The real docker-registry: guarded, pushed to, protected by our tokens, mirroring.

use fake_registry::Client;
use fake_registry::DockerRegistry;
use fake_registry::ImageBuilder;
use fake_registry::PATIENCE;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Push;
use fake_registry::TokenServer;
use fake_registry::Upstream;

use crate::missing;

const PROGRAM: &str = "docker-registry";

#[tokio::test]
async fn its_files_say_what_it_holds() {
    if missing(PROGRAM, "its_files_say_what_it_holds") {
        return;
    }
    let registry = DockerRegistry::builder().start().await;
    let image = ImageBuilder::new(1).platforms(&["linux/amd64"]).build();
    let push = Push::to(&registry.url(), registry.client());
    assert_eq!(registry.tag("a/b", "v1"), None);
    image.push_http(&push, "a/b", "v1").await.unwrap();
    registry
        .wait_for_tag(("a/b", "v1"), image.digest(), PATIENCE)
        .await;
    let parts = image.manifests.iter().chain(&image.blobs);
    assert!({ parts }.all(|part| registry.holds("a/b", &part.digest)));
    assert!(!registry.holds("a", image.digest()));
}

#[tokio::test]
async fn it_takes_and_serves_images_across_a_restart() {
    if missing(PROGRAM, "it_takes_and_serves_images_across_a_restart") {
        return;
    }
    let pki = Pki::new();
    let mut registry = DockerRegistry::builder()
        .tls(&pki, &["registry.test"])
        .start()
        .await;
    let push = Push::to(&registry.url(), registry.client());
    let images = [ImageBuilder::new(1), ImageBuilder::new(2).docker()];
    for (image, tag) in images.into_iter().zip(["v1", "v2"]) {
        let image = image.platforms(&["linux/amd64", "linux/arm64"]).build();
        image.push_http(&push, "a/b", tag).await.unwrap();
        let manifest = format!("{}/v2/a/b/manifests/{tag}", registry.url());
        let accept = image.root.media_type.clone();
        let get = || registry.client().get(&manifest).header("accept", &accept);
        assert_eq!(
            get().send().await.unwrap().digest().await.unwrap(),
            image.digest()
        );
    }
    let puts = |log: &[fake_registry::Access]| log.iter().filter(|it| it.method == "PUT").count();
    registry
        .wait_for(|log| puts(log) == 2 * (2 * 3 + 2 + 1))
        .await;
    assert!(
        registry
            .storage()
            .join("docker/registry/v2/repositories/a/b")
            .is_dir()
    );

    let url = registry.url();
    let tags = format!("{url}/v2/a/b/tags/list");
    registry.stop();
    assert!(Client::tls(&pki).get(&tags).send().await.is_err());
    registry.restart().await;
    assert_eq!(registry.url(), url);
    let reply = registry
        .client()
        .get(&tags)
        .header("user-agent", "me")
        .send()
        .await
        .unwrap();
    assert_eq!(
        reply.json().await.unwrap()["tags"],
        serde_json::json!(["v1", "v2"])
    );
    registry.wait_for(|log| log.len() == 1).await;
    let access = &registry.access()[0];
    assert_eq!((access.method.as_str(), access.status), ("GET", 200));
    assert_eq!(
        (access.path.as_str(), access.user_agent.as_str()),
        ("/v2/a/b/tags/list", "me")
    );
    assert!(access.bytes > 0);
}

#[tokio::test]
async fn it_takes_our_signed_tokens() {
    if missing(PROGRAM, "it_takes_our_signed_tokens") {
        return;
    }
    let tokens = TokenServer::for_docker_registry()
        .user("ann", "pw", &["private/*:pull,push"])
        .user("bob", "pw", &["public/*"])
        .start()
        .await;
    let registry = DockerRegistry::builder().token_auth(&tokens).start().await;
    let token =
        |user: &str, scope: &str| format!("Bearer {}", tokens.token_for(Some(user), &[scope]));
    let push = Push::to(&registry.url(), Client::new());
    let image = ImageBuilder::new(1).build();
    image.push_http(&push, "private/a", "v1").await.unwrap_err();
    let push = push.authorization(&token("ann", "repository:private/a:pull,push"));
    image.push_http(&push, "private/a", "v1").await.unwrap();

    let blob = format!(
        "{}/v2/private/a/blobs/{}",
        registry.url(),
        image.blobs[0].digest
    );
    let get = async |authorization: &str| {
        let request = Client::new().get(&blob);
        request
            .header("authorization", authorization)
            .send()
            .await
            .expect("an answer")
    };
    let scope = "repository:private/a:pull";
    assert_eq!(get(&token("ann", scope)).await.status, 200);
    let reply = get(&token("bob", scope)).await;
    assert_eq!(reply.status, 401);
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(challenge.contains(&tokens.realm()), "{challenge}");
    assert!(challenge.contains("service=\"registry.test\",scope=\"repository:private/a:pull\""));
    let stranger = TokenServer::for_docker_registry()
        .user("ann", "pw", &["*"])
        .start()
        .await;
    let forged = format!("Bearer {}", stranger.token_for(Some("ann"), &[scope]));
    assert_eq!(get(&forged).await.status, 401);
}

#[tokio::test]
async fn skopeo_pulls_with_a_login() {
    const TEST: &str = "skopeo_pulls_with_a_login";
    if missing(PROGRAM, TEST) || missing("skopeo", TEST) {
        return;
    }
    let tokens = TokenServer::for_docker_registry()
        .user("ann", "pw", &["private/*"])
        .start()
        .await;
    let protected = DockerRegistry::builder().token_auth(&tokens);
    let content = tempfile::tempdir().unwrap();
    let image = ImageBuilder::new(1).build();
    let open = DockerRegistry::builder()
        .storage(content.path())
        .start()
        .await;
    let push = Push::to(&open.url(), Client::new());
    image.push_http(&push, "private/a", "v1").await.unwrap();
    drop(open);
    let registry = protected.storage(content.path()).start().await;
    let copy = async |login: &str| {
        let source = format!("docker://{}/private/a:v1", registry.host());
        let mut copy = Process::command("skopeo")
            .args([
                "copy",
                "--insecure-policy",
                "--src-tls-verify=false",
                "--src-creds",
                login,
            ])
            .args([source, format!("dir:{}/copy", content.path().display())])
            .spawn();
        copy.wait(PATIENCE).await.success()
    };
    assert!(!copy("ann:wrong").await);
    assert_eq!(tokens.issued(), 0);
    assert!(copy("ann:pw").await);
    assert!(tokens.issued() > 0);
    assert!(
        registry
            .access()
            .iter()
            .any(|it| it.status == 200 && it.path.contains("/blobs/"))
    );
}

#[tokio::test]
async fn it_mirrors_a_scripted_registry() {
    if missing(PROGRAM, "it_mirrors_a_scripted_registry") {
        return;
    }
    let upstream = Upstream::start().await;
    let image = ImageBuilder::new(1).build();
    image.push_to(&upstream, "a", "v1");
    let mirror = DockerRegistry::builder()
        .mirror_of(&upstream.url())
        .start()
        .await;
    let layer = &image.layers("linux/amd64")[0];
    let url = format!("{}/v2/a/blobs/{layer}", mirror.url());
    for _ in 0..2 {
        let reply = Client::new().get(&url).send().await.unwrap();
        assert_eq!(reply.digest().await.unwrap(), *layer);
    }
    assert!(!upstream.gets_of(layer).is_empty());
}
