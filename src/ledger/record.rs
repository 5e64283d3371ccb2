use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::Serialize;

use super::Connection;
use super::Receipt;
use super::Window;
use super::format;

/// The version of the journals that are written here. A reader refuses a newer one: what it does
/// not know could change the meaning of what it knows.
pub const VERSION: u32 = 1;

/// One line of a journal. Every file begins with [`Record::Journal`]; a reader skips lines whose
/// `kind` it doesn't know, and fields that it doesn't know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// What the file is.
    Journal(Header),
    /// An HTTP exchange.
    Exchange(Receipt),
    /// A connection.
    Connection(Connection),
    /// A command that ran with its traffic measured.
    Run(Run),
    /// How many requests may be in flight at a registry, from then on.
    Window(Window),
    /// Records that are missing here.
    Dropped(Dropped),
}

/// The first line of a journal's file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub version: u32,
    /// Who writes it.
    pub program: String,
    /// When the file was begun.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
}

/// A command that ran with its traffic measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// When it was started.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
    /// From then to its end.
    #[serde(rename = "duration_us", with = "format::micros")]
    pub duration: Duration,
    /// Its name, and its arguments, of which those that look like secrets are left out.
    pub command: Vec<String>,
    /// Its exit code; for one that a signal ended, 128 and the signal's number.
    pub exit_code: i32,
    /// The CPU time that it and its children took, in user space and in the kernel.
    #[serde(rename = "cpu_us", with = "format::micros")]
    pub cpu: Duration,
    /// The most memory that it and its children held at once, in bytes.
    pub peak_rss: u64,
}

/// Records that came faster than they could be written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// When this was noticed.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
    /// How many.
    pub records: u64,
}

impl Header {
    /// Of a file that is begun now.
    pub fn now() -> Self {
        Self {
            version: VERSION,
            program: concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned(),
            ts: SystemTime::now(),
        }
    }
}
