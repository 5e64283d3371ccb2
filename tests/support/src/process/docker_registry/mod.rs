//! The real registry of Debian's package `docker-registry` (CNCF Distribution 2.8).

mod access;
mod builder;
mod content;

use std::path::Path;
use std::path::PathBuf;

use crate::client::Client;
use crate::port::ReservedPort;
use crate::process::Process;
use crate::process::is_installed;
use crate::record::PATIENCE;

pub use access::Access;
pub use builder::DockerRegistryBuilder;

const PROGRAM: &str = "docker-registry";

/// The `User-Agent` of our own requests.
const CHECK: &str = "fake-registry-check";

/// A running `docker-registry`; it ends when this is dropped. Its port stays its own until then.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Process,
    port: ReservedPort,
    settings: DockerRegistryBuilder,
    client: Client,
    folder: tempfile::TempDir,
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
            tokio::time::sleep(crate::process::GLANCE).await;
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

fn spawn(config: &Path, env: &[(String, String)]) -> Process {
    let mut command = Process::command(PROGRAM).arg("serve").arg(config);
    for (key, value) in env {
        command = command.env(key, value);
    }
    command.spawn()
}
