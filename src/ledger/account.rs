use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Receipt;
use super::books::Totals;
use super::deposit::Deposit;
use super::deposit::Subject;
use super::fate::Fate;
use super::fate::Reason;

/// One body's account, a response's or a request's: what crossed, as its receipt says, against what became of it, as those say
/// who moved its bytes. All clones are the same account.
///
/// It is closed when the last clone is dropped, in whatever order that happens. If the two sides
/// differ then, the difference is added to [`super::Books::imbalance`], and logged as an error: that
/// is a bug of ours.
#[derive(Clone, Debug)]
pub struct Account(Arc<Sheet>);

#[derive(Debug)]
struct Sheet {
    totals: Arc<Totals>,
    side: Side,
    entered: [AtomicU64; Fate::COUNT],
    crossed: OnceLock<Receipt>,
}

/// Which body of an exchange an account is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

impl Account {
    /// Of a body of which nothing has crossed yet.
    pub(super) fn open(totals: &Arc<Totals>, side: Side) -> Self {
        totals.open();
        Self(Arc::new(Sheet {
            totals: totals.clone(),
            side,
            entered: [const { AtomicU64::new(0) }; Fate::COUNT],
            crossed: OnceLock::new(),
        }))
    }

    /// What became of `bytes` of the body. Costs one atomic addition; none where there are none.
    pub fn enter(&self, fate: Fate, bytes: u64) {
        if bytes > 0 {
            self.0.entered[fate.index()].fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes were thrown away.
    pub fn discard(&self, reason: Reason, bytes: u64) {
        self.enter(Fate::Discarded(reason), bytes);
    }

    /// What came of the body, or was sent of it, and whose fate is open: none so far.
    pub fn unspent(&self) -> Unspent {
        self.unspent_of(0)
    }

    /// As [`Account::unspent`], of which so many bytes have crossed already.
    pub fn unspent_of(&self, bytes: u64) -> Unspent {
        Unspent {
            account: self.clone(),
            bytes,
        }
    }

    /// A deposit of what is kept of this body and others, for `subject`.
    pub fn deposit(&self, subject: Subject) -> Deposit {
        Deposit::open(&self.0.totals, subject)
    }

    /// The receipt says what crossed.
    pub(super) fn crossed(&self, receipt: Receipt) {
        let _ = self.0.crossed.set(receipt);
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        let mut entered = 0;
        for fate in Fate::all() {
            let bytes = *self.entered[fate.index()].get_mut();
            self.totals.enter(self.side, fate, bytes);
            entered += bytes;
        }
        let crossed = self.crossed.get().map_or(0, |it| self.side.bytes(it));
        if let Some(receipt) = self.crossed.get() {
            self.totals.cross(self.side, receipt.leg, crossed);
        }
        if entered != crossed {
            self.complain(crossed, entered);
        }
        self.totals.close(entered.abs_diff(crossed));
    }
}

impl Sheet {
    fn complain(&self, crossed: u64, entered: u64) {
        let Some(receipt) = self.crossed.get() else {
            tracing::error!(entered, "{UNBALANCED}: bytes without a receipt");
            return;
        };
        tracing::error!(
            leg = receipt.leg.as_str(),
            flow = ?receipt.flow,
            upstream = &*receipt.registry,
            repository = &*receipt.repository,
            reference = &*receipt.reference,
            action = receipt.action.as_str(),
            side = ?self.side,
            status = receipt.status,
            crossed,
            entered,
            fates = ?self.fates(),
            "{UNBALANCED}"
        );
    }

    fn fates(&self) -> Vec<(Fate, u64)> {
        let bytes = |fate: Fate| self.entered[fate.index()].load(Ordering::Relaxed);
        let all = Fate::all().map(|fate| (fate, bytes(fate)));
        all.filter(|(_, bytes)| *bytes > 0).collect()
    }
}

impl Side {
    /// What crossed of it, in bytes.
    fn bytes(self, receipt: &Receipt) -> u64 {
        match self {
            Self::Request => receipt.request_bytes,
            Self::Response => receipt.response_bytes,
        }
    }
}

/// How a log line begins that tells of accounts that do not balance. Tests look for it.
pub(super) const UNBALANCED: &str = "the books do not balance, which is a bug of tidegate";

/// Bytes that crossed, and whose fate is not decided. What is left at a drop was abandoned.
#[derive(Debug)]
pub struct Unspent {
    account: Account,
    bytes: u64,
}

impl Unspent {
    /// More crossed.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The fate of `bytes` of them is decided.
    pub fn spend(&mut self, fate: Fate, bytes: u64) {
        // To spend more than there is unbalances the account, as it should.
        self.bytes = self.bytes.saturating_sub(bytes);
        self.account.enter(fate, bytes);
    }

    /// The fate of all of them is decided.
    pub fn spend_all(&mut self, fate: Fate) {
        self.spend(fate, self.bytes);
    }

    /// `bytes` of them went into the file of `deposit`.
    pub fn keep(&mut self, deposit: &Deposit, bytes: u64) {
        self.spend(Fate::Kept, bytes);
        deposit.add(bytes);
    }

    /// All of them, apart from this.
    pub fn take(&mut self) -> Self {
        Self {
            account: self.account.clone(),
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}

impl Drop for Unspent {
    fn drop(&mut self) {
        self.account.discard(Reason::Abandoned, self.bytes);
    }
}
