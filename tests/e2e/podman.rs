//! podman, without its service, with folders of its own.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::sandbox;

/// A podman with nothing in its storage.
pub(crate) struct Podman {
    folder: TempDir,
    registries: PathBuf,
    ca: PathBuf,
}

impl Podman {
    /// A podman that is configured by `registries` (a `registries.conf`), and trusts `ca` alone.
    pub(crate) fn new(registries: &Path, ca: &Path) -> Self {
        Self {
            folder: TempDir::with_prefix("podman-").unwrap(),
            registries: registries.to_owned(),
            ca: ca.to_owned(),
        }
    }

    /// The `podman` command, with folders of its own.
    pub(crate) fn podman<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let at = |name: &str| self.folder.path().join(name);
        let mut command = sandbox::command("podman");
        command
            .arg("--root")
            .arg(at("root"))
            .arg("--runroot")
            .arg(at("run"))
            .arg("--tmpdir")
            .arg(at("tmp"))
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"])
            .arg("--events-backend=file")
            .args(arguments)
            .env("CONTAINERS_REGISTRIES_CONF", &self.registries)
            .env("HOME", self.folder.path())
            .env("SSL_CERT_FILE", &self.ca);
        command
    }
}
