//! The real registry of Debian's package `docker-registry` (CNCF Distribution 2.8).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::client::Client;
use crate::pki::Pki;
use crate::port::ReservedPort;
use crate::process::Process;
use crate::process::is_installed;
use crate::record::PATIENCE;
use crate::token::TokenServer;

const PROGRAM: &str = "docker-registry";

/// A running `docker-registry`; it ends when this is dropped. Its port stays its own until then.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Process,
    port: ReservedPort,
    settings: DockerRegistryBuilder,
    client: Client,
    folder: tempfile::TempDir,
}

/// A `docker-registry` that isn't started yet.
#[derive(Debug, Default)]
pub struct DockerRegistryBuilder {
    storage: Option<PathBuf>,
    tls: Option<(PathBuf, PathBuf)>,
    client: Option<Client>,
    sections: String,
    env: Vec<(String, String)>,
}

/// A line of its access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without its `?`; empty where there is none.
    pub query: String,
    /// The answer's status.
    pub status: u16,
    /// The length of the answer's body, in bytes.
    pub bytes: u64,
    /// The client's `User-Agent`.
    pub user_agent: String,
}

impl DockerRegistryBuilder {
    /// Keeps its content below this folder (in `docker/registry/v2`), instead of in a temporary
    /// one.
    pub fn storage(mut self, folder: impl AsRef<Path>) -> Self {
        self.storage = Some(folder.as_ref().to_owned());
        self
    }

    /// Over TLS, with a certificate for 127.0.0.1, localhost and the host names in `more`.
    pub fn tls(mut self, pki: &Pki, more: &[&str]) -> Self {
        let leaf = pki.server(more);
        self.tls = Some((leaf.cert_file, leaf.key_file));
        self.client = Some(Client::tls(pki));
        self
    }

    /// Lets in who has a token of `tokens`, which must sign them
    /// ([`TokenServer::for_docker_registry`]).
    pub fn token_auth(self, tokens: &TokenServer) -> Self {
        let (realm, service, issuer) = (tokens.realm(), tokens.service(), tokens.issuer_name());
        let bundle = tokens.root_cert_bundle();
        let bundle = bundle.display();
        self.section(&format!(
            "auth:\n  token:\n    realm: {realm}\n    service: {service}\n    issuer: {issuer}\n    \
             rootcertbundle: {bundle}\n"
        ))
    }

    /// A mirror of the registry at `url` (pull-through).
    pub fn mirror_of(self, url: &str) -> Self {
        self.section(&format!("proxy:\n  remoteurl: {url}\n"))
    }

    /// As [`Self::mirror_of`], with a login there.
    pub fn mirror_of_with_login(self, url: &str, user: &str, password: &str) -> Self {
        self.section(&format!(
            "proxy:\n  remoteurl: {url}\n  username: {user}\n  password: {password}\n"
        ))
    }

    /// Adds a section to its configuration, in YAML.
    pub fn section(mut self, yaml: &str) -> Self {
        self.sections += yaml;
        self
    }

    /// Sets an environment variable, such as `REGISTRY_...`, which overrides the configuration.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Panics
    /// Where it isn't installed, or doesn't come up, with its log.
    pub async fn start(self) -> DockerRegistry {
        assert!(
            is_installed(PROGRAM),
            "docker-registry is not installed (Debian package)"
        );
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = ReservedPort::new();
        let config = folder.path().join("config.yml");
        let storage = self
            .storage
            .clone()
            .unwrap_or_else(|| folder.path().join("storage"));
        fs::write(&config, self.config(&storage, port.number())).expect("config.yml is written");
        let client = self.client.clone().unwrap_or_default();
        let process = spawn(&config, &self.env);
        let mut registry = DockerRegistry {
            process,
            port,
            settings: self,
            client,
            folder,
        };
        registry.answers().await;
        registry
    }

    fn config(&self, storage: &Path, port: u16) -> String {
        let mut config = format!(
            "version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
             delete:\n    enabled: true\n  maintenance:\n    uploadpurging:\n      enabled: false\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: test\n",
            storage.display()
        );
        if let Some((cert, key)) = &self.tls {
            let (cert, key) = (cert.display(), key.display());
            let _ = write!(config, "  tls:\n    certificate: {cert}\n    key: {key}\n");
        }
        config + &self.sections
    }
}

fn spawn(config: &Path, env: &[(String, String)]) -> Process {
    let mut command = Process::command(PROGRAM).arg("serve").arg(config);
    for (key, value) in env {
        command = command.env(key, value);
    }
    command.spawn()
}

impl DockerRegistry {
    /// Plain HTTP, open to all, with its content in a temporary folder, unless told more.
    pub fn builder() -> DockerRegistryBuilder {
        DockerRegistryBuilder::default()
    }

    /// Whether the program is there at all.
    pub fn is_installed() -> bool {
        is_installed(PROGRAM)
    }

    /// `127.0.0.1:<port>`, as in an image reference.
    pub fn host(&self) -> String {
        self.port.address().to_string()
    }

    /// `http://127.0.0.1:<port>` or `https://...`, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.settings.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.host())
    }

    /// The folder that its content is below.
    pub fn storage(&self) -> PathBuf {
        self.settings
            .storage
            .clone()
            .unwrap_or_else(|| self.folder.path().join("storage"))
    }

    /// A client that trusts its certificate.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What it logged, the access log aside.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// The process: its memory, its processor time.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The requests that it answered since its (last) start, the check at the start aside.
    pub fn access(&self) -> Vec<Access> {
        let lines: Vec<Access> = self
            .process
            .stdout()
            .lines()
            .filter_map(Access::parse)
            .collect();
        lines
            .into_iter()
            .filter(|line| line.user_agent != CHECK)
            .collect()
    }

    /// Waits until the access log is as `enough` says. A request is logged after its answer.
    ///
    /// # Panics
    /// After [`PATIENCE`], with the log.
    pub async fn wait_for(&self, enough: impl Fn(&[Access]) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let lines = self.access();
            if enough(&lines) {
                return;
            }
            let late = tokio::time::Instant::now() > deadline;
            assert!(
                !late,
                "waited {PATIENCE:?} in vain; the log:\n{}",
                self.process.stdout()
            );
            tokio::time::sleep(super::GLANCE).await;
        }
    }

    /// Ends it. Its port is kept, and refuses.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same port and the same content, and waits until it answers.
    ///
    /// # Panics
    /// Where it doesn't come up, with its log.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.process = spawn(&self.folder.path().join("config.yml"), &self.settings.env);
        self.answers().await;
    }

    async fn answers(&mut self) {
        let (url, client) = (format!("{}/v2/", self.url()), self.client());
        let ping = async |_: &Process| {
            client
                .get(&url)
                .header("user-agent", CHECK)
                .send()
                .await
                .is_ok()
        };
        self.process.wait_ready(ping).await;
    }
}

/// The `User-Agent` of our own requests.
const CHECK: &str = "fake-registry-check";

impl Access {
    /// From a line in the combined log format.
    fn parse(line: &str) -> Option<Self> {
        let mut quoted = line.split('"');
        let mut request = quoted.nth(1)?.split(' ');
        let mut numbers = quoted.next()?.split_whitespace();
        let (method, target) = (request.next()?, request.next()?);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            status: numbers.next()?.parse().ok()?,
            bytes: numbers.next()?.parse().ok()?,
            user_agent: quoted.nth(2).unwrap_or_default().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_combined_log_format() {
        let line = "127.0.0.1 - - [21/Nov/2025:10:00:00 +0000] \"GET /v2/a/tags/list?n=1 HTTP/1.1\" \
                    200 34 \"\" \"curl/8\"";
        let access = Access::parse(line).unwrap();
        assert_eq!(
            (access.method.as_str(), access.path.as_str()),
            ("GET", "/v2/a/tags/list")
        );
        assert_eq!(
            (access.query.as_str(), access.status, access.bytes),
            ("n=1", 200, 34)
        );
        assert_eq!(access.user_agent, "curl/8");
        assert_eq!(Access::parse("time=now level=info"), None);
    }
}
