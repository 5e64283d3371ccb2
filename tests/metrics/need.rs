//! What a test needs and the machine may lack.

use std::io::Write as _;

use fake_registry::is_installed;

/// Whether `commands` are there. Where they are not, the test is skipped, by name; with `CI=true`
/// it fails, so that no skip goes unseen.
pub(crate) fn need(commands: &[&str]) -> bool {
    let mut lacking = commands.to_vec();
    lacking.retain(|command| !is_installed(command));
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
