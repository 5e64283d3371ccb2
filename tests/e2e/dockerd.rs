//! dockerd, started by hand with folders of its own.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::sandbox;
use crate::sandbox::Daemon;

/// A docker engine with nothing in it. Ends when dropped.
pub(crate) struct Dockerd {
    // Ends before its folder goes.
    _daemon: Daemon,
    folder: TempDir,
    cgroup: String,
}

impl Dockerd {
    /// Starts an engine that is configured by `config` (a `daemon.json`), and trusts `ca` alone.
    pub(crate) async fn start(config: &Path, ca: &Path) -> Self {
        Self::start_behind(None, config, ca).await
    }

    /// The same, which goes to registries by `proxy`.
    pub(crate) async fn start_behind(proxy: Option<&str>, config: &Path, ca: &Path) -> Self {
        let folder = TempDir::with_prefix("dockerd-").unwrap();
        let at = |name: &str| folder.path().join(name);
        let cgroup = folder.path().file_name().unwrap().to_string_lossy();
        let cgroup = format!("/{cgroup}");

        let mut command = Daemon::command("dockerd");
        if let Some(proxy) = proxy {
            command = command.env("HTTPS_PROXY", proxy).env("NO_PROXY", "");
        }
        let command = command
            .arg("--config-file")
            .arg(config)
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--host", &socket(folder.path())])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .args(["--exec-opt=native.cgroupdriver=cgroupfs", "--cgroup-parent"])
            .arg(&cgroup)
            // A mirror's authorities come from /etc/docker/certs.d or from the system.
            .env("SSL_CERT_FILE", ca);
        let probe = || docker(folder.path(), ["version"]);
        let daemon = Daemon::start(command, probe).await;
        Self {
            _daemon: daemon,
            folder,
            cgroup,
        }
    }

    /// The `docker` command, talking to this engine.
    pub(crate) fn docker<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        docker(self.folder.path(), arguments)
    }

    /// What `docker image inspect` says of `image`.
    pub(crate) async fn inspect(&self, image: &str) -> serde_json::Value {
        let said = sandbox::run(self.docker(["image", "inspect", image])).await;
        let mut all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        all.remove(0)
    }
}

impl Drop for Dockerd {
    /// Removes the control groups of the containers, which outlive them.
    fn drop(&mut self) {
        let name = self.cgroup.trim_start_matches('/');
        let _ = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d"])
            .args(["-path", &format!("*/{name}*")])
            .args(["-exec", "rmdir", "{}", ";"])
            .output();
    }
}

fn docker<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("docker");
    command
        .args(["--host", &socket(folder)])
        .args(arguments)
        // The builder that is part of the engine: buildx may not be there.
        .env("DOCKER_BUILDKIT", "0")
        .env("DOCKER_CONFIG", folder);
    command
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}
