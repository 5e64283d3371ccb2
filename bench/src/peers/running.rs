//! A server that was started for a run, and ends with it.

use std::fs::File;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use rustix::process::Pid;
use rustix::process::Signal;
use tempfile::TempDir;

/// How long a server may take to listen, and to end.
const GRACE: Duration = Duration::from_secs(15);
/// How long it may take to end where nothing of it is needed any more.
const BRIEF: Duration = Duration::from_secs(1);

/// A running system. A drop ends it, within [`BRIEF`] if it can be, and removes its folder: what
/// clients have broken off need not be finished, as some do that may.
#[derive(Debug)]
pub(crate) struct Running {
    /// Whom to ask.
    pub(crate) addr: SocketAddr,
    child: Mutex<Option<Child>>,
    /// How it was started.
    command: Mutex<Command>,
    dir: TempDir,
}

impl Running {
    /// Starts a server that will listen on `port`, and waits until it does. `dir` goes with it.
    ///
    /// # Errors
    /// When it does not start; what it said is part of the error.
    pub(crate) fn start(
        name: &str,
        mut command: Command,
        (dir, port): (TempDir, u16),
    ) -> anyhow::Result<Self> {
        let log = File::create(dir.path().join("server.log"))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let running = Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            child: Mutex::default(),
            command: Mutex::new(command),
            dir,
        };
        running
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        running
            .await_listening()
            .with_context(|| format!("{name} does not serve"))?;
        Ok(running)
    }

    /// What is no program: whoever listens at `addr` already. `dir` goes with it.
    pub(super) fn none(addr: SocketAddr, dir: TempDir) -> Self {
        Self {
            addr,
            child: Mutex::default(),
            command: Mutex::new(Command::new("true")),
            dir,
        }
    }

    /// The process that all others of it descend from; `None` for direct.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child().as_ref().map(Child::id)
    }

    /// Its folder, which its cache is in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The end of what it said.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(self.dir.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]).into_owned()
    }

    /// Ends it, as an operator would.
    pub(crate) fn end(&self) {
        if let Some(mut child) = self.child().take() {
            end(&mut child, GRACE);
        }
    }

    /// Starts it again as it was started, on the same folder and port. Whether it listens yet is
    /// for the caller to find out.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn spawn(&self) -> anyhow::Result<()> {
        let mut command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        *self.child() = Some(child);
        Ok(())
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn await_listening(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            if let Some(child) = self.child().as_mut()
                && let Some(status) = child.try_wait()?
            {
                anyhow::bail!("it ended with {status} and said:\n{}", self.log());
            }
            anyhow::ensure!(start.elapsed() < GRACE, "it said:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            end(&mut child, BRIEF);
        }
    }
}

/// Ends a process and its group: by SIGTERM, then, after `grace`, by SIGKILL.
fn end(child: &mut Child, grace: Duration) {
    let group = Pid::from_child(child);
    for (signal, patience) in [
        (Signal::TERM, grace),
        (Signal::KILL, GRACE),
        (Signal::KILL, GRACE),
    ] {
        let _ = rustix::process::kill_process_group(group, signal);
        let pause = Instant::now();
        while pause.elapsed() < patience {
            if !matches!(child.try_wait(), Ok(None)) {
                // Nothing of the group may outlive its leader.
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
