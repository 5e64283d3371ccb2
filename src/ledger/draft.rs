use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Account;
use super::FlowId;
use super::Ledger;
use super::Receipt;
use super::Transit;
use super::account::Side;
use super::names::{Action, End, Leg, Protocol};

/// A receipt that is still being written: sealed by [`Draft::seal`], or, as cancelled, by a drop.
#[derive(Debug)]
pub struct Draft {
    /// What is known so far.
    pub receipt: Receipt,
    started: Instant,
    ledger: Ledger,
    account: Option<Account>,
    request: Option<Account>,
    transit: Option<Transit>,
    sealed: bool,
}

/// A receipt that is about to be entered.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) receipt: Receipt,
    started: Instant,
    ledger: Ledger,
    account: Option<Account>,
    request: Option<Account>,
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
            account: None,
            request: None,
            transit: None,
            sealed: false,
        }
    }

    /// The account of the response's body, opened by the first call: from then on, somebody is to
    /// say what becomes of each byte that is counted here.
    pub fn account(&mut self) -> Account {
        let open = || Account::open(&self.ledger.totals, Side::Response);
        self.account.get_or_insert_with(open).clone()
    }

    /// The account of the request's body, as [`Draft::account`] is the response's: of what targets
    /// are sent, which alone is in the books; `None` on other legs.
    pub fn request_account(&mut self) -> Option<Account> {
        if self.receipt.leg == Leg::Target {
            let open = || Account::open(&self.ledger.totals, Side::Request);
            self.request.get_or_insert_with(open);
        }
        self.request.clone()
    }

    /// From now on, bytes that are counted here may still be lost on their way.
    pub fn transit(&mut self) -> Transit {
        self.transit.get_or_insert_default().clone()
    }

    /// Counts `bytes` of the response's body; the first ones set the time to first byte.
    pub fn count(&mut self, bytes: usize) {
        if self.receipt.ttfb.is_none() {
            self.receipt.ttfb = Some(self.started.elapsed());
        }
        self.receipt.response_bytes += bytes as u64;
    }

    /// Enters the receipt with the given end; where there is a [`Transit`], once that is over.
    pub fn seal(mut self, end: End) {
        self.close(end);
    }

    fn close(&mut self, end: End) {
        if self.sealed {
            return;
        }
        self.sealed = true;
        self.receipt.end = end;
        let entry = Entry {
            receipt: self.receipt.clone(),
            started: self.started,
            ledger: self.ledger.clone(),
            account: self.account.take(),
            request: self.request.take(),
        };
        match self.transit.take() {
            Some(transit) => transit.seal(entry),
            None => entry.enter(),
        }
    }
}

impl Entry {
    /// Tells the ledger, then closes this side of the accounts.
    pub(super) fn enter(mut self) {
        self.receipt.duration = self.started.elapsed();
        self.ledger.exchange(&self.receipt);
        if let Some(request) = self.request {
            request.crossed(self.receipt.clone());
        }
        if let Some(account) = self.account {
            account.crossed(self.receipt);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.close(End::Cancelled);
    }
}
