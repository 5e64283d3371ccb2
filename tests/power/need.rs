//! What a test needs and the machine may not allow.

use std::process::Command;

use fake_registry::has_all;

/// Whether we may trace processes. Where not, the test is skipped, by name; with `CI=true` it
/// fails, so that no skip goes unseen.
pub(crate) fn may_trace() -> bool {
    let mut trace = Command::new("strace");
    may(
        trace.args(["-f", "-o", "/dev/null", "true"]),
        "strace that may trace",
    )
}

/// Whether we may mount, in a namespace of our own. As [`may_trace`] where not.
pub(crate) fn may_mount() -> bool {
    let mut mount = Command::new("unshare");
    mount.args(["--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    may(&mut mount, "right to mount (root)")
}

fn may(command: &mut Command, what: &str) -> bool {
    let may = command.output().is_ok_and(|out| out.status.success());
    may || has_all(&[what])
}
