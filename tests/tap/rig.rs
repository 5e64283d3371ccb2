//! The tap as a program, and what it wrote down.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use fake_registry::Process;
use fake_registry::ProcessBuilder;
use tempfile::TempDir;
use tidegate::ledger::Connection;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;
use tidegate::ledger::Run;

const TIDEGATE: &str = env!("CARGO_BIN_EXE_tidegate");
/// How long a tool may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder for a tap's authority and its journal.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
}

/// A tap that waits for tools.
pub(crate) struct Tap {
    rig: Rig,
    process: Process,
    address: String,
}

/// A tool that ran, with its traffic measured.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    /// Of the tool and the tap, but for the summary.
    pub(crate) stderr: String,
    pub(crate) summary: String,
    pub(crate) books: Books,
}

/// A journal.
#[derive(Debug)]
pub(crate) struct Books(pub(crate) Vec<Record>);

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("tap-").unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The tap's own authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca/ca.crt")
    }

    /// `tidegate tap`, with a journal and an authority of its own.
    pub(crate) fn tap(&self, arguments: &[&str]) -> ProcessBuilder {
        Process::command(TIDEGATE)
            .arg("tap")
            .arg("--ca-dir")
            .arg(self.path("ca"))
            .arg("--journal")
            .arg(self.path("journal.jsonl"))
            .args(arguments)
            .env_remove("HTTPS_PROXY")
            .folder(self.folder.path())
    }

    /// Runs `command` through a tap that trusts `ca`, too.
    pub(crate) async fn run(&self, ca: Option<&Path>, command: &[&str]) -> Ran {
        let mut tap = self.tap(&["--quiet"]);
        if let Some(ca) = ca {
            tap = tap.arg("--upstream-ca").arg(ca);
        }
        let mut process = tap.arg("--").args(command).spawn();
        let status = process.wait(PATIENCE).await;
        let said = process.stderr();
        let (stderr, summary) = said.split_once("\n# Report\n").unwrap_or((&said, ""));
        Ran {
            code: status.code().expect("an exit code"),
            stdout: process.stdout(),
            stderr: stderr.to_owned(),
            summary: summary.to_owned(),
            books: self.take_books(),
        }
    }

    /// What the journal says; the next one begins anew.
    pub(crate) fn take_books(&self) -> Books {
        let path = self.path("journal.jsonl");
        let books = Books::read(&path);
        std::fs::rename(path, self.path("taken.jsonl")).unwrap();
        books
    }

    /// What `tidegate report` says of the journal that was taken last.
    pub(crate) async fn report(&self) -> serde_json::Value {
        let arguments = ["report", "--format", "json", "taken.jsonl"];
        let report = Process::command(TIDEGATE).args(arguments);
        let mut report = report.folder(self.folder.path()).spawn();
        let status = report.wait(PATIENCE).await;
        assert!(status.success(), "{}", report.stderr());
        let report: serde_json::Value = serde_json::from_str(&report.stdout()).unwrap();
        report["journals"][0].clone()
    }
}

impl Tap {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let rig = Rig::new();
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        let mut process = rig.tap(&all).spawn();
        const PHRASE: &str = "listening on http://";
        let said = |process: &Process| {
            let log = process.stderr();
            let (_, rest) = log.split_once(PHRASE)?;
            let (address, _) = rest.split_once('\n')?;
            Some(address.trim().to_owned())
        };
        process
            .wait_ready(async |process| said(process).is_some())
            .await;
        let address = said(&process).unwrap();
        Self {
            rig,
            process,
            address,
        }
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// As tools want it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The tap's own authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.rig.ca()
    }

    pub(crate) async fn wait_for_log(&mut self, text: &str) {
        let said = async |process: &Process| process.stderr().contains(text);
        self.process.wait_ready(said).await;
    }

    /// Waits until its journal is as `enough` says.
    pub(crate) async fn wait_for(&mut self, enough: impl Fn(&Books) -> bool) {
        let path = self.rig.path("journal.jsonl");
        self.process
            .wait_ready(async |_| enough(&Books::read(&path)))
            .await;
    }

    /// Ends it; what it wrote down.
    pub(crate) async fn end(mut self) -> Books {
        self.process.terminate();
        let status = self.process.wait(PATIENCE).await;
        assert!(status.success(), "{}", self.process.stderr());
        self.rig.take_books()
    }
}

impl Books {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        Self(
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    pub(crate) fn exchanges(&self) -> Vec<&Receipt> {
        let all = self.0.iter().filter_map(|record| match record {
            Record::Exchange(receipt) => Some(receipt),
            _ => None,
        });
        all.inspect(|receipt| assert_eq!(receipt.leg, Leg::Tap))
            .collect()
    }

    /// The only exchange.
    pub(crate) fn exchange(&self) -> &Receipt {
        let all = self.exchanges();
        assert_eq!(all.len(), 1, "{self:#?}");
        all[0]
    }

    pub(crate) fn connections(&self, leg: Leg) -> Vec<&Connection> {
        let all = self.0.iter().filter_map(|record| match record {
            Record::Connection(connection) => Some(connection),
            _ => None,
        });
        all.filter(|connection| connection.leg == leg).collect()
    }

    /// The only connection of `leg`.
    pub(crate) fn connection(&self, leg: Leg) -> &Connection {
        let all = self.connections(leg);
        assert_eq!(all.len(), 1, "{self:#?}");
        all[0]
    }

    pub(crate) fn run(&self) -> &Run {
        let mut all = self.0.iter().filter_map(|record| match record {
            Record::Run(run) => Some(run),
            _ => None,
        });
        all.next().expect("a command that ran")
    }
}
