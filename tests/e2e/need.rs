//! What a test needs and the machine may lack.

use std::io::Write as _;

use crate::sandbox;

/// Whether the commands are there, and the right to run daemons. Where they are not, the test is
/// skipped, by name; with `CI=true` it fails, so that no skip goes unseen.
pub(crate) fn need(commands: &[&str]) -> bool {
    let lacking = lacking(commands);
    if lacking.is_empty() {
        return true;
    }
    let what = lacking.join(", ");
    let ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!ci, "missing, and this is a CI run: {what}");
    // Past the capture of tests that pass.
    let test = std::thread::current();
    let test = test.name().unwrap_or("a test").to_owned();
    let _ = writeln!(std::io::stderr(), "\nskipped: {test}: no {what}");
    false
}

fn lacking(commands: &[&str]) -> Vec<String> {
    let path = sandbox::path();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let there = |command: &str| folders.iter().any(|folder| folder.join(command).is_file());
    let mut lacking: Vec<String> = commands
        .iter()
        .filter(|command| !there(command))
        .map(ToString::to_string)
        .collect();
    if lacking.is_empty() && commands.iter().any(|name| DAEMONS.contains(name)) {
        let tried = sandbox::command("true").output();
        if !tried.is_ok_and(|out| out.status.success()) {
            lacking.push("right to make namespaces (not root?)".to_owned());
        }
    }
    lacking
}

/// What runs in a sandbox.
const DAEMONS: [&str; 3] = ["dockerd", "containerd", "podman"];
