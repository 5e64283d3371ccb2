//! containerd, started by hand with folders of its own, and `ctr`.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::sandbox::Daemon;

/// A containerd with nothing in it. Ends when dropped.
pub(crate) struct Containerd {
    // Ends before its folder goes.
    _daemon: Daemon,
    folder: TempDir,
}

impl Containerd {
    /// Starts it.
    pub(crate) async fn start() -> Self {
        let folder = TempDir::with_prefix("containerd-").unwrap();
        let at = |name: &str| folder.path().join(name);
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            at("root"),
            at("state"),
            at("socket"),
        );
        std::fs::write(at("config.toml"), config).unwrap();
        let command = Daemon::command("containerd")
            .arg("--config")
            .arg(at("config.toml"));
        let daemon = Daemon::start(command, || ctr(folder.path(), ["version"])).await;
        Self {
            _daemon: daemon,
            folder,
        }
    }

    /// The `ctr` command, talking to this containerd.
    pub(crate) fn ctr<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        ctr(self.folder.path(), arguments)
    }

    /// The folder where containerd keeps what it pulled, one file a digest.
    pub(crate) fn blobs(&self) -> PathBuf {
        let content = "root/io.containerd.content.v1.content/blobs";
        self.folder.path().join(content)
    }
}

fn ctr<'a>(folder: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(folder.join("socket"))
        .args(arguments);
    command
}
