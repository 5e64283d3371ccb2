//! What clients log in with: to the proxy itself, and, passed through, to an upstream.

use fake_registry::Client;
use fake_registry::ImageBuilder;
use fake_registry::Process;
use fake_registry::Tidegate;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::basic;

use crate::known::Secrets;

/// Of "wonderland", at the lowest cost.
const HASH: &str = "$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G";

/// Asks with each of `logins`; gives the statuses, and checks all that comes.
async fn ask(url: &str, logins: &[&str], secrets: &Secrets) -> Vec<u16> {
    let mut statuses = Vec::new();
    for login in logins {
        let request = Client::new().get(url).header("authorization", login);
        let reply = request.send().await.unwrap();
        statuses.push(reply.status.as_u16());
        for (name, value) in &reply.headers {
            secrets.check(&format!("the header {name}"), value.as_bytes());
        }
        secrets.check(url, reply.bytes().await.unwrap());
    }
    statuses
}

/// The listeners' URLs, of a process whose readiness is behind a login.
async fn urls(process: &mut Process) -> (String, String) {
    let is_up = async |process: &Process| process.stderr().contains("admin on ");
    process.wait_ready(is_up).await;
    let log = process.stderr();
    let url = |after: &str| {
        let start = log.find(after).unwrap() + after.len();
        let end = log[start..].find(char::is_whitespace).unwrap();
        log[start..start + end].trim_end_matches('/').to_owned()
    };
    (url("listening on "), url("admin on "))
}

async fn start(config: &str, folder: &std::path::Path) -> Tidegate {
    let tidegate = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), config).arg("-vvv");
    tidegate.folder(folder).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_who_logs_in() {
    let mut secrets = Secrets::default();
    let right = secrets.keep_login("a password", "alice", "wonderland");
    let wrong = secrets.keep_login("a mistyped password", "alice", "wonderlamd");
    let token = secrets.keep("a token", "tok-of-a-machine-7b7b");
    let stranger = secrets.keep("a stranger's token", "tok-of-a-stranger-8c8c");
    secrets.keep("a hash", HASH);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("users", &format!("alice:{HASH}\n"));
    write("tokens", &format!("ci:{token}\n"));
    let upstream = Upstream::start().await;
    ImageBuilder::new(3)
        .build()
        .push_to(&upstream, "library/app", "latest");
    let config = format!(
        r#"
        server = {{ listen = "127.0.0.1:0", admin = "127.0.0.1:0", login = {{ htpasswd = "users", tokens = "tokens" }}, admin_login = {{ htpasswd = "users" }} }}
        store = {{ path = "store" }}
        upstream = [{{ name = "docker.io", url = "{}", plain_http = true, default = true }}]
        "#,
        upstream.url()
    );
    let builder = Tidegate::builder(env!("CARGO_BIN_EXE_tidegate"), &config).arg("-vvv");
    let mut process = builder.spawn(folder.path());
    let (front, admin) = urls(&mut process).await;
    let (right, wrong) = (basic("alice", &right), basic("alice", &wrong));
    let token = format!("Bearer {token}");
    let logins = [
        &*right,
        &wrong,
        &token,
        &format!("Bearer {stranger}"),
        "Basic !",
    ];
    let manifest = format!("{front}/v2/library/app/manifests/latest");
    assert_eq!(
        ask(&manifest, &logins, &secrets).await,
        [200, 401, 200, 401, 401]
    );
    for path in ["/readyz", "/api/v1/status", "/metrics", "/"] {
        let statuses = ask(&format!("{admin}{path}"), &[&right, &wrong], &secrets).await;
        assert!(
            statuses[0] != 401 && statuses[1] == 401,
            "{path}: {statuses:?}"
        );
    }
    // A file that is refused, in the line of a hash.
    write("users", &format!("alice:{}\n", &HASH[..40]));
    secrets.keep("half a hash", &HASH[8..40]);
    // Whoever asks next has it read.
    let asked = async |process: &Process| {
        ask(&manifest, &[&token], &secrets).await;
        process.stderr().contains("keeping the old")
    };
    process.wait_ready(asked).await;
    assert_eq!(ask(&manifest, &logins, &secrets).await[0], 200);
    secrets.check("stderr", process.stderr());
    secrets.check("stdout", process.stdout());
    assert!(secrets.check_folder(&folder.path().join("store")) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_what_is_passed_through() {
    let mut secrets = Secrets::default();
    let password = secrets.keep_login("a client's password", "ann", "pw-of-a-client-5d5d");
    let tokens = TokenServer::for_docker_registry()
        .user("ann", &password, &["*:*"])
        .start()
        .await;
    let token = tokens.token_for(Some("ann"), &["repository:library/app:pull"]);
    secrets.keep("a client's token", &token);
    let stranger = secrets.keep("a token that is none", "tok-that-is-none-6e6e");
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let image = ImageBuilder::new(3).build();
    image.push_to(&upstream, "library/app", "latest");
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
        server = {{ listen = "127.0.0.1:0", admin = "127.0.0.1:0" }}
        store = {{ path = "store" }}
        defaults = {{ tag_ttl = "0s" }}
        upstream = [{{ name = "docker.io", url = "{}", plain_http = true, default = true, credentials = "passthrough" }}]
        "#,
        upstream.url()
    );
    let tidegate = start(&config, folder.path()).await;
    let (right, wrong) = (format!("Bearer {token}"), format!("Bearer {stranger}"));
    let login = basic("ann", &password);
    let layer = &image.layers("linux/amd64")[0];
    for path in [
        "manifests/latest".to_owned(),
        format!("blobs/{layer}"),
        "tags/list".to_owned(),
    ] {
        let url = format!("{}/v2/library/app/{path}", tidegate.url());
        let statuses = ask(&url, &[&right, &wrong, &login, &right], &secrets).await;
        assert_eq!(statuses, [200, 401, 401, 200], "{path}");
    }
    for path in ["/readyz", "/api/v1/status", "/metrics"] {
        ask(&format!("{}{path}", tidegate.admin()), &["x y"], &secrets).await;
    }
    secrets.check("stderr", tidegate.log());
    assert!(secrets.check_folder(&folder.path().join("store")) > 0);
}
