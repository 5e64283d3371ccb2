//! When things happened: what plots are drawn from. Its memory is bounded, whatever it is told.

mod bars;
mod bins;
mod family;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(super) use bars::{Bar, Bars, Kind};
pub(super) use bins::{Bin, Bins};
pub(super) use family::Family;

use super::summary::OTHERS;
use super::summary::plain_host;
use super::words;
use crate::ledger::Leg;
use crate::ledger::Receipt;
use crate::ledger::Record;

/// As many hosts are told apart over time, on all legs together.
const MOST_HOSTS: usize = 48;

/// When the exchanges of a journal happened.
#[derive(Clone, Debug, Default)]
pub struct History {
    bins: Bins,
    hosts: Vec<(Leg, Arc<str>)>,
    bars: [Bars; Leg::ALL.len()],
    start: Option<u64>,
    end: u64,
}

impl History {
    /// Adds a record.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Exchange(receipt) => self.exchange(receipt),
            Record::Run(run) => {
                let start = micros(run.ts);
                self.cover(start, start.saturating_add(whole(run.duration)));
            }
            Record::Journal(_) | Record::Connection(_) | Record::Window(_) | Record::Dropped(_) => {
            }
        }
    }

    fn exchange(&mut self, receipt: &Receipt) {
        let start = micros(receipt.ts);
        let end = start.saturating_add(whole(receipt.duration));
        let first_byte = start.saturating_add(whole(receipt.ttfb.unwrap_or_default()));
        self.cover(start, end);
        let leg = receipt.leg as usize;
        let family = Family::of(receipt.action) as usize;
        let host = (receipt.leg != Leg::Client).then(|| self.host(receipt.leg, &receipt.host));
        self.bins.spread((start, end), end - start, |bin, busy| {
            let sum = &mut bin.legs[leg].busy[family];
            *sum = sum.saturating_add(busy);
            if let Some(host) = host {
                let host = bin.host(host);
                host.busy = host.busy.saturating_add(busy);
            }
        });
        let down = receipt.response_bytes;
        if down > 0 {
            let span = (first_byte.min(end), end);
            self.bins.spread(span, down, |bin, bytes| {
                let sum = &mut bin.legs[leg].down;
                *sum = sum.saturating_add(bytes);
            });
        }
        let up = receipt.request_bytes;
        if up > 0 {
            self.bins.spread((start, end), up, |bin, bytes| {
                let sum = &mut bin.legs[leg].up;
                *sum = sum.saturating_add(bytes);
            });
        }
        if let (429, Some(host)) = (receipt.status, host) {
            self.bins
                .spread((end, end), 1, |bin, one| bin.host(host).throttled += one);
        }
        self.bars[leg].exchange(receipt, (start, end));
    }

    fn cover(&mut self, start: u64, end: u64) {
        self.start = Some(self.start.map_or(start, |first| first.min(start)));
        self.end = self.end.max(end);
    }

    /// The number of a host.
    fn host(&mut self, leg: Leg, name: &str) -> usize {
        let name = words::plain(plain_host(name));
        let find = |hosts: &[(Leg, Arc<str>)], name: &str| {
            let is_it =
                |(its_leg, its_name): &(Leg, Arc<str>)| *its_leg == leg && **its_name == *name;
            hosts.iter().position(is_it)
        };
        let is_full = self.hosts.len() >= MOST_HOSTS;
        let name = if is_full && find(&self.hosts, &name).is_none() {
            OTHERS
        } else {
            &*name
        };
        find(&self.hosts, name).unwrap_or_else(|| {
            self.hosts.push((leg, name.into()));
            self.hosts.len() - 1
        })
    }

    /// When the first exchange, or the command, began, in µs since 1970.
    pub(super) fn start(&self) -> u64 {
        self.start.unwrap_or(0)
    }

    /// From then to the end of all, in µs.
    pub(super) fn length(&self) -> u64 {
        self.end.saturating_sub(self.start())
    }

    /// Whether there is nothing to be drawn.
    pub(super) fn is_empty(&self) -> bool {
        self.start.is_none()
    }

    /// What happened when.
    pub(super) fn bins(&self) -> &Bins {
        &self.bins
    }

    /// The hosts that bins have figures of, in their order.
    pub(super) fn hosts(&self) -> &[(Leg, Arc<str>)] {
        &self.hosts
    }

    /// The blobs that moved on a leg.
    pub(super) fn bars(&self, leg: Leg) -> &Bars {
        &self.bars[leg as usize]
    }
}

/// Microseconds since 1970; 0 for what was before.
fn micros(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, whole)
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
