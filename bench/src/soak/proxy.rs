//! The tidegate that is soaked.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use fake_registry::Client;
use fake_registry::Process;
use fake_registry::ReservedPort;
use fake_registry::Tidegate;
use serde_json::Value;

use super::world::World;

/// The store's limit, in bytes: a fifth of what is pulled, so that there is always eviction.
pub(crate) const MAX_SIZE: u64 = 96 << 20;

/// A running tidegate, which may be ended and started again in the same place.
pub(crate) struct Proxy {
    binary: PathBuf,
    folder: PathBuf,
    port: ReservedPort,
    tidegate: Tidegate,
}

/// What its log says where it is wrong itself.
const BUGS: [&str; 2] = ["panicked", "the books do not balance"];

impl Proxy {
    /// Starts it in `folder`.
    pub(crate) async fn start(binary: &Path, folder: &Path, world: &World) -> Self {
        let port = ReservedPort::new();
        let config = config(&port, world, 1);
        let tidegate = Tidegate::builder(binary, &config).folder(folder);
        Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            port,
            tidegate: tidegate.start().await,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Kills it and starts it again.
    ///
    /// # Errors
    /// When its log tells of a bug.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        self.look_for_bugs()?;
        self.tidegate.restart().await;
        Ok(())
    }

    /// Ends it, in its own time, and starts it again.
    ///
    /// # Errors
    /// When its log tells of a bug, or it doesn't end well.
    pub(crate) async fn end_and_start(&mut self) -> anyhow::Result<()> {
        self.end().await?;
        self.tidegate.restart().await;
        Ok(())
    }

    /// Ends it in its own time.
    ///
    /// # Errors
    /// When its log tells of a bug, or it doesn't end well.
    pub(crate) async fn end(&mut self) -> anyhow::Result<()> {
        self.tidegate.process_mut().terminate();
        let status = self
            .tidegate
            .process_mut()
            .wait(Duration::from_secs(60))
            .await;
        self.look_for_bugs()?;
        anyhow::ensure!(
            status.code().is_some_and(|code| code <= 1),
            "it ended with {status}"
        );
        Ok(())
    }

    /// Has it read its configuration again, with other values in it.
    pub(crate) fn reload(&mut self, world: &World, tag_ttl: u64) {
        let config = config(&self.port, world, tag_ttl);
        self.tidegate.reload(&config);
    }

    /// # Errors
    /// When its log tells of a bug, or the process is gone.
    pub(crate) fn look_for_bugs(&mut self) -> anyhow::Result<()> {
        let log = self.tidegate.log();
        for phrase in BUGS {
            if let Some(at) = log.find(phrase) {
                let told: String = log[at.saturating_sub(200)..].chars().take(600).collect();
                anyhow::bail!("its log tells of a bug: {told}");
            }
        }
        Ok(())
    }

    /// Whether the process is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.tidegate.process_mut().exit_status().is_none()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.tidegate.process().pid()
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = self.tidegate.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// What its admin listener says.
    ///
    /// # Errors
    /// When it doesn't answer.
    pub(crate) async fn status(&self) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/status", self.tidegate.admin());
        let reply = Client::new().get(url).send().await;
        let reply = reply.context("the admin listener does not answer")?;
        Ok(reply.json().await?)
    }

    /// Runs `tidegate store verify` in its folder. Gives its report.
    ///
    /// # Errors
    /// When it finds a problem, or can't be run.
    pub(crate) async fn verify(&self) -> anyhow::Result<Value> {
        let mut command = Process::command(&self.binary)
            .args(["store", "verify", "--json", "--config", "proxy.toml"])
            .folder(&self.folder)
            .spawn();
        let status = command.wait(Duration::from_secs(120)).await;
        let (said, told) = (command.stdout(), command.stderr());
        let report: Value = serde_json::from_str(&said)
            .with_context(|| format!("store verify ended with {status}: {said}{told}"))?;
        anyhow::ensure!(
            status.success(),
            "store verify found: {}",
            report["problems"]
        );
        Ok(report)
    }

    /// Files that nobody will ever publish: there must be none once it has ended.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub(crate) fn leftovers(&self) -> anyhow::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.folder.join("store/tidegate/tmp"))?;
        let names = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.collect())
    }
}

fn config(port: &ReservedPort, world: &World, tag_ttl: u64) -> String {
    format!(
        r#"
[server]
listen = "{}"
admin = "127.0.0.1:0"
drain_timeout = "2s"
header_timeout = "10s"

[store]
path = "store"
max_size = "{MAX_SIZE}B"

[defaults]
tag_ttl = "{tag_ttl}s"
header_timeout = "3s"
idle_timeout = "2s"

[[upstream]]
name = "plain.test"
url = "{}"
fallback = ["{}"]
plain_http = true
credentials = "anonymous"

[[upstream]]
name = "tokens.test"
url = "{}"
ca = "{}"
credentials = "anonymous"
"#,
        port.address(),
        world.plain.url(),
        world.mirror.url(),
        world.tokens.url(),
        world.pki.ca_file().display(),
    )
}
