use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Deserialize;
use serde::Serialize;

use super::Ledger;
use super::format;
use super::names::Leg;

/// One connection, as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// When it was made. In a journal: RFC 3339, UTC, to the microsecond.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
    /// From then to its end.
    #[serde(rename = "duration_us", with = "format::micros")]
    pub duration: Duration,
    /// Who talked to whom.
    pub leg: Leg,
    /// The upstream's or target's name; empty where none was concerned.
    pub registry: Arc<str>,
    /// Host and port that were talked to; for a client's connection, the client's address.
    pub host: Arc<str>,
    /// Bytes that the socket took, below TLS.
    pub tx: u64,
    /// Bytes that the socket gave, below TLS.
    pub rx: u64,
    /// Whether it spoke TLS.
    pub tls: bool,
}

/// A connection that is still open; its drop enters the record.
#[derive(Debug)]
pub struct OpenConnection {
    /// What is known so far.
    pub connection: Connection,
    started: Instant,
    ledger: Ledger,
}

impl OpenConnection {
    /// A connection that is made now, with `host`.
    pub fn begin(ledger: &Ledger, leg: Leg, host: Arc<str>) -> Self {
        let connection = Connection {
            ts: SystemTime::now(),
            duration: Duration::ZERO,
            leg,
            registry: Arc::default(),
            host,
            tx: 0,
            rx: 0,
            tls: false,
        };
        Self {
            connection,
            started: Instant::now(),
            ledger: ledger.clone(),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connection.duration = self.started.elapsed();
        self.ledger.connection(&self.connection);
    }
}
