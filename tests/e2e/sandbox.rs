//! Commands and daemons in namespaces of their own: whatever a daemon starts and mounts ends with
//! it, even when the test dies, and it meets no other daemon of the machine.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::process::Command;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Process;
use fake_registry::ProcessBuilder;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// The folders where clients keep what they do not let us put elsewhere are empty inside: no socket
/// of the machine's own dockerd is found in `/run`, no blob cache of podman in `/var/lib`.
const ENTER: &str = r#"
for folder in /run /var/lib /opt; do
  mount -t tmpfs tmpfs "$folder" || exit 1
done
exec "$0" "$@"
"#;

/// How long a daemon may take to come up, and a client to do its work.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a killed sandbox may take to be gone.
const FAREWELL: Duration = Duration::from_secs(15);

fn enter(program: &str) -> Vec<&str> {
    let mut words = vec!["--mount", "--pid", "--fork", "--kill-child"];
    words.extend(["--mount-proc", "sh", "-c", ENTER, program]);
    words
}

/// Whether we may make namespaces and mount.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let tried = Command::new("unshare").args(enter("true")).output();
        tried.is_ok_and(|out| out.status.success())
    })
}

/// `PATH` with the folders where Debian keeps daemons.
pub(crate) fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// A command that will run in a sandbox, where one is possible.
pub(crate) fn command(program: &str) -> Command {
    if !is_possible() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(enter(program)).env("PATH", path());
    command
}

/// Runs `command` to its end, and returns what it printed.
///
/// # Panics
/// Where it fails, with all that it said.
pub(crate) async fn run(command: Command) -> String {
    match attempt(command).await {
        Ok(printed) => printed,
        Err(said) => panic!("{said}"),
    }
}

/// Runs `command` to its end: what it printed, or all that it said where it failed.
pub(crate) async fn attempt(command: Command) -> Result<String, String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let shown = words.join(" ");
    let mut command = tokio::process::Command::from(command);
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let out = tokio::time::timeout(PATIENCE, running)
        .await
        .map_err(|_| format!("{shown}: still runs after {PATIENCE:?}"))?
        .map_err(|error| format!("{shown}: {error}"))?;
    let printed = String::from_utf8_lossy(&out.stdout).into_owned();
    if out.status.success() {
        return Ok(printed);
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("{shown}: {}\n{printed}{said}", out.status))
}

/// A daemon in a sandbox. Ends, with all that it started, when dropped.
pub(crate) struct Daemon(Process);

impl Daemon {
    /// A daemon that isn't started yet.
    pub(crate) fn command(program: &str) -> ProcessBuilder {
        let builder = Process::command("unshare").args(enter(program));
        builder.env("PATH", path())
    }

    /// Starts it, and waits until `probe` succeeds.
    ///
    /// # Panics
    /// Where it ends, or does not answer in time, with its log.
    pub(crate) async fn start(command: ProcessBuilder, probe: impl Fn() -> Command) -> Self {
        let mut daemon = Self(command.spawn());
        let begun = Instant::now();
        while let Err(said) = attempt(probe()).await {
            let ended = daemon.0.exit_status();
            assert!(
                ended.is_none() && begun.elapsed() < PATIENCE,
                "no answer ({ended:?}): {said}\n{}",
                daemon.0.stderr(),
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        daemon
    }
}

impl Drop for Daemon {
    /// Kills the first process inside, at which the kernel kills all others there. The outer one
    /// ends when they are gone, so that nobody writes into their folders any more.
    fn drop(&mut self) {
        let id = self.0.pid();
        let children = format!("/proc/{id}/task/{id}/children");
        let inside = std::fs::read_to_string(children).unwrap_or_default();
        let inside = inside.split_whitespace().filter_map(|id| id.parse().ok());
        for pid in inside.filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let begun = Instant::now();
        while self.0.exit_status().is_none() && begun.elapsed() < FAREWELL {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
