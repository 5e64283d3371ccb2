//! Who may ask what of the admin listener.

use fake_registry::Client;
use fake_registry::Tidegate;
use http::Method;

use crate::rig::Rig;
use crate::rig::set;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_not_there_is_told_from_those_that_are() {
    let sets = set("base", &["a"], "") + &set("apps", &["a"], "");
    let rig = Rig::new(&["a"], &sets).await;
    for method in [Method::GET, Method::POST] {
        let reply = rig.ask(method.clone(), "/api/v1/prefetch/bsae").await;
        assert_eq!(reply.status, 404, "{method}");
        let text = reply.text().await.unwrap();
        assert!(
            text.contains("'bsae'") && text.contains("base, apps"),
            "{text}"
        );
    }
    let list = rig.ask(Method::GET, "/api/v1/prefetch").await;
    let list = list.json().await.unwrap();
    let names: Vec<_> = list["sets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["base", "apps"]);
    let status = rig
        .ask(Method::GET, "/api/v1/status")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(status["prefetch"], list["sets"]);

    let reply = rig.ask(Method::DELETE, "/api/v1/prefetch/base").await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(rig.ask(Method::POST, "/api/v1/prefetch").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sets_it_says_what_is_missing() {
    let rig = Rig::new(&[], "").await;
    let reply = rig.ask(Method::POST, "/api/v1/prefetch/base").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().await.unwrap().contains("[[prefetch]]"));
    let list = rig
        .ask(Method::GET, "/api/v1/prefetch")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(list["sets"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_browser_run_nothing() {
    let rig = Rig::new(&["a"], &set("base", &["a"], "")).await;
    let url = format!("{}/api/v1/prefetch/base", rig.tidegate.admin());
    let page = Client::new().request(Method::POST, &url);
    let page = page
        .header("origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status, 403);
    assert!(rig.state("base").await["running"].is_null());
    assert_eq!(rig.upstream.log().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_a_login_strangers_run_nothing() {
    let rig = Rig::new(&["a"], "").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokens"), "alice:open-sesame\n").unwrap();
    let config = Rig::config(&rig.upstream, &set("base", &["a"], ""));
    let login = "[server]\nadmin_login = { tokens = \"tokens\" }\n";
    let config = config.replacen("[server]\n", login, 1);
    let builder = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config);
    // Nor is a stranger told whether it is ready.
    let mut tidegate = builder.spawn(folder.path());
    tidegate
        .wait_ready(async |it| it.stderr().contains("admin on "))
        .await;
    let log = tidegate.stderr();
    let (_, rest) = log.split_once("admin on ").unwrap();
    let admin = rest.lines().next().unwrap();
    let url = format!("{admin}/api/v1/prefetch/base");
    let ask = |method: Method, token: &'static str| {
        let request = Client::new().request(method, &url);
        request.header("authorization", token).send()
    };
    assert_eq!(ask(Method::GET, "Bearer guess").await.unwrap().status, 401);
    assert_eq!(ask(Method::POST, "Bearer guess").await.unwrap().status, 401);
    assert_eq!(rig.upstream.log().len(), 0);
    assert_eq!(
        ask(Method::POST, "Bearer open-sesame")
            .await
            .unwrap()
            .status,
        202
    );
}
