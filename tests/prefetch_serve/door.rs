//! Who may ask what of the admin listener.

use fake_registry::Client;
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
async fn pages_of_a_browser_and_strangers_run_nothing() {
    let mut rig = Rig::new(&["a"], &set("base", &["a"], "")).await;
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

    let tokens = rig.tidegate.folder().join("tokens");
    std::fs::write(tokens, "alice:open-sesame\n").unwrap();
    let config = Rig::config(&rig.upstream, &set("base", &["a"], ""));
    let config = config.replacen(
        "[server]\n",
        "[server]\nadmin_login = { tokens = \"tokens\" }\n",
        1,
    );
    // The login of the admin listener waits for a restart.
    rig.tidegate.reload(&config);
    rig.tidegate
        .wait_for_log("a restart is needed for the new server.admin_login")
        .await;
    let folder = rig.tidegate.folder().to_owned();
    rig.tidegate.process_mut().kill();
    let tidegate = fake_registry::Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config);
    let tidegate = tidegate.folder(&folder).start().await;
    let url = format!("{}/api/v1/prefetch/base", tidegate.admin());
    let ask = |token: &'static str| {
        let request = Client::new().request(Method::POST, &url);
        request.header("authorization", token).send()
    };
    assert_eq!(ask("Bearer guess").await.unwrap().status, 401);
    assert_eq!(rig.upstream.log().len(), 0);
    assert_eq!(ask("Bearer open-sesame").await.unwrap().status, 202);
}
