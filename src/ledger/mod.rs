//! What moved, for whom, and how it ended.
//!
//! Every HTTP exchange, on every leg, leaves exactly one [`Receipt`]: it is drafted when the
//! exchange starts and sealed at the body's end, its cancellation, its reset or its failure. A
//! [`Draft`] that is dropped seals itself as cancelled, so none can be forgotten.

mod meter;
mod receipt;

pub use meter::Meter;
pub use receipt::{Action, Draft, End, FlowId, Leg, Origin, Protocol, Receipt};

/// Where receipts go. Cheap to clone; all clones write the same books.
#[derive(Clone, Debug, Default)]
pub struct Ledger {}

impl Ledger {
    /// Books without any entry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a sealed receipt: one log line, `info` for what we answered, `debug` for what we
    /// asked.
    fn record(&self, receipt: &Receipt) {
        match receipt.leg {
            Leg::Client => log!(info, "tidegate::access", receipt),
            Leg::Upstream | Leg::Target | Leg::Tap => log!(debug, "tidegate::ledger", receipt),
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
