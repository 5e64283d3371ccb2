//! Real programs that end with the test, however the test ends.

mod books;
pub(crate) mod docker_registry;
mod proc_files;
pub(crate) mod tidegate;

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::process::kill_process_group;

use crate::record::PATIENCE;

/// How often a program is looked at while it is waited for.
const GLANCE: Duration = Duration::from_millis(10);

/// A running program, in a process group of its own, its output in files. The group is killed when
/// this is dropped, and also when the test dies without dropping anything.
///
/// For the latter the group has a leader of our own: a shell that waits for the end of a pipe
/// which only this process holds, and then kills its group. As the leader lives as long as this
/// guard, the group's number can't have passed to anybody else when it is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    leader: Child,
    output: tempfile::TempDir,
    status: Option<ExitStatus>,
}

/// A program that isn't started yet.
#[derive(Debug)]
pub struct ProcessBuilder {
    name: String,
    command: Command,
}

impl ProcessBuilder {
    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Sets an environment variable; the others are inherited.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Removes an inherited environment variable.
    pub fn env_remove(mut self, key: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(key);
        self
    }

    /// Starts it in this folder.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// Where the program can't be started, with its name.
    pub fn spawn(mut self) -> Process {
        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("a file for the output");
        let leader = Command::new("sh")
            .args(["-c", "read -r _; kill -KILL 0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let group = i32::try_from(leader.id()).expect("a process id");
        let command = self.command.stdin(Stdio::null()).process_group(group);
        let child = command
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        let child = child.unwrap_or_else(|error| {
            kill_group(&leader);
            panic!("can't start '{}': {error}", self.name)
        });
        Process {
            name: self.name,
            child,
            leader,
            output,
            status: None,
        }
    }
}

impl Process {
    /// A program, by its path or by its name in `PATH`.
    pub fn command(program: impl AsRef<OsStr>) -> ProcessBuilder {
        let name = program.as_ref().to_string_lossy().into_owned();
        ProcessBuilder {
            name,
            command: Command::new(program),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stdout until now.
    pub fn stdout(&self) -> String {
        read(&self.stdout_file())
    }

    /// What it wrote to stderr until now.
    pub fn stderr(&self) -> String {
        read(&self.stderr_file())
    }

    /// The file with its stdout.
    pub fn stdout_file(&self) -> PathBuf {
        self.output.path().join("stdout")
    }

    /// The file with its stderr.
    pub fn stderr_file(&self) -> PathBuf {
        self.output.path().join("stderr")
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .try_wait()
                .expect("our own child can be waited for");
        }
        self.status
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    /// After [`PATIENCE`], or when the program ends, with its output.
    pub async fn wait_ready(&mut self, ready: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !ready(self).await {
            let ended = self.exit_status();
            let late = Instant::now() > deadline;
            if let Some(status) = ended.filter(|_| !late) {
                panic!(
                    "'{}' ended ({status}) before it was ready:\n{}",
                    self.name,
                    self.output()
                );
            }
            assert!(
                !late,
                "'{}' wasn't ready after {PATIENCE:?}:\n{}",
                self.name,
                self.output()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// After `limit`, with its output.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            let late = Instant::now() > deadline;
            assert!(
                !late,
                "'{}' still runs after {limit:?}:\n{}",
                self.name,
                self.output()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to reload (SIGHUP).
    pub fn hang_up(&mut self) {
        self.signal(Signal::HUP);
    }

    /// Interrupts it, as Ctrl-C does (SIGINT).
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// Ends it at once (SIGKILL), its group too, and waits until it is gone.
    pub fn kill(&mut self) {
        kill_group(&self.leader);
        if self.status.is_none() {
            self.status = self.child.wait().ok();
        }
    }

    /// Stops it where it is (SIGSTOP), until it is told to go on.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after a freeze (SIGCONT).
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            // It may have become a zombie since, which takes any signal; it is still ours.
            let _ = kill_process(pid(&self.child), signal);
        }
    }

    /// The most memory it ever had (`VmHWM`), in bytes; 0 once it ended.
    pub fn peak_rss(&self) -> u64 {
        proc_files::peak_rss(self.pid())
    }

    /// How many file descriptors it has open; 0 once it ended.
    pub fn descriptors(&self) -> usize {
        proc_files::descriptors(self.pid())
    }

    /// Processor time that it used until now, in user and system mode, in seconds; 0 once it
    /// ended.
    pub fn cpu_seconds(&self) -> f64 {
        proc_files::cpu_seconds(self.pid())
    }

    fn output(&self) -> String {
        format!("{}{}", self.stdout(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        let _ = self.leader.wait();
    }
}

fn kill_group(leader: &Child) {
    let _ = kill_process_group(pid(leader), Signal::KILL);
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Whether `program` is in `PATH`, or where servers are.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut files = folders.map(|folder| folder.join(program));
    files.any(|file| file.is_file())
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
}
