//! What receipts say of exchanges is what both sides saw.

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::Tidegate;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::Action;
use tidegate::ledger::Cdn;
use tidegate::ledger::End;
use tidegate::ledger::Leg;
use tidegate::ledger::Origin;

use crate::scene::NAME;
use crate::scene::Scene;
use crate::scene::Settings;

#[tokio::test]
async fn both_legs_are_there_and_joined() {
    let upstream = Upstream::start().await;
    let manifest = r#"{"schemaVersion":2}"#;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let digest = upstream.put_manifest(NAME, "tag", media_type, manifest);
    let told = Fault::extra_header("X-Cache", "Miss from cloudfront").header("Age", "12");
    upstream.fault(When::get("/manifests/tag"), told);
    let mut scene = Scene::start(&upstream.url(), Settings::default()).await;
    let client = Client::new();
    for _ in 0..2 {
        let url = format!("{}/v2/{NAME}/manifests/tag", scene.tidegate.url());
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        assert_eq!(text, manifest);
    }
    let url = format!("{}/v2/{NAME}/manifests/{digest}", scene.tidegate.url());
    client
        .head(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let url = format!("{}/v2/{NAME}/blobs/x", scene.tidegate.url());
    let unknown = client
        .get(&url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let books = scene.end().await;

    let asked = books.exchanges(Leg::Client);
    let brief: Vec<_> = asked
        .iter()
        .map(|it| (it.action, it.status, it.origin))
        .collect();
    assert_eq!(brief.len(), 4, "{brief:?}");
    assert_eq!(brief[0], (Action::ManifestGet, 200, Some(Origin::Filled)));
    assert_eq!(brief[1], (Action::ManifestGet, 200, Some(Origin::Hit)));
    assert_eq!(brief[2], (Action::ManifestHead, 200, Some(Origin::Hit)));
    let bytes: Vec<_> = asked.iter().map(|it| it.response_bytes).collect();
    let whole = manifest.len() as u64;
    assert_eq!(bytes, [whole, whole, 0, unknown.len() as u64]);
    assert!(
        asked[0].ttfb.is_some() && asked[2].ttfb.is_none(),
        "{asked:?}"
    );

    let fetched = books.exchanges(Leg::Upstream);
    assert_eq!(fetched.len(), upstream.log().len());
    let get = fetched
        .iter()
        .find(|it| it.action == Action::ManifestGet)
        .unwrap();
    assert_eq!((get.cdn, get.age), (Some(Cdn::Miss), Some(12)));
    assert_eq!((get.response_bytes, get.request_bytes), (whole, 0));
    assert_eq!(get.flow, asked[0].flow);
    assert_eq!(*get.host, upstream.host());
    assert_eq!(books.connection(Leg::Client).host, asked[0].host);
    assert_eq!(books.connection(Leg::Upstream).host, get.host);
}

/// With an identity token, a token is asked for by `POST`.
#[tokio::test]
async fn the_body_of_a_request_counts() {
    let upstream = Upstream::start().await;
    let challenge = format!("Bearer realm=\"{}/v2/token\",service=\"s\"", upstream.url());
    let refusal = Fault::status(401).header("WWW-Authenticate", &challenge);
    upstream.fault(When::get("/manifests/"), refusal);
    let folder = tempfile::tempdir().unwrap();
    let login = format!(
        r#"{{"auths":{{"{}":{{"auth":"bWU6","identitytoken":"refresh-me"}}}}}}"#,
        upstream.host()
    );
    std::fs::write(folder.path().join("config.json"), login).unwrap();
    let config = Settings::default().config(&upstream.url());
    let config = config.replace("\"anonymous\"", "\"docker-config\"");
    let tidegate = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config)
        .env("DOCKER_CONFIG", folder.path().to_str().unwrap())
        .start()
        .await;
    let mut scene = Scene { tidegate };
    let url = format!("{}/v2/{NAME}/manifests/x", scene.tidegate.url());
    Client::new()
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let books = scene.end().await;
    let receipts = books.exchanges(Leg::Upstream);
    let posted = receipts
        .iter()
        .find(|it| it.action == Action::Token)
        .unwrap();
    let log = upstream.log();
    let seen = log
        .iter()
        .find(|it| it.method == http::Method::POST)
        .unwrap();
    assert_eq!(posted.method, http::Method::POST);
    assert!(seen.request_bytes > 20, "{}", seen.line());
    assert_eq!(posted.request_bytes, seen.request_bytes);
    assert_eq!(posted.end, End::Complete);
}
