//! The books: what became of every body byte, and whether both sides of the accounts agree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::account::Side;
use super::fate::Fate;
use super::fate::Reason;
use super::fate::Source;
use super::names::Leg;

/// The totals since the start, by value. All figures are bytes, except `open`.
///
/// Once nothing is under way (`open` is 0), `upstream_received` and `target_received` together are
/// `committed` + `passed` + all that is `discarded`, `held` is 0, `client_sent` is the sum of
/// `client_given`, and `target_sent` is `target_committed` + all that is `target_discarded`. An
/// account is added when it is closed: what is under way is in none of the figures but `open`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Books {
    /// Body bytes that came from upstreams, as their receipts say.
    pub upstream_received: u64,
    /// Body bytes that came from targets, as their receipts say: what is read there, and what they
    /// answer.
    pub target_received: u64,
    /// Of both: published in the store.
    pub committed: u64,
    /// Of both: given to clients, and not stored.
    pub passed: u64,
    /// Of both: thrown away, and why. All reasons are there, also those of 0 bytes.
    pub discarded: BTreeMap<Reason, u64>,
    /// Of both: in files that grow, neither published nor thrown away yet. May lag behind for the
    /// moment between the two closings of a transfer.
    pub held: u64,
    /// Body bytes that clients were sent, as their receipts say.
    pub client_sent: u64,
    /// The same, counted where they come from. All sources are there, also those of 0 bytes.
    pub client_given: BTreeMap<Source, u64>,
    /// Body bytes that targets were sent, as their receipts say.
    pub target_sent: u64,
    /// Of these: in blobs and manifests that the target said it has.
    pub target_committed: u64,
    /// Of these: sent for nothing, and why. All reasons are there, also those of 0 bytes.
    pub target_discarded: BTreeMap<Reason, u64>,
    /// By how much the two sides of closed accounts differed, without regard to the sign. Anything
    /// but 0 is a bug of ours; the log has told which transfer it was.
    pub imbalance: u64,
    /// How many accounts are open: exchanges and fills that are under way.
    pub open: u64,
}

impl Books {
    /// Whether the totals agree. They do when nothing is under way.
    pub fn agree(&self) -> bool {
        let discarded: u64 = self.discarded.values().sum();
        let given: u64 = self.client_given.values().sum();
        let wasted: u64 = self.target_discarded.values().sum();
        let received = self.upstream_received + self.target_received;
        received == self.committed + self.passed + discarded + self.held
            && self.client_sent == given
            && self.target_sent == self.target_committed + wasted
    }
}

/// The totals as they are kept.
#[derive(Debug)]
pub(super) struct Totals {
    upstream_received: AtomicU64,
    target_received: AtomicU64,
    client_sent: AtomicU64,
    target_sent: AtomicU64,
    /// Of responses: those that we got, and those that we gave.
    fates: [AtomicU64; Fate::COUNT],
    /// Of requests: those that targets were sent.
    sendings: [AtomicU64; Fate::COUNT],
    settled: AtomicU64,
    imbalance: AtomicU64,
    open: AtomicU64,
}

impl Totals {
    /// One more account is open.
    pub(super) fn open(&self) {
        add(&self.open, 1);
    }

    /// An account is closed, in which the two sides differed by `imbalance`. The last thing that is
    /// said of it.
    pub(super) fn close(&self, imbalance: u64) {
        add(&self.imbalance, imbalance);
        self.open.fetch_sub(1, Ordering::Release);
    }

    /// Bytes of one side of an exchange of `leg`. Only targets' requests are in the books.
    pub(super) fn cross(&self, side: Side, leg: Leg, bytes: u64) {
        match (side, leg) {
            (Side::Response, Leg::Client) => add(&self.client_sent, bytes),
            (Side::Response, Leg::Upstream) => add(&self.upstream_received, bytes),
            (Side::Response, Leg::Target) => add(&self.target_received, bytes),
            (Side::Request, Leg::Target) => add(&self.target_sent, bytes),
            (_, Leg::Tap) | (Side::Request, Leg::Client | Leg::Upstream) => {}
        }
    }

    /// What became of bytes.
    pub(super) fn enter(&self, side: Side, fate: Fate, bytes: u64) {
        let fates = match side {
            Side::Response => &self.fates,
            Side::Request => &self.sendings,
        };
        add(&fates[fate.index()], bytes);
    }

    /// Bytes that were held, and are no more.
    pub(super) fn settle(&self, bytes: u64) {
        add(&self.settled, bytes);
    }

    /// All of them now.
    pub(super) fn books(&self) -> Books {
        let open = self.open.load(Ordering::Acquire);
        let get = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let of = |fate: Fate| get(&self.fates[fate.index()]);
        let sent = |fate: Fate| get(&self.sendings[fate.index()]);
        let reasons = || Reason::ALL.iter();
        let sources = Source::ALL.iter();
        Books {
            upstream_received: get(&self.upstream_received),
            target_received: get(&self.target_received),
            committed: of(Fate::Committed),
            passed: of(Fate::Passed),
            discarded: reasons()
                .map(|it| (*it, of(Fate::Discarded(*it))))
                .collect(),
            held: of(Fate::Kept).saturating_sub(get(&self.settled)),
            client_sent: get(&self.client_sent),
            client_given: sources.map(|it| (*it, of(Fate::Given(*it)))).collect(),
            target_sent: get(&self.target_sent),
            target_committed: sent(Fate::Committed),
            target_discarded: reasons()
                .map(|it| (*it, sent(Fate::Discarded(*it))))
                .collect(),
            imbalance: get(&self.imbalance),
            open,
        }
    }
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            upstream_received: AtomicU64::new(0),
            target_received: AtomicU64::new(0),
            client_sent: AtomicU64::new(0),
            target_sent: AtomicU64::new(0),
            fates: [const { AtomicU64::new(0) }; Fate::COUNT],
            sendings: [const { AtomicU64::new(0) }; Fate::COUNT],
            settled: AtomicU64::new(0),
            imbalance: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }
}

/// What is 0 most of the time costs no write to memory that all threads share.
fn add(total: &AtomicU64, bytes: u64) {
    if bytes > 0 {
        total.fetch_add(bytes, Ordering::Relaxed);
    }
}
