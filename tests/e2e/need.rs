//! What a test needs and the machine may lack.

use std::io::Write as _;

use crate::sandbox;

/// What only runs in a sandbox.
const SANDBOXED: [&str; 3] = ["dockerd", "containerd", "podman"];

/// Whether `commands` are there, and the rights to run them. Where they are not, the test is
/// skipped, by name; with `CI=true` it fails, so that no skip goes unseen.
pub(crate) fn need(commands: &[&str]) -> bool {
    let lacking = lacking(commands);
    if lacking.is_empty() {
        return true;
    }
    let lacking = lacking.join(", ");
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "this is a CI run, and there is no {lacking}");
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by eprintln!, which a test that passes does not show.
    let _ = writeln!(std::io::stderr(), "\nskipped: {test}: no {lacking}");
    false
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
