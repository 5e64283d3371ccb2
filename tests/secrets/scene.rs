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

async fn basic(image: &Image, user: &str, password: &str) -> Upstream {
    serving(
        image,
        Upstream::builder().basic(user, password).start().await,
    )
    .await
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let mut secrets = Secrets::default();
        let folder = TempDir::new().unwrap();
        let (pki, image) = (Pki::new(), ImageBuilder::new(7).build());
        let tls = pki.server(&[]);
        let key_lines = tls.key_pem.lines().filter(|line| !line.starts_with("---"));
        key_lines.for_each(|line| drop(secrets.keep("the TLS key", line)));
        secrets.keep(
            "the client's own token",
            CLIENT.trim_start_matches("Bearer "),
        );

        let in_file = secrets.keep_login("a password in proxy.toml", "ann", "pw-in-toml-7d1c");
        let from_env = secrets.keep_login("a password in the environment", "eve", "pw-in-env-99ab");
        let in_login = secrets.keep_login("a credential file", "fay", "pw-in-file-31fe");
        let in_docker = secrets.keep_login("docker's config.json", "dot", "pw-in-docker-c0de");
        let helped = secrets.keep_login("a helper's password", "hal", "pw-of-helper-4e4e");
        let wrong = secrets.keep_login("a wrong password", "wes", "pw-that-is-wrong-1212");
        let echoed = secrets.keep_login("an echoed password", "eco", "pw-that-is-echoed-8a8a");
        let signing = secrets.keep_login("a token server's password", "tom", "pw-for-tokens-6b6b");
        let tokens = TokenServer::for_docker_registry()
            .user("tom", &signing, &["*:*"])
            .start()
            .await;
        let token = tokens.token_for(Some("tom"), &["repository:library/app:pull"]);
        secrets.keep("a token in proxy.toml", &token);
        // The tokens that are given out later begin alike, up to their claims.
        let signed = token.split('.').next().unwrap();
        secrets.keep("a token of the token server", signed);

        let servers = vec![
            basic(&image, "ann", &in_file).await,
            basic(&image, "eve", &from_env).await,
            basic(&image, "fay", &in_login).await,
            basic(&image, "dot", &in_docker).await,
            basic(&image, "hal", &helped).await,
            serving(&image, Upstream::builder().bearer(&tokens).start().await).await,
            serving(&image, Upstream::builder().bearer(&tokens).start().await).await,
            basic(&image, "wes", "another-password").await,
        ];
        let redirecting = basic(&image, "ann", &in_file).await;
        let echo = Echo::start().await;
        let url = |at: usize| servers[at].url();
        let config = format!(
            r#"
server = {{ listen = "127.0.0.1:0", admin = "127.0.0.1:0", tls = {{ cert = "{cert}", key = "{key}" }} }}
store = {{ path = "store" }}
upstream = [
  {{ name = "toml.test", plain_http = true, url = "{}", credentials = {{ username = "ann", password = "{in_file}" }}, default = true }},
  {{ name = "env.test", plain_http = true, url = "{}", credentials = {{ username = "eve", password = "${{EVES_PASSWORD}}" }} }},
  {{ name = "file.test", plain_http = true, url = "{}", credentials = {{ file = "login" }} }},
  {{ name = "docker.test", plain_http = true, url = "{}", credentials = "docker-config" }},
  {{ name = "helper.test", plain_http = true, url = "{}", credentials = {{ helper = "soak-test" }} }},
  {{ name = "tokens.test", plain_http = true, url = "{}", credentials = {{ username = "tom", password = "{signing}" }} }},
  {{ name = "token.test", plain_http = true, url = "{}", credentials = {{ token = "{token}" }} }},
  {{ name = "wrong.test", plain_http = true, url = "{}", credentials = {{ username = "wes", password = "{wrong}" }} }},
  {{ name = "echo.test", plain_http = true, url = "http://{}", credentials = {{ username = "eco", password = "{echoed}" }} }},
  {{ name = "cdn.test", plain_http = true, url = "{}", credentials = {{ username = "ann", password = "{in_file}" }} }},
  {{ name = "gone.test", plain_http = true, url = "http://127.0.0.1:1", credentials = {{ username = "ann", password = "{in_file}" }} }},
]
"#,
            url(0),
            url(1),
            url(2),
            url(3),
            url(4),
            url(5),
            url(6),
            url(7),
            echo.address,
            redirecting.url(),
            cert = tls.cert_file.display(),
            key = tls.key_file.display(),
        );
        let env = outside(
            folder.path(),
            &servers[3].host(),
            [&in_login, &in_docker, &helped],
        );
        let env = env
            .into_iter()
            .chain([("EVES_PASSWORD".to_owned(), from_env)])
            .collect();
        Self {
            secrets,
            folder,
            pki,
            image,
            config,
            env,
            open: vec![
                "toml.test",
                "env.test",
                "file.test",
                "docker.test",
                "helper.test",
                "tokens.test",
                "token.test",
                "cdn.test",
            ],
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

/// The files beside `proxy.toml`, docker's configuration and a helper; gives the environment.
fn outside(
    folder: &Path,
    docker: &str,
    [login, in_docker, helped]: [&str; 3],
) -> Vec<(String, String)> {
    fs::write(folder.join("login"), format!("fay:{login}\n")).unwrap();
    let auth = BASE64_STANDARD.encode(format!("dot:{in_docker}"));
    let config = serde_json::json!({"auths": {docker: {"auth": auth}}});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let helper = folder.join("docker-credential-soak-test");
    let answer = serde_json::json!({"ServerURL": "x", "Username": "hal", "Secret": helped});
    fs::write(
        &helper,
        format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n"),
    )
    .unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let folder = folder.to_str().unwrap();
    vec![
        ("DOCKER_CONFIG".to_owned(), folder.to_owned()),
        ("PATH".to_owned(), format!("{folder}:{path}")),
    ]
}
