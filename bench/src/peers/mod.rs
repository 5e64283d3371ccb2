//! The systems that are held side by side: how each is configured, started and ended.

use std::fs::File;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use rustix::process::Pid;
use rustix::process::Signal;
use tempfile::TempDir;

mod direct;
mod distribution;
mod nginx;
pub(crate) mod tidegate;
mod upstream;

pub(crate) use upstream::Upstream;

/// How long a server may take to listen, and to end.
const GRACE: Duration = Duration::from_secs(15);

/// One of the systems.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Peer {
    /// No proxy at all: the clients ask the origin.
    Direct,
    /// nginx with `proxy_cache`.
    Nginx,
    /// Distribution's registry as a mirror.
    Distribution,
    /// The one that this is all about: the path of the binary.
    Tidegate(PathBuf),
    /// The same, which writes a journal besides.
    Journalled(PathBuf),
}

/// What a system's start needs to know.
#[derive(Debug)]
struct Place<'a> {
    /// An empty folder of its own.
    dir: &'a Path,
    /// The port to listen on.
    port: u16,
    /// Where the content is.
    origin: &'a Upstream,
}

/// A running system. A drop ends it and removes its folder.
#[derive(Debug)]
pub(crate) struct Running {
    /// Whom to ask.
    pub(crate) addr: SocketAddr,
    child: Option<Child>,
    dir: TempDir,
}

impl Peer {
    /// The name of [`Peer::Journalled`].
    pub(crate) const JOURNALLED: &'static str = "tidegate + journal";

    /// All systems, in the order of the table's columns.
    pub(crate) fn all(tidegate: Option<PathBuf>) -> Vec<Self> {
        let mut all = vec![Self::Direct, Self::Nginx, Self::Distribution];
        all.extend(tidegate.clone().map(Self::Tidegate));
        all.extend(tidegate.map(Self::Journalled));
        all
    }

    /// Its column's head.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Distribution => "docker-registry",
            Self::Tidegate(_) => "tidegate",
            Self::Journalled(_) => Self::JOURNALLED,
        }
    }

    /// What it is, and in which version.
    ///
    /// # Errors
    /// When it is not installed; says how to install it.
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        match self {
            Self::Direct => Ok(direct::VERSION.to_owned()),
            Self::Nginx => said(Command::new(nginx::PROGRAM).arg("-v"), nginx::INSTALL),
            Self::Distribution => {
                let mut command = Command::new(distribution::PROGRAM);
                said(command.arg("--version"), distribution::INSTALL)
            }
            Self::Tidegate(path) | Self::Journalled(path) => {
                said(Command::new(path).arg("--version"), tidegate::INSTALL)
            }
        }
    }

    /// What it can't do, or does otherwise than the others.
    pub(crate) fn limits(&self) -> &'static str {
        match self {
            Self::Direct => direct::LIMITS,
            Self::Nginx => nginx::LIMITS,
            Self::Distribution => distribution::LIMITS,
            Self::Tidegate(_) | Self::Journalled(_) => tidegate::LIMITS,
        }
    }

    /// Starts it with an empty cache in a new folder below `parent`, and waits until it listens.
    ///
    /// # Errors
    /// When it does not start; what it said is part of the error.
    pub(crate) fn start(&self, parent: &Path, origin: &Upstream) -> anyhow::Result<Running> {
        let dir = folder(parent)?;
        let port = free_port()?;
        let place = Place {
            dir: dir.path(),
            port,
            origin,
        };
        let command = match self {
            Self::Direct => None,
            Self::Nginx => Some(nginx::command(&place)?),
            Self::Distribution => Some(distribution::command(&place)?),
            Self::Tidegate(path) => Some(tidegate::command(path, &place, "")?),
            Self::Journalled(path) => Some(tidegate::command(path, &place, tidegate::JOURNAL)?),
        };
        match command {
            Some(command) => Running::start(self.name(), command, (dir, port)),
            None => Ok(Running {
                addr: origin.addr,
                child: None,
                dir,
            }),
        }
    }
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
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{name} does not start"))?;
        let mut running = Self {
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            child: Some(child),
            dir,
        };
        running
            .await_listening()
            .with_context(|| format!("{name} does not serve"))?;
        Ok(running)
    }

    /// The process that all others of it descend from; `None` for direct.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
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

    fn await_listening(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.addr).is_err() {
            if let Some(child) = &mut self.child
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
        let Some(child) = &mut self.child else {
            return;
        };
        let group = Pid::from_child(child);
        let mut signal = Signal::TERM;
        let start = Instant::now();
        loop {
            let _ = rustix::process::kill_process_group(group, signal);
            let pause = Instant::now();
            while pause.elapsed() < GRACE {
                if !matches!(child.try_wait(), Ok(None)) {
                    // Nothing of the group may outlive its leader.
                    let _ = rustix::process::kill_process_group(group, Signal::KILL);
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            signal = Signal::KILL;
            if start.elapsed() > GRACE * 3 {
                return;
            }
        }
    }
}

/// An empty folder of its own for a system.
pub(crate) fn folder(parent: &Path) -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("tidegate-bench-")
        .tempdir_in(parent)
        .with_context(|| format!("no folder can be made in {}", parent.display()))
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// The first line of what `command` says, on whichever stream.
fn said(command: &mut Command, install: &str) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("{:?} does not run; {install}", command.get_program()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
