use std::collections::VecDeque;

use super::family::Family;
use crate::ledger::Leg;

/// As many bins cover any time: what doesn't fit doubles their width.
const MOST: u64 = 512;

/// The narrowest bins are 2^10 µs wide.
const NARROWEST: u32 = 10;

/// What happened when, in bins of equal width. All figures are sums, so they are the same in
/// whichever order records come, and however often bins were merged on the way.
#[derive(Clone, Debug)]
pub(in crate::report) struct Bins {
    /// Bins are 2^shift µs wide.
    shift: u32,
    /// The first one begins at `first << shift`, in µs since 1970.
    first: u64,
    bins: VecDeque<Bin>,
}

/// What happened in a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::report) struct Bin {
    /// By leg, in the order of [`Leg::ALL`].
    pub(in crate::report) legs: [LegBin; Leg::ALL.len()],
    /// By host, in the history's order; those beyond its end did nothing.
    pub(in crate::report) hosts: Vec<HostBin>,
}

/// What happened on one leg.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct LegBin {
    /// Response body bytes.
    pub(in crate::report) down: u64,
    /// Request body bytes.
    pub(in crate::report) up: u64,
    /// Time that requests took, in µs, by what they did, in the order of [`Family::ALL`].
    pub(in crate::report) busy: [u64; Family::ALL.len()],
}

/// What one host was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct HostBin {
    /// Time that requests took, in µs.
    pub(in crate::report) busy: u64,
    /// Answers with status 429.
    pub(in crate::report) throttled: u64,
}

impl Default for Bins {
    fn default() -> Self {
        Self {
            shift: NARROWEST,
            first: 0,
            bins: VecDeque::new(),
        }
    }
}

impl Bins {
    /// The width of a bin, in µs.
    pub(in crate::report) fn width(&self) -> u64 {
        1 << self.shift
    }

    /// When the first bin begins, in µs since 1970, and all of them.
    pub(in crate::report) fn all(&self) -> (u64, &VecDeque<Bin>) {
        (self.first << self.shift, &self.bins)
    }

    /// Spreads `amount` evenly from `from` to `to`, in µs since 1970: `add` is told the part of
    /// each bin. The parts make `amount` exactly.
    pub(super) fn spread(
        &mut self,
        (from, to): (u64, u64),
        amount: u64,
        mut add: impl FnMut(&mut Bin, u64),
    ) {
        let to = to.max(from);
        self.make_room(from, to.saturating_sub(1).max(from));
        let shift = self.shift;
        let length = u128::from(to - from).max(1);
        let mut given = 0;
        for number in from >> shift..=(to.saturating_sub(1).max(from)) >> shift {
            let end = (u128::from(number) + 1) << shift;
            let until = end.min(to.into()).saturating_sub(from.into());
            let so_far = match end >= to.into() {
                true => amount,
                false => (u128::from(amount) * until / length) as u64,
            };
            if let Some(bin) = self.bins.get_mut((number - self.first) as usize) {
                add(bin, so_far - given);
            }
            given = so_far;
        }
    }

    /// Makes bins from `from` to `to`.
    fn make_room(&mut self, from: u64, to: u64) {
        if self.bins.is_empty() {
            self.first = from >> self.shift;
        }
        loop {
            let first = self.first.min(from >> self.shift);
            let last = (self.first + self.bins.len() as u64).max((to >> self.shift) + 1);
            if last - first <= MOST {
                for _ in first..self.first {
                    self.bins.push_front(Bin::default());
                }
                self.first = first;
                self.bins.resize((last - first) as usize, Bin::default());
                return;
            }
            self.merge();
        }
    }

    /// Doubles the width.
    fn merge(&mut self) {
        let mut merged: VecDeque<Bin> = VecDeque::new();
        for (number, bin) in (self.first..).zip(&self.bins) {
            let at = ((number >> 1) - (self.first >> 1)) as usize;
            match merged.get_mut(at) {
                Some(into) => into.add(bin),
                None => merged.push_back(bin.clone()),
            }
        }
        self.bins = merged;
        self.first >>= 1;
        self.shift += 1;
    }
}

impl Bin {
    /// Adds what another one has.
    pub(in crate::report) fn add(&mut self, other: &Self) {
        for (own, more) in self.legs.iter_mut().zip(&other.legs) {
            own.down = own.down.saturating_add(more.down);
            own.up = own.up.saturating_add(more.up);
            for (own, more) in own.busy.iter_mut().zip(&more.busy) {
                *own = own.saturating_add(*more);
            }
        }
        for (at, more) in other.hosts.iter().enumerate() {
            let own = self.host(at);
            own.busy = own.busy.saturating_add(more.busy);
            own.throttled += more.throttled;
        }
    }

    /// What the host with this number was asked.
    pub(super) fn host(&mut self, at: usize) -> &mut HostBin {
        if self.hosts.len() <= at {
            self.hosts.resize(at + 1, HostBin::default());
        }
        &mut self.hosts[at]
    }
}

#[cfg(test)]
mod tests {
    use fake_registry::Fuzz;

    use super::*;

    fn down(bin: &mut Bin, bytes: u64) {
        bin.legs[0].down += bytes;
    }

    #[test]
    fn nothing_is_lost_and_the_order_does_not_matter() {
        let span = (0u64..1 << 40, 0u64..1 << 36, 0u64..1 << 50);
        let spans = proptest::collection::vec(span, 1..20);
        Fuzz::costly(500, 10).run("bins of time", &spans, |spans| {
            let (mut one, mut other) = (Bins::default(), Bins::default());
            for (from, length, bytes) in &spans {
                one.spread((*from, from + length), *bytes, down);
            }
            for (from, length, bytes) in spans.iter().rev() {
                other.spread((*from, from + length), *bytes, down);
            }
            let sum: u64 = one.bins.iter().map(|bin| bin.legs[0].down).sum();
            assert_eq!(sum, spans.iter().map(|(_, _, bytes)| bytes).sum::<u64>());
            assert!(one.bins.len() as u64 <= MOST);
            assert_eq!((one.shift, one.first), (other.shift, other.first));
            assert_eq!(one.bins, other.bins);
        });
    }

    #[test]
    fn any_time_fits() {
        let mut bins = Bins::default();
        bins.spread((0, u64::MAX), 100, down);
        bins.spread((u64::MAX, u64::MAX), 1, down);
        bins.spread((5, 2), 1, down);
        let sum: u64 = bins.bins.iter().map(|bin| bin.legs[0].down).sum();
        assert_eq!(sum, 102);
    }
}
