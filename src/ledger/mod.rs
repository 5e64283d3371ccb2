//! What moved, for whom, and how it ended.
//!
//! Every HTTP exchange, on every leg, leaves exactly one [`Receipt`]: it is drafted when the
//! exchange starts and sealed at the body's end, its cancellation, its reset or its failure. A
//! [`Draft`] that is dropped seals itself as cancelled, so none can be forgotten. Every connection
//! leaves one [`Connection`], by the drop of its [`OpenConnection`].
//!
//! Beside the receipts, which say what crossed, the [`Books`] say what became of it: each body of an
//! upstream or a client has an [`Account`] whose two sides must agree.

mod account;
mod books;
mod cache;
mod connection;
mod deposit;
mod draft;
mod fate;
mod format;
mod journal;
mod meter;
mod names;
mod receipt;
mod record;
#[cfg(test)]
mod tests;
mod transit;
mod window;
mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use account::{Account, Unspent};
pub use books::Books;
pub use connection::{Connection, OpenConnection};
pub use deposit::{Deposit, Subject};
pub use draft::Draft;
pub use fate::{Fate, Reason, Source};
pub use journal::{Journal, Rotation};
pub use meter::Meter;
pub use names::{Action, Cdn, End, Leg, Move, Origin, Protocol};
pub use receipt::{FlowId, Mount, Receipt};
pub use record::{Dropped, Header, Record, Run, VERSION};
pub use transit::Transit;
pub use window::Window;
pub use wire::Counted;

use books::Totals;

/// Where the books are kept, besides the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The journal's file; `None` for no journal.
    pub journal: Option<PathBuf>,
    /// How large its files grow, and how many there are.
    pub rotation: Rotation,
}

/// Somebody who wants to know what is entered: a journal, the metrics.
///
/// It is called where bytes are moved, by many threads at once: it must return soon, and wait for
/// nothing.
pub trait Sink: fmt::Debug + Send + Sync {
    /// An exchange has ended.
    fn exchange(&self, receipt: &Receipt);

    /// A connection has ended.
    fn connection(&self, connection: &Connection);

    /// A window has become larger or smaller.
    fn window(&self, _window: &Window) {}
}

/// Where receipts go. Cheap to clone; all clones write the same books.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    sinks: Arc<[Arc<dyn Sink>]>,
    totals: Arc<Totals>,
}

impl Ledger {
    /// Books that are kept in the log only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Books that `sinks` are told of too.
    pub fn with(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Self {
            sinks: sinks.into(),
            totals: Arc::default(),
        }
    }

    /// Tells that a window has become larger or smaller.
    pub fn window(&self, window: &Window) {
        for sink in &*self.sinks {
            sink.window(window);
        }
    }

    /// What became of all body bytes until now.
    pub fn books(&self) -> Books {
        self.totals.books()
    }

    /// Enters a sealed receipt, and logs it: `info` for what we answered, `debug` for what we
    /// asked.
    fn exchange(&self, receipt: &Receipt) {
        match receipt.leg {
            Leg::Client => log!(info, "tidegate::access", receipt),
            Leg::Upstream | Leg::Target | Leg::Tap => log!(debug, "tidegate::ledger", receipt),
        }
        for sink in &*self.sinks {
            sink.exchange(receipt);
        }
    }

    /// Enters a connection that has ended.
    fn connection(&self, connection: &Connection) {
        for sink in &*self.sinks {
            sink.connection(connection);
        }
    }
}

/// A receipt as a log line, each figure a field of its own.
macro_rules! log {
    ($level:ident, $target:literal, $receipt:ident) => {
        tracing::$level!(
            target: $target,
            upstream = &*$receipt.registry,
            repository = &*$receipt.repository,
            reference = &*$receipt.reference,
            status = $receipt.status,
            origin = $receipt.origin.map(Origin::as_str),
            bytes = $receipt.response_bytes,
            duration_us = u64::try_from($receipt.duration.as_micros()).unwrap_or(u64::MAX),
            end = $receipt.end.as_str(),
            host = &*$receipt.host,
            user = $receipt.user.as_deref(),
            "{} {}", $receipt.method, $receipt.action
        )
    };
}
use log;

#[cfg(test)]
mod documented;
