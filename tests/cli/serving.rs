//! A `tidegate serve` that runs beside the test.

use std::io::BufRead as _;
use std::io::BufReader;
use std::net::SocketAddr;
use std::process::Child;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;

use super::Place;

const PATIENCE: Duration = Duration::from_secs(30);

/// It is killed with this.
pub(crate) struct Serving {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub(crate) front: SocketAddr,
    pub(crate) admin: Option<SocketAddr>,
}

impl Serving {
    /// Starts one that must get as far as listening.
    #[track_caller]
    pub(crate) fn start(place: &Place, args: &str) -> Self {
        let mut command = place.command(&format!("{args} serve"));
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(line)));
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut serving = Self {
            child,
            lines,
            front: nowhere,
            admin: None,
        };
        serving.front = serving.address_after("listening on http://");
        serving
    }

    /// Also waits for the admin listener.
    #[track_caller]
    pub(crate) fn with_admin(place: &Place, args: &str) -> Self {
        let mut serving = Self::start(place, args);
        serving.admin = Some(serving.address_after("admin on http://"));
        serving
    }

    #[track_caller]
    fn address_after(&self, phrase: &str) -> SocketAddr {
        let line = self.line_with(phrase);
        let (_, rest) = line.split_once(phrase).expect("the phrase");
        let end = rest.find(['"', ' ']).unwrap_or(rest.len());
        rest[..end].parse().expect("an address")
    }

    /// Waits for a line of the log that has `part`.
    #[track_caller]
    pub(crate) fn line_with(&self, part: &str) -> String {
        let mut before = String::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => before.push_str(&format!("{line}\n")),
                Err(error) => panic!("no '{part}' in the log ({error}):\n{before}"),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end: the exit code, and the rest of the log.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let log: String = self.rest().map(|line| format!("{line}\n")).collect();
        let status = self.child.wait().expect("an end");
        (status.code(), log)
    }

    /// The lines until stderr is closed, which is at the end of the process.
    fn rest(&self) -> impl Iterator<Item = String> {
        std::iter::from_fn(|| match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end"),
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
