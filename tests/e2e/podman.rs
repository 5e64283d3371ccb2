//! podman, without its service, with folders of its own.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::sandbox;

/// A podman with nothing in its storage.
pub(crate) struct Podman {
    folder: TempDir,
}

impl Podman {
    /// A podman that looks for the images of `registry` at `location` first.
    pub(crate) fn with_mirror(registry: &str, location: &str) -> Self {
        let folder = TempDir::with_prefix("podman-").unwrap();
        let text = format!(
            "[[registry]]\nprefix = \"{registry}\"\nlocation = \"{registry}\"\n\n\
             [[registry.mirror]]\nlocation = \"{location}\"\n"
        );
        std::fs::write(folder.path().join("registries.conf"), text).unwrap();
        Self { folder }
    }

    /// The `podman` command, trusting `ca`.
    pub(crate) fn podman<'a>(
        &self,
        ca: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Command {
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
            .env("CONTAINERS_REGISTRIES_CONF", at("registries.conf"))
            .env("HOME", self.folder.path())
            .env("SSL_CERT_FILE", ca);
        command
    }
}
