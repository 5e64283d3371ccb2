//! The registry behind the proxy: private, token-protected, over TLS, and an image in it.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Push;
use fake_registry::Recorded;
use fake_registry::TokenServer;
use tempfile::TempDir;

use crate::layout::Layout;
use crate::layout::Platforms;
use crate::layout::architecture;
use crate::sandbox;
use crate::skopeo;

/// A name for the registry's address, in its certificate.
pub(crate) const HOST: &str = "registry.test";

/// Who may pull the image.
pub(crate) const USER: &str = "robot";
/// The password.
pub(crate) const PASSWORD: &str = "s3cret-of-the-test";
const REPOSITORY: &str = "demo/app";

/// A private registry with the image `demo/app:v1`.
pub(crate) struct Upstream {
    /// What a client gets that asks the registry itself.
    pub(crate) direct: Layout,
    registry: DockerRegistry,
    pki: Pki,
    tokens: TokenServer,
}

impl Upstream {
    /// Starts the registry, and puts the image into it: several platforms, which share a layer.
    pub(crate) async fn start() -> Self {
        let pki = Pki::new();
        let tokens = TokenServer::for_docker_registry()
            .user(USER, PASSWORD, &["demo/*:pull"])
            .tls(&pki)
            .start()
            .await;
        let registry = DockerRegistry::builder()
            .tls(&pki, &[HOST])
            .token_auth(&tokens)
            .start()
            .await;

        let push = owner(&registry, &tokens, REPOSITORY);
        let other = if architecture() == "amd64" {
            "linux/arm64"
        } else {
            "linux/amd64"
        };
        let own = format!("linux/{}", architecture());
        let image = ImageBuilder::new(1)
            .base(7, 1)
            .layer_size(400_000)
            .platforms(&[other, &own, "linux/s390x"])
            .build();
        image.push_http(&push, REPOSITORY, "v1").await.unwrap();

        let direct = direct(&registry, &pki.ca_file()).await;
        assert_eq!(direct.digest, image.digest());
        Self {
            direct,
            registry,
            pki,
            tokens,
        }
    }

    /// Puts another image into it.
    pub(crate) async fn add(&self, repository: &str, tag: &str, image: &fake_registry::Image) {
        let push = owner(&self.registry, &self.tokens, repository);
        image.push_http(&push, repository, tag).await.unwrap();
    }

    /// Whom it lets in.
    pub(crate) fn tokens(&self) -> &TokenServer {
        &self.tokens
    }

    /// The authority of the registry's certificate, and of the proxy's.
    pub(crate) fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.pki.ca_file()
    }

    /// The `[[upstream]]` table of a proxy that may read it at `host`, and finds the authority at
    /// `ca`. A tag is fresh for no time worth mentioning, so that each use of it asks.
    pub(crate) fn table(&self, host: &str, ca: &Path) -> String {
        let login = format!("{{ username = \"{USER}\", password = \"{PASSWORD}\" }}");
        self.table_with(host, ca, &login)
    }

    /// The same, with other credentials, in TOML.
    pub(crate) fn table_with(&self, host: &str, ca: &Path, credentials: &str) -> String {
        let address = self.registry.host();
        let port = address.rsplit(':').next().unwrap();
        format!(
            "[[upstream]]\nname = \"docker.io\"\ndefault = true\nurl = \"https://{host}:{port}\"\n\
             ca = {ca:?}\ntag_ttl = \"1ms\"\ncredentials = {credentials}\n"
        )
    }

    /// Waits until it has logged a GET of the proxy for each manifest and blob of `platforms`, and
    /// returns what the proxy has asked so far. (It logs a request some time after its answer.)
    pub(crate) async fn pulled(&self, platforms: Platforms) -> Vec<Access> {
        let expected = self.direct.part(platforms).len();
        let gets = |log: &[Access]| log.iter().filter(|asked| is_get(asked)).count();
        self.registry.wait_for(|log| gets(log) >= expected).await;
        self.requests()
    }

    /// What the proxy has asked it so far, but for what it was sent away with to sign in.
    pub(crate) fn requests(&self) -> Vec<Access> {
        let mut log = self.registry.access();
        log.retain(|asked| is_proxy(asked) && asked.path != "/v2/" && asked.status != 401);
        log
    }

    /// Waits until it has logged that it sent the proxy so many bytes of bodies, with those of the
    /// token server. (Of an answer to a `HEAD`, it logs the body that it did not send.)
    pub(crate) async fn has_sent(&self, bytes: u64) {
        let by_proxy = |asked: &Recorded| {
            let agent = asked.header("user-agent").unwrap_or_default();
            agent.starts_with(AGENT)
        };
        let tokens = || -> u64 {
            let log = self.tokens.log();
            let own = log.iter().filter(|asked| by_proxy(asked));
            own.map(|asked| asked.body_bytes_sent).sum()
        };
        let sent = |log: &[Access]| -> u64 {
            let bodies = log.iter().filter(|it| is_proxy(it) && it.method != "HEAD");
            bodies.map(|asked| asked.bytes).sum()
        };
        self.registry
            .wait_for(|log| tokens() + sent(log) == bytes)
            .await;
    }

    /// Stops it. Its port refuses connections from then on.
    pub(crate) fn stop(&mut self) {
        self.registry.stop();
    }
}

/// The means to push into `repository`.
fn owner(registry: &DockerRegistry, tokens: &TokenServer, repository: &str) -> Push {
    tokens.set_user("owner", "owner", &["demo/*:pull,push"]);
    let scope = format!("repository:{repository}:pull,push");
    let token = tokens.token_for(Some("owner"), &[&scope]);
    let push = Push::to(&registry.url(), registry.client());
    push.authorization(&format!("Bearer {token}"))
}

/// Whether content crossed the wire, to the proxy.
pub(crate) fn is_get(asked: &Access) -> bool {
    is_proxy(asked) && asked.method == "GET" && asked.status == 200 && asked.path != "/v2/"
}

fn is_proxy(asked: &Access) -> bool {
    asked.user_agent.starts_with(AGENT)
}

/// How the proxy's `User-Agent` begins.
const AGENT: &str = "tidegate/";

/// A copy without the proxy; and nobody gets one without signing in.
async fn direct(registry: &DockerRegistry, ca: &Path) -> Layout {
    let folder = TempDir::with_prefix("direct-").unwrap();
    let source = format!("docker://{}/{REPOSITORY}:v1", registry.host());
    let anonymous = trusting(skopeo::raw(&source), ca);
    let refused = sandbox::attempt(anonymous).await.unwrap_err();
    assert!(refused.contains("unauthorized"), "{refused}");

    let mut copy = skopeo::copy_all(&source, folder.path());
    copy.arg(format!("--src-creds={USER}:{PASSWORD}"));
    sandbox::run(trusting(copy, ca)).await;
    Layout::read(folder.path())
}

/// `command`, with `ca` in the place of the system's authorities.
pub(crate) fn trusting(mut command: Command, ca: &Path) -> Command {
    command.env("SSL_CERT_FILE", ca);
    command
}
