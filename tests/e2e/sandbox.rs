//! Daemons in namespaces of their own: whatever they start and mount ends with them, even when
//! the test panics, and they meet no other daemon of the machine.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

/// The folders where daemons keep what they do not let us put elsewhere are empty inside: no socket
/// of the machine's own dockerd is found in `/run`, no blob cache of podman in `/var/lib`.
const ENTER: &str = r#"
for folder in /run /var/lib /opt; do
  mount -t tmpfs tmpfs "$folder" || exit 1
done
exec "$0" "$@"
"#;

/// A command that will run in a sandbox.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "sh", "-c", ENTER, program])
        .env("PATH", path())
        .stdin(Stdio::null());
    command
}

/// `PATH` with the folders where Debian keeps daemons.
pub(crate) fn path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// A daemon in a sandbox. Ends, with all that it started, when dropped.
pub(crate) struct Daemon {
    outer: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, which [`command`] has made, with its output in the file `log`.
    pub(crate) fn spawn(mut command: Command, log: &Path) -> Self {
        let out = File::create(log).unwrap();
        let err = out.try_clone().unwrap();
        let outer = command.stdout(out).stderr(err).spawn().unwrap();
        let log = log.to_owned();
        Self { outer, log }
    }

    /// Waits until `probe` succeeds, that is until the daemon answers.
    pub(crate) async fn ready(&mut self, mut probe: impl FnMut() -> tokio::process::Command) {
        let start = Instant::now();
        loop {
            let out = probe().output().await.unwrap();
            if out.status.success() {
                return;
            }
            let ended = self.outer.try_wait().unwrap();
            assert!(
                ended.is_none() && start.elapsed() < Duration::from_secs(60),
                "a daemon did not come up ({ended:?}): {}\n{}",
                String::from_utf8_lossy(&out.stderr),
                self.log(),
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the daemon has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    /// Kills the first process of the sandbox, at which the kernel ends all others; the outer
    /// process waits for that.
    fn drop(&mut self) {
        let id = self.outer.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let inner = std::fs::read_to_string(children).unwrap_or_default();
        let killed = Command::new("kill")
            .arg("-KILL")
            .args(inner.split_whitespace())
            .status();
        if !killed.is_ok_and(|status| status.success()) {
            let _ = self.outer.kill();
        }
        let _ = self.outer.wait();
    }
}

/// Runs `command` to its end; a failure fails the test with what the command said.
pub(crate) async fn run(command: Command) -> String {
    match attempt(command).await {
        Ok(stdout) => stdout,
        Err(said) => panic!("{said}"),
    }
}

/// Runs `command` to its end: its standard output, or all that it said.
pub(crate) async fn attempt(command: Command) -> Result<String, String> {
    let shown = shown(&command);
    let mut command = tokio::process::Command::from(command);
    let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let out = tokio::time::timeout(Duration::from_secs(120), running)
        .await
        .map_err(|_| format!("{shown}: not done after two minutes"))?
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let stdout = String::from_utf8_lossy(&out.stdout);
    if out.status.success() {
        return Ok(stdout.into_owned());
    }
    let stderr = String::from_utf8_lossy(&out.stderr);
    Err(format!("{shown}: {}\n{stdout}{stderr}", out.status))
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
