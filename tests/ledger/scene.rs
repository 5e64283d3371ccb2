//! A tidegate with a journal, and what it wrote there.

use std::path::Path;
use std::time::Duration;

use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Tidegate;
use tidegate::ledger::Connection;
use tidegate::ledger::Leg;
use tidegate::ledger::Receipt;
use tidegate::ledger::Record;

pub(crate) const NAME: &str = "library/thing";

pub(crate) struct Scene {
    pub(crate) tidegate: Tidegate,
}

/// What is set besides where the upstream is.
#[derive(Default)]
pub(crate) struct Settings<'p> {
    /// The authority of the front's certificate, where it speaks TLS.
    pub(crate) front: Option<&'p Pki>,
    /// The authority of the upstream's certificate.
    pub(crate) upstream: Option<&'p Pki>,
    /// More lines of `[server]`.
    pub(crate) server: &'p str,
    /// More lines of `[ledger]`.
    pub(crate) ledger: &'p str,
    /// More lines at the beginning, and of the upstream.
    pub(crate) defaults: &'p str,
}

impl Settings<'_> {
    pub(crate) fn config(&self, upstream: &str) -> String {
        let tls = self.front.map(|pki| {
            let leaf = pki.server(&[]);
            format!(
                "tls = {{ cert = {:?}, key = {:?} }}\n",
                leaf.cert_file, leaf.key_file
            )
        });
        let ca = self
            .upstream
            .map(|pki| format!("ca = {:?}\n", pki.ca_file()));
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{}{}\n\
             [ledger]\njournal = \"journal.jsonl\"\n{}\n\
             [defaults]\n{}\n\
             [[upstream]]\nname = \"docker.io\"\nurl = {upstream:?}\nplain_http = true\n\
             default = true\ncredentials = \"anonymous\"\n{}",
            tls.unwrap_or_default(),
            self.server,
            self.ledger,
            self.defaults,
            ca.unwrap_or_default(),
        )
    }
}

impl Scene {
    pub(crate) async fn start(upstream: &str, settings: Settings<'_>) -> Self {
        let config = settings.config(upstream);
        let tidegate = Tidegate::start(env!("CARGO_BIN_EXE_tidegate"), &config).await;
        Self { tidegate }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.tidegate.process_mut()
    }

    /// Ends it, and reads its journal.
    pub(crate) async fn end(&mut self) -> Books {
        self.process().thaw();
        self.process().terminate();
        self.books_at_its_end().await
    }

    /// Its journal, once it has ended by itself.
    pub(crate) async fn books_at_its_end(&mut self) -> Books {
        let status = self.process().wait(Duration::from_secs(60)).await;
        assert_eq!(status.code(), Some(0), "{}", self.tidegate.log());
        read(&self.tidegate.folder().join("journal.jsonl"))
    }
}

/// What a journal holds.
#[derive(Debug)]
pub(crate) struct Books(pub(crate) Vec<Record>);

/// Reads a journal's file, all of whose lines must be right.
pub(crate) fn read(path: &Path) -> Books {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is cut: {text}");
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let records: Vec<Record> = text.lines().map(parse).collect();
    assert!(matches!(records[0], Record::Journal(_)), "{text}");
    Books(records)
}

impl Books {
    pub(crate) fn exchanges(&self, leg: Leg) -> Vec<&Receipt> {
        let mut found = Vec::new();
        for record in &self.0 {
            if let Record::Exchange(receipt) = record
                && receipt.leg == leg
            {
                found.push(receipt);
            }
        }
        found
    }

    pub(crate) fn connections(&self, leg: Leg) -> Vec<&Connection> {
        let mut found = Vec::new();
        for record in &self.0 {
            if let Record::Connection(connection) = record
                && connection.leg == leg
            {
                found.push(connection);
            }
        }
        found
    }

    /// The only connection of `leg`.
    pub(crate) fn connection(&self, leg: Leg) -> &Connection {
        let all = self.connections(leg);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0]
    }
}
