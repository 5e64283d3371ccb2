//! The test support's own tests: a fault that doesn't strike would make other tests pass for
//! nothing.

mod auth;
mod docker_registry;
mod far;
mod faults;
mod image;
mod process;
mod serve;
mod taking;
mod target;

/// Whether a test can't run for want of `program`: told by name, and a failure in CI.
fn missing(program: &str, test: &str) -> bool {
    if fake_registry::is_installed(program) {
        return false;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{program} is not installed"
    );
    eprintln!("SKIP {test}: {program} is not installed");
    true
}
