//! What a test needs and the machine may lack.

use fake_registry::has_all;

use crate::sandbox;

/// What only runs in a sandbox.
const SANDBOXED: [&str; 3] = ["dockerd", "containerd", "podman"];

/// Whether `commands` are there, and the rights to run them. Where they are not, the test is
/// skipped, by name; with `CI=true` it fails, so that no skip goes unseen.
pub(crate) fn need(commands: &[&str]) -> bool {
    has_all(&lacking(commands))
}

fn lacking<'a>(commands: &[&'a str]) -> Vec<&'a str> {
    let path = sandbox::path();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let there = |command: &str| folders.iter().any(|folder| folder.join(command).is_file());
    let mut lacking: Vec<&str> = commands.to_vec();
    lacking.retain(|command| !there(command));
    let sandboxed = commands.iter().any(|command| SANDBOXED.contains(command));
    if lacking.is_empty() && sandboxed && !sandbox::is_possible() {
        lacking.push("right to mount (root)");
    }
    lacking
}
