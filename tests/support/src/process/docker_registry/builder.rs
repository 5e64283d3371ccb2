//! How a docker-registry is set up.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use crate::client::Client;
use crate::pki::Pki;
use crate::port::ReservedPort;
use crate::process::docker_registry::DockerRegistry;
use crate::process::docker_registry::PROGRAM;
use crate::process::docker_registry::spawn;
use crate::process::is_installed;
use crate::token::TokenServer;

/// A `docker-registry` that isn't started yet.
#[derive(Debug, Default)]
pub struct DockerRegistryBuilder {
    pub(super) storage: Option<PathBuf>,
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    pub(super) client: Option<Client>,
    sections: String,
    pub(super) env: Vec<(String, String)>,
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
