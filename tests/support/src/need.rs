use std::io::Write as _;

use crate::is_installed;

/// Whether `commands` are there. Where they are not, the test that asks is to be skipped, and its
/// name is told; with `CI=true` it fails, so that no skip goes unseen.
pub fn need(commands: &[&str]) -> bool {
    let mut lacking = commands.to_vec();
    lacking.retain(|command| !is_installed(command));
    has_all(&lacking)
}

/// As [`need`], where it is known what is `lacking`.
pub fn has_all(lacking: &[&str]) -> bool {
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
