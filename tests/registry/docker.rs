//! Credentials from docker's `config.json` and its helpers, found by the environment. As a test
//! can't change its own environment, each of these runs `child` in a process that has another.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use fake_registry::Client;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use tidegate::registry::Credentials;

use crate::setup::config;
use crate::setup::head;
use crate::setup::open;
use crate::setup::put;

const URL: &str = "TIDEGATE_TEST_URL";
const HELPER: &str = "TIDEGATE_TEST_HELPER";

#[tokio::test]
#[ignore = "a part of the other tests here"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut from_docker = config(&url);
    from_docker.credentials = match std::env::var(HELPER) {
        Ok(helper) => Credentials::Helper(helper),
        Err(_) => Credentials::DockerConfig,
    };
    let registry = open(from_docker);
    head(&registry).await.unwrap();
    head(&registry).await.unwrap();
}

/// Runs `child` with the configuration and the helpers in `folder`.
async fn run(folder: &Path, upstream: &Upstream, helper: Option<&str>) -> Result<(), String> {
    let path = std::env::var("PATH").unwrap();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", "docker::child"])
        .env("DOCKER_CONFIG", folder)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env(URL, upstream.url())
        .kill_on_drop(true);
    if let Some(helper) = helper {
        child.env(HELPER, helper);
    }
    let output = child.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("running 1 test"), "{text}");
    if output.status.success() {
        Ok(())
    } else {
        Err(text)
    }
}

fn write_config(folder: &Path, json: &serde_json::Value) {
    std::fs::write(folder.join("config.json"), json.to_string()).unwrap();
}

/// A helper that knows one server's password, and notes each run.
fn write_helper(folder: &Path, name: &str, host: &str) {
    let script = format!(
        r#"#!/bin/sh
echo run >> '{notes}'
read -r server
if [ "$server" = '{host}' ]; then
    echo '{{"ServerURL":"{host}","Username":"me","Secret":"hunter2"}}'
else
    echo 'credentials not found in native keychain'
    exit 1
fi
"#,
        notes = folder.join("notes").display()
    );
    let path = folder.join(format!("docker-credential-{name}"));
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn private() -> Upstream {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    put(&upstream);
    upstream
}

#[tokio::test]
async fn an_entry_is_used_for_its_host_alone() {
    let (upstream, folder) = (private().await, tempfile::tempdir().unwrap());
    let entry = serde_json::json!({ "auth": "bWU6aHVudGVyMg==" });
    write_config(
        folder.path(),
        &serde_json::json!({ "auths": { upstream.host(): entry } }),
    );
    run(folder.path(), &upstream, None).await.unwrap();

    write_config(
        folder.path(),
        &serde_json::json!({ "auths": { "127.0.0.1:1": entry } }),
    );
    let failed = run(folder.path(), &upstream, None).await.unwrap_err();
    assert!(failed.contains("none is configured"), "{failed}");
}

#[tokio::test]
async fn helpers_are_asked_once() {
    let (upstream, folder) = (private().await, tempfile::tempdir().unwrap());
    let runs = || {
        std::fs::read_to_string(folder.path().join("notes"))
            .unwrap()
            .lines()
            .count()
    };
    write_helper(folder.path(), "test", &upstream.host());
    let helpers = serde_json::json!({ "credHelpers": { upstream.host(): "test" } });
    write_config(folder.path(), &helpers);
    run(folder.path(), &upstream, None).await.unwrap();
    assert_eq!(runs(), 1);
    write_config(folder.path(), &serde_json::json!({ "credsStore": "test" }));
    run(folder.path(), &upstream, None).await.unwrap();
    assert_eq!(runs(), 2);
    write_config(folder.path(), &serde_json::json!({}));
    run(folder.path(), &upstream, Some("test")).await.unwrap();
    assert_eq!(runs(), 3);

    let failed = run(folder.path(), &upstream, Some("absent"))
        .await
        .unwrap_err();
    assert!(failed.contains("docker-credential-absent"), "{failed}");
    write_helper(folder.path(), "test", "another");
    let failed = run(folder.path(), &upstream, Some("test"))
        .await
        .unwrap_err();
    assert!(failed.contains("none is configured"), "{failed}");
    assert!(!failed.contains("hunter2"), "{failed}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let tokens = TokenServer::builder()
        .user("me", "hunter2", &["*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let url = format!(
        "{}?service={}&offline_token=true",
        tokens.realm(),
        tokens.service()
    );
    let asked = Client::new()
        .get(&url)
        .header("authorization", "Basic bWU6aHVudGVyMg==");
    let reply = asked.send().await.unwrap().json().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let entry = serde_json::json!({ "auth": "", "identitytoken": reply["refresh_token"] });
    write_config(
        folder.path(),
        &serde_json::json!({ "auths": { upstream.host(): entry } }),
    );
    tokens.clear_log();
    run(folder.path(), &upstream, None).await.unwrap();
    let log = tokens.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].method, http::Method::POST);
}
