use http::Method;

use super::blobs;
use super::blobs::Blobs;
use super::hosts::Hosts;
use super::hosts::Sockets;
use super::share::Share;
use crate::ledger::Action;
use crate::ledger::Cdn;
use crate::ledger::Connection;
use crate::ledger::End;
use crate::ledger::Leg;
use crate::ledger::Origin;
use crate::ledger::Receipt;

/// What went over one leg, or several together.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::report) struct Traffic {
    /// All exchanges.
    pub(in crate::report) all: Share,
    /// By what they do, in the order of [`Action::ALL`].
    pub(in crate::report) actions: [Share; Action::ALL.len()],
    /// Of a client: by where the answer came from, in the order of [`Origin::ALL`].
    pub(in crate::report) origins: [Share; Origin::ALL.len()],
    /// By host; none for a client's, who are many.
    pub(in crate::report) hosts: Hosts,
    /// `GET`s of blobs.
    pub(in crate::report) blobs: Blobs,
    /// All connections.
    pub(in crate::report) sockets: Sockets,
    /// How many of the exchanges were something of their own.
    pub(in crate::report) counts: Counts,
}

/// Exchanges with a mark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct Counts {
    /// No answer came.
    pub(in crate::report) unanswered: u64,
    /// An answer that did not end as it should have.
    pub(in crate::report) cut_short: u64,
    /// Status 429.
    pub(in crate::report) throttled: u64,
    /// Mounts that a registry decided on.
    pub(in crate::report) mounts: u64,
    /// Those that it granted.
    pub(in crate::report) mounted: u64,
    /// Lists of referrers that a registry gave or refused.
    pub(in crate::report) referrers: u64,
    /// Content that a network had.
    pub(in crate::report) cdn_hits: u64,
    /// Content that a network had to fetch.
    pub(in crate::report) cdn_misses: u64,
}

/// Whether an answer settles a request, so that none like it follows: it is no request to sign in
/// (401), to come later (429) or to go elsewhere (3xx), and no failure of the server (5xx).
fn settles(status: u16) -> bool {
    !matches!(status, 0 | 300..=303 | 305..=399 | 401 | 429 | 500..)
}

impl Traffic {
    pub(super) fn exchange(&mut self, receipt: &Receipt) {
        self.all.add(receipt);
        self.actions[receipt.action as usize].add(receipt);
        if let Some(origin) = receipt.origin {
            self.origins[origin as usize].add(receipt);
        }
        if receipt.leg != Leg::Client {
            self.hosts.exchange(receipt);
            self.blobs.exchange(receipt);
        }
        self.counts = self.counts.and(Counts::of(receipt));
    }

    pub(super) fn connection(&mut self, connection: &Connection) {
        self.sockets.add(connection);
        if connection.leg != Leg::Client {
            self.hosts.connection(connection);
        }
    }
}

impl Counts {
    fn of(receipt: &Receipt) -> Self {
        let mount = receipt.mount.as_ref();
        let is_mount = mount.is_some() || receipt.action == Action::BlobMount;
        let is_settled = settles(receipt.status);
        let cdn = receipt.cdn.filter(|_| blobs::has_content(receipt));
        let is_answered = receipt.status != 0;
        let is_referrers = receipt.action == Action::Referrers && receipt.method == Method::GET;
        let one = u64::from;
        Self {
            unanswered: one(!is_answered),
            cut_short: one(is_answered && receipt.end != End::Complete),
            throttled: one(receipt.status == 429),
            mounts: one(is_mount && is_settled),
            mounted: one(is_mount && receipt.status == 201),
            referrers: one(is_referrers && is_settled),
            cdn_hits: one(cdn == Some(Cdn::Hit)),
            cdn_misses: one(cdn == Some(Cdn::Miss)),
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            unanswered: self.unanswered + other.unanswered,
            cut_short: self.cut_short + other.cut_short,
            throttled: self.throttled + other.throttled,
            mounts: self.mounts + other.mounts,
            mounted: self.mounted + other.mounted,
            referrers: self.referrers + other.referrers,
            cdn_hits: self.cdn_hits + other.cdn_hits,
            cdn_misses: self.cdn_misses + other.cdn_misses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::settles;

    #[test]
    fn what_is_asked_again_settles_nothing() {
        for status in [200, 201, 202, 206, 304, 400, 403, 404, 405, 416] {
            assert!(settles(status), "{status}");
        }
        for status in [0, 301, 302, 303, 307, 308, 401, 429, 500, 502, 503, 599] {
            assert!(!settles(status), "{status}");
        }
    }
}
