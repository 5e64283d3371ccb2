use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::FlowId;
use super::Ledger;
use super::Receipt;
use super::names::{Action, End, Leg, Protocol};

/// A receipt that is still being written: sealed by [`Draft::seal`], or, as cancelled, by a drop.
#[derive(Debug)]
pub struct Draft {
    /// What is known so far.
    pub receipt: Receipt,
    started: Instant,
    ledger: Ledger,
    sealed: bool,
}

impl Draft {
    /// A receipt for an exchange that starts now.
    pub fn begin(ledger: &Ledger, leg: Leg, flow: FlowId, method: http::Method) -> Self {
        let receipt = Receipt {
            ts: SystemTime::now(),
            duration: Duration::ZERO,
            ttfb: None,
            leg,
            flow,
            registry: Arc::default(),
            host: Arc::default(),
            user: None,
            repository: Arc::default(),
            reference: Arc::default(),
            action: Action::Other,
            method,
            status: 0,
            protocol: Protocol::H1,
            request_bytes: 0,
            response_bytes: 0,
            end: End::Cancelled,
            origin: None,
            mount: None,
            cdn: None,
            age: None,
        };
        Self {
            receipt,
            started: Instant::now(),
            ledger: ledger.clone(),
            sealed: false,
        }
    }

    /// Counts `bytes` of the response's body; the first ones set the time to first byte.
    pub fn count(&mut self, bytes: usize) {
        if self.receipt.ttfb.is_none() {
            self.receipt.ttfb = Some(self.started.elapsed());
        }
        self.receipt.response_bytes += bytes as u64;
    }

    /// Enters the receipt with the given end.
    pub fn seal(mut self, end: End) {
        self.close(end);
    }

    fn close(&mut self, end: End) {
        if !self.sealed {
            self.sealed = true;
            self.receipt.end = end;
            self.receipt.duration = self.started.elapsed();
            self.ledger.exchange(&self.receipt);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.close(End::Cancelled);
    }
}
