//! skopeo.

use std::path::Path;
use std::process::Command;

use crate::sandbox;

/// A `skopeo copy` of all platforms from `source` to the OCI layout `folder`.
pub(crate) fn copy_all(source: &str, folder: &Path) -> Command {
    let mut command = copy(source, folder);
    command.arg("--all");
    command
}

/// A `skopeo copy` of this machine's platform from `source` to the OCI layout `folder`.
pub(crate) fn copy(source: &str, folder: &Path) -> Command {
    let mut command = sandbox::command("skopeo");
    let target = format!("oci:{}:v1", folder.display());
    command.args(["--insecure-policy", "copy", "--quiet", source, &target]);
    command
}

/// A `skopeo inspect` that prints the manifest of `source` as it came.
pub(crate) fn raw(source: &str) -> Command {
    let mut command = sandbox::command("skopeo");
    command.args(["--insecure-policy", "inspect", "--raw", source]);
    command
}
