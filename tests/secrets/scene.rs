//! Upstreams of all kinds, a secret for each, and a `proxy.toml` that names them all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::Image;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tempfile::TempDir;

use crate::echo::Echo;
use crate::known::Secrets;

/// What a client sends as its own.
pub(crate) const CLIENT: &str = "Bearer the-clients-own-token-5f3a";

/// All servers, and the folder with `proxy.toml`.
pub(crate) struct Scene {
    pub(crate) secrets: Secrets,
    pub(crate) folder: TempDir,
    pub(crate) pki: Pki,
    pub(crate) image: Image,
    pub(crate) config: String,
    /// What tidegate's environment has besides.
    pub(crate) env: Vec<(String, String)>,
    /// The upstreams that serve the image, by name.
    pub(crate) open: Vec<&'static str>,
    pub(crate) redirecting: Upstream,
    pub(crate) echo: Echo,
    _servers: Vec<Upstream>,
    _tokens: TokenServer,
}

/// Blobs of the upstream `cdn.test`, by where they redirect to.
pub(crate) struct Redirected {
    pub(crate) there: String,
    pub(crate) cut: String,
    pub(crate) refused: String,
    pub(crate) refused_plainly: String,
    pub(crate) with_login: String,
}

async fn serving(image: &Image, upstream: Upstream) -> Upstream {
    image.push_to(&upstream, "library/app", "latest");
    upstream
}

async fn basic(image: &Image, (user, password): (&str, &str)) -> Upstream {
    let upstream = Upstream::builder().basic(user, password).start().await;
    serving(image, upstream).await
}

/// The passwords of the upstreams' users.
struct Passwords {
    in_toml: String,
    in_env: String,
    in_file: String,
    in_docker: String,
    of_helper: String,
    wrong: String,
    echoed: String,
    for_tokens: String,
}

impl Passwords {
    fn new(secrets: &mut Secrets) -> Self {
        let mut keep = |what: &str, user: &str, password| secrets.keep_login(what, user, password);
        Self {
            in_toml: keep("a password in proxy.toml", "ann", "pw-in-toml-7d1c"),
            in_env: keep("a password in the environment", "eve", "pw-in-env-99ab"),
            in_file: keep("a credential file", "fay", "pw-in-file-31fe"),
            in_docker: keep("docker's config.json", "dot", "pw-in-docker-c0de"),
            of_helper: keep("a helper's password", "hal", "pw-of-helper-4e4e"),
            wrong: keep("a wrong password", "wes", "pw-that-is-wrong-1212"),
            echoed: keep("an echoed password", "eco", "pw-that-is-echoed-8a8a"),
            for_tokens: keep("a token server's password", "tom", "pw-for-tokens-6b6b"),
        }
    }
}

/// One line of `proxy.toml`.
fn line(name: &str, url: &str, credentials: &str) -> String {
    let default = name == "toml.test";
    format!(
        "  {{ name = \"{name}\", url = \"{url}\", plain_http = true, default = {default}, \
         credentials = {credentials} }},\n"
    )
}

fn login(user: &str, password: &str) -> String {
    format!("{{ username = \"{user}\", password = \"{password}\" }}")
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let mut secrets = Secrets::default();
        let folder = TempDir::new().unwrap();
        let (pki, image) = (Pki::new(), ImageBuilder::new(7).build());
        secrets.keep(
            "the client's own token",
            CLIENT.trim_start_matches("Bearer "),
        );
        let passwords = Passwords::new(&mut secrets);
        let tokens =
            TokenServer::for_docker_registry().user("tom", &passwords.for_tokens, &["*:*"]);
        let tokens = tokens.start().await;
        let token = tokens.token_for(Some("tom"), &["repository:library/app:pull"]);
        secrets.keep("a token in proxy.toml", &token);
        // The tokens that are given out later begin alike, up to their claims.
        secrets.keep(
            "a token of the token server",
            token.split('.').next().unwrap(),
        );
        let servers = servers(&image, &passwords, &tokens).await;
        let redirecting = basic(&image, ("ann", &passwords.in_toml)).await;
        let echo = Echo::start().await;
        let mut config = front(&pki, &mut secrets) + "upstream = [\n";
        config += &upstreams(&servers, &passwords, &token);
        let own = login("ann", &passwords.in_toml);
        config += &line("cdn.test", &redirecting.url(), &own);
        config += &line("gone.test", "http://127.0.0.1:1", &own);
        let echoed = login("eco", &passwords.echoed);
        config += &line("echo.test", &format!("http://{}", echo.address), &echoed);
        let env = outside(folder.path(), &servers[3].host(), &passwords);
        let open = "toml.test env.test file.test docker.test helper.test tokens.test token.test \
                    cdn.test";
        Self {
            secrets,
            folder,
            pki,
            image,
            config: config + "]\n",
            env,
            open: open.split(' ').collect(),
            redirecting,
            echo,
            _servers: servers,
            _tokens: tokens,
        }
    }

    /// Puts blobs behind signed redirects.
    pub(crate) fn redirect(&mut self) -> Redirected {
        let signature = self
            .secrets
            .keep("a signature", "5ig+nature/of/a/redirect==");
        let session = self
            .secrets
            .keep("a session token", "FwoGZXIvYXdzEsession77");
        let login =
            self.secrets
                .keep_login("a login in a redirect", "rex", "pw-in-a-redirect-e1e1");
        let encoded: String = url::form_urlencoded::byte_serialize(signature.as_bytes()).collect();
        let query = format!("X-Amz-Security-Token={session}&X-Amz-Signature={encoded}");
        let upstream = &self.redirecting;
        let put = |number: u64, target: &str| {
            let content = Content::generated(300_000, number);
            let digest = upstream.put_content("library/app", content.clone());
            upstream.put_file(&format!("/files/{number}"), content);
            upstream.fault(When::path(&digest), Fault::redirect_to(target, 307));
            digest
        };
        let (own, echo) = (upstream.url(), self.echo.address);
        upstream.fault(When::get("/files/2"), Fault::cut_after(0));
        let host = upstream.host();
        Redirected {
            there: put(1, &format!("{own}/files/1?{query}")),
            cut: put(2, &format!("{own}/files/2?{query}")),
            refused: put(3, &format!("http://{echo}/files/3?{query}")),
            refused_plainly: put(4, &format!("http://{echo}/plain/4?{query}")),
            with_login: put(5, &format!("http://rex:{login}@{host}/files/5?{query}")),
        }
    }
}

/// The listeners, with a key that is kept, and the store.
fn front(pki: &Pki, secrets: &mut Secrets) -> String {
    let tls = pki.server(&[]);
    let key = tls.key_pem.lines().filter(|line| !line.starts_with("---"));
    key.for_each(|line| drop(secrets.keep("the TLS key", line)));
    let (cert, key) = (tls.cert_file.display(), tls.key_file.display());
    format!(
        r#"
server = {{ listen = "127.0.0.1:0", admin = "127.0.0.1:0", tls = {{ cert = "{cert}", key = "{key}" }} }}
store = {{ path = "store" }}
ledger = {{ journal = "journal.jsonl" }}
"#
    )
}

/// In the order of [`upstreams`].
async fn servers(image: &Image, passwords: &Passwords, tokens: &TokenServer) -> Vec<Upstream> {
    let mut servers = Vec::new();
    for user in [
        ("ann", &*passwords.in_toml),
        ("eve", &passwords.in_env),
        ("fay", &passwords.in_file),
        ("dot", &passwords.in_docker),
        ("hal", &passwords.of_helper),
        ("wes", "another-password"),
    ] {
        servers.push(basic(image, user).await);
    }
    for _ in 0..2 {
        let upstream = Upstream::builder().bearer(tokens).start().await;
        servers.push(serving(image, upstream).await);
    }
    servers
}

fn upstreams(servers: &[Upstream], passwords: &Passwords, token: &str) -> String {
    let lines = [
        ("toml.test", login("ann", &passwords.in_toml)),
        ("env.test", login("eve", "${EVES_PASSWORD}")),
        ("file.test", "{ file = \"login\" }".to_owned()),
        ("docker.test", "\"docker-config\"".to_owned()),
        ("helper.test", "{ helper = \"soak-test\" }".to_owned()),
        ("wrong.test", login("wes", &passwords.wrong)),
        ("tokens.test", login("tom", &passwords.for_tokens)),
        ("token.test", format!("{{ token = \"{token}\" }}")),
    ];
    let lines = lines.iter().zip(servers);
    lines
        .map(|((name, credentials), server)| line(name, &server.url(), credentials))
        .collect()
}

/// The files beside `proxy.toml`, docker's configuration and a helper; gives the environment.
fn outside(folder: &Path, docker: &str, passwords: &Passwords) -> Vec<(String, String)> {
    let login = format!("fay:{}\n", passwords.in_file);
    fs::write(folder.join("login"), login).unwrap();
    let auth = BASE64_STANDARD.encode(format!("dot:{}", passwords.in_docker));
    let config = serde_json::json!({"auths": {docker: {"auth": auth}}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let helper = folder.join("docker-credential-soak-test");
    let secret = &passwords.of_helper;
    let answer = serde_json::json!({"ServerURL": "x", "Username": "hal", "Secret": secret});
    let script = format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let folder = folder.to_str().unwrap();
    vec![
        ("DOCKER_CONFIG".to_owned(), folder.to_owned()),
        ("PATH".to_owned(), format!("{folder}:{path}")),
        ("EVES_PASSWORD".to_owned(), passwords.in_env.clone()),
    ]
}
