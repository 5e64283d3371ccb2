//! Credentials from docker's `config.json` and its helpers, found by the environment. As a test
//! can't change its own environment, each of these runs `child` in a process that has another.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use fake_registry::Client;
use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::registry::Credentials;
use tokio::io::AsyncBufReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStdin;
use tokio::process::ChildStdout;

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

/// Asks once for each line that comes in, and says how it went.
#[tokio::test]
#[ignore = "a part of the other tests here"]
async fn attended() {
    let Ok(url) = std::env::var(URL) else { return };
    let mut from_docker = config(&url);
    from_docker.credentials = match std::env::var(HELPER) {
        Ok(helper) => Credentials::Helper(helper),
        Err(_) => Credentials::DockerConfig,
    };
    let registry = open(from_docker);
    for order in std::io::stdin().lines() {
        order.unwrap();
        let outcome = head(&registry).await;
        println!("\noutcome: {outcome:?}");
    }
}

/// A child that asks when it is told to.
struct Attended {
    orders: ChildStdin,
    outcomes: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Attended {
    fn start(folder: &Path, upstream: &Upstream, helper: Option<&str>) -> Self {
        let mut command = command("docker::attended", folder, upstream, helper);
        command.arg("--nocapture");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            orders: child.stdin.take().unwrap(),
            outcomes: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    /// How one request went.
    async fn ask(&mut self) -> String {
        self.orders.write_all(b"ask\n").await.unwrap();
        loop {
            let line = self.outcomes.next_line().await.unwrap();
            let line = line.expect("the child lives");
            if let Some(outcome) = line.strip_prefix("outcome: ") {
                return outcome.to_owned();
            }
        }
    }
}

fn command(
    test: &str,
    folder: &Path,
    upstream: &Upstream,
    helper: Option<&str>,
) -> tokio::process::Command {
    let path = std::env::var("PATH").unwrap();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--ignored", "--exact", test])
        .env("DOCKER_CONFIG", folder)
        .env("PATH", format!("{}:{path}", folder.display()))
        .env(URL, upstream.url())
        .kill_on_drop(true);
    if let Some(helper) = helper {
        child.env(HELPER, helper);
    }
    child
}

/// Runs `child` with the configuration and the helpers in `folder`.
async fn run(folder: &Path, upstream: &Upstream, helper: Option<&str>) -> Result<(), String> {
    let mut child = command("docker::child", folder, upstream, helper);
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
    write_helper_with(folder, name, host, ("me", "hunter2"));
}

fn write_helper_with(folder: &Path, name: &str, host: &str, (user, password): (&str, &str)) {
    let script = format!(
        r#"#!/bin/sh
echo run >> '{notes}'
read -r server
if [ "$server" = '{host}' ]; then
    echo '{{"ServerURL":"{host}","Username":"{user}","Secret":"{password}"}}'
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

/// `auths` of docker's configuration, as `docker login` writes it.
fn log_in(folder: &Path, upstream: &Upstream, user: &str, password: &str) {
    let entry = serde_json::json!({ "username": user, "password": password });
    let auths = serde_json::json!({ "auths": { upstream.host(): entry } });
    write_config(folder, &auths);
}

#[tokio::test]
async fn a_password_that_changed_in_dockers_configuration_is_taken_up() {
    let tokens = TokenServer::builder()
        .user("me", "hunter2", &["team/*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let folder = tempfile::tempdir().unwrap();
    let mut child = Attended::start(folder.path(), &upstream, None);
    log_in(folder.path(), &upstream, "me", "hunter2");
    assert_eq!(child.ask().await, "Ok(())");

    // The password changes, and the token ends.
    tokens.set_user("me", "hunter3", &["team/*"]);
    tokens.revoke_tokens();
    log_in(folder.path(), &upstream, "me", "hunter3");
    assert_eq!(child.ask().await, "Ok(())");
}

#[tokio::test]
async fn a_docker_login_after_a_refusal_is_taken_up() {
    // Everybody gets a token, but what it opens depends: as at Docker Hub.
    let tokens = TokenServer::builder()
        .user("me", "hunter2", &["team/*"])
        .anonymous(&["public/*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let folder = tempfile::tempdir().unwrap();
    let mut child = Attended::start(folder.path(), &upstream, None);
    assert!(child.ask().await.contains("status: 401"));
    log_in(folder.path(), &upstream, "me", "hunter2");
    // What was refused is read again at most every five seconds.
    let taken_up = async { while child.ask().await != "Ok(())" {} };
    tokio::time::timeout(fake_registry::PATIENCE, taken_up)
        .await
        .expect("it is taken up");
}

#[tokio::test]
async fn a_helper_is_asked_again_when_its_password_has_expired() {
    let upstream = Upstream::builder()
        .basic("me", "hunter2")
        .basic("you", "hunter3")
        .start()
        .await;
    put(&upstream);
    let folder = tempfile::tempdir().unwrap();
    let (folder, host) = (folder.path(), upstream.host());
    write_helper(folder, "test", &host);
    let mut child = Attended::start(folder, &upstream, Some("test"));
    assert_eq!(child.ask().await, "Ok(())");
    // ECR answers so after twelve hours.
    let mine =
        |it: &fake_registry::Recorded| it.header("authorization") == Some("Basic bWU6aHVudGVyMg==");
    upstream.fault(When::any().and(mine), Fault::status(403));
    write_helper_with(folder, "test", &host, ("you", "hunter3"));
    assert_eq!(child.ask().await, "Ok(())");
    let notes = std::fs::read_to_string(folder.join("notes")).unwrap();
    assert_eq!(notes.lines().count(), 2);
}
