//! What the records of a journal make together.

mod blobs;
mod hosts;
mod share;
mod traffic;

use std::time::{Duration, SystemTime};

pub(super) use blobs::{Key, Totals, has_content, key};
pub(super) use hosts::{Host, Hosts, OTHERS, Sockets, plain_host};
pub(super) use share::Share;
pub(super) use traffic::{Counts, Traffic};

use crate::ledger::Connection;
use crate::ledger::Leg;
use crate::ledger::Receipt;
use crate::ledger::Record;
use crate::ledger::Run;

/// The figures of one journal. It doesn't matter in which order the records are added.
///
/// Its memory is bounded apart from the digests of blobs, at some 60 to 120 bytes each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    legs: [Traffic; Leg::ALL.len()],
    /// Records of all kinds.
    pub(super) records: u64,
    /// Records that are missing in the journal.
    pub(super) dropped: u64,
    /// Commands that ran with their traffic measured.
    pub(super) runs: Runs,
    span: Option<(SystemTime, SystemTime)>,
}

/// Commands that ran with their traffic measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// How many.
    pub(super) count: u64,
    /// How many of them ended with another exit code than 0.
    pub(super) failed: u64,
    /// From start to end, one after another.
    pub(super) wall: Duration,
    /// CPU time, together.
    pub(super) cpu: Duration,
    /// The most memory of any of them, in bytes.
    pub(super) peak_rss: u64,
    /// The first one.
    pub(super) first: Option<(SystemTime, Vec<String>)>,
}

impl Summary {
    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Journal(_) | Record::Window(_) => self.records += 1,
            Record::Exchange(receipt) => self.exchange(receipt),
            Record::Connection(connection) => self.connection(connection),
            Record::Run(run) => self.run(run),
            Record::Dropped(dropped) => {
                self.records += 1;
                self.dropped = self.dropped.saturating_add(dropped.records);
            }
        }
    }

    /// Adds an exchange.
    pub fn exchange(&mut self, receipt: &Receipt) {
        self.records += 1;
        let end = receipt.ts.checked_add(receipt.duration);
        let (from, to) = (receipt.ts, end.unwrap_or(receipt.ts));
        let span = self.span.get_or_insert((from, to));
        *span = (span.0.min(from), span.1.max(to));
        self.legs[receipt.leg as usize].exchange(receipt);
    }

    /// Adds a connection.
    pub fn connection(&mut self, connection: &Connection) {
        self.records += 1;
        self.legs[connection.leg as usize].connection(connection);
    }

    /// Adds a command.
    pub fn run(&mut self, run: &Run) {
        self.records += 1;
        self.runs.add(run);
    }

    /// What went over one leg.
    pub(super) fn leg(&self, leg: Leg) -> &Traffic {
        &self.legs[leg as usize]
    }

    /// The legs by which others were asked: the tap's where there is any, else those of a mirror
    /// to its upstreams and targets. The first one is the one by which sources are read.
    pub(super) fn asking(&self) -> &'static [Leg] {
        if self.leg(Leg::Tap).all.requests > 0 {
            &[Leg::Tap]
        } else {
            &[Leg::Upstream, Leg::Target]
        }
    }

    /// Some figure of all that was asked.
    pub(super) fn asked<T: Default>(&self, of: fn(&Traffic) -> T, and: fn(T, T) -> T) -> T {
        let legs = self.asking().iter().map(|leg| of(self.leg(*leg)));
        legs.fold(T::default(), and)
    }

    /// Requests and body bytes of all that was asked.
    pub(super) fn all(&self) -> Share {
        self.asked(|traffic| traffic.all, Share::and)
    }

    /// Marked exchanges of all that was asked.
    pub(super) fn counts(&self) -> Counts {
        self.asked(|traffic| traffic.counts, Counts::and)
    }

    /// Connections to those who were asked.
    pub(super) fn sockets(&self) -> Sockets {
        self.asked(|traffic| traffic.sockets, Sockets::and)
    }

    /// By host, all that was asked.
    pub(super) fn hosts(&self) -> Hosts {
        self.asked(|traffic| traffic.hosts.clone(), |one, two| one.and(&two))
    }

    /// `GET`s of blobs from sources: not from targets.
    pub(super) fn blobs(&self) -> Totals {
        let source = self.asking().iter().take(1);
        let totals = source.map(|leg| self.leg(*leg).blobs.totals());
        totals.fold(Totals::default(), Totals::and)
    }

    /// Whether a redirect's target on `leg` is a manifest.
    pub(super) fn is_manifest(&self, leg: Leg, key: Key) -> bool {
        self.leg(leg).blobs.is_manifest(key)
    }

    /// From the first exchange's start to the last one's end.
    pub(super) fn span(&self) -> Option<(SystemTime, SystemTime)> {
        self.span
    }

    /// The commands' own time, else from the first exchange to the last one's end.
    pub(super) fn wall(&self) -> Option<Duration> {
        if self.runs.count > 0 {
            return Some(self.runs.wall);
        }
        let (from, to) = self.span?;
        to.duration_since(from).ok()
    }

    /// Whether clients were answered: a mirror's journal.
    pub(super) fn is_mirror(&self) -> bool {
        self.leg(Leg::Client).all.requests > 0
    }
}

impl Runs {
    fn add(&mut self, run: &Run) {
        self.count += 1;
        self.failed += u64::from(run.exit_code != 0);
        self.wall = self.wall.saturating_add(run.duration);
        self.cpu = self.cpu.saturating_add(run.cpu);
        self.peak_rss = self.peak_rss.max(run.peak_rss);
        if self.first.as_ref().is_none_or(|(ts, _)| run.ts < *ts) {
            self.first = Some((run.ts, run.command.clone()));
        }
    }
}
