use std::collections::BTreeMap;
use std::sync::Arc;

use super::share::Share;
use crate::ledger::Connection;
use crate::ledger::Receipt;
use crate::report::words;

/// As many hosts are told apart; all others are counted together.
const MOST: usize = 1000;

/// What those are called together.
pub(in crate::report) const OTHERS: &str = "(other hosts)";

/// What each host was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::report) struct Hosts(BTreeMap<Arc<str>, Host>);

/// What one host was asked, and the connections to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct Host {
    /// Requests and body bytes.
    pub(in crate::report) share: Share,
    /// Answers with status 429.
    pub(in crate::report) throttled: u64,
    /// Connections.
    pub(in crate::report) sockets: Sockets,
}

/// Connections, and bytes on their sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct Sockets {
    /// How many.
    pub(in crate::report) connections: u64,
    /// Bytes sent, below TLS.
    pub(in crate::report) tx: u64,
    /// Bytes received, below TLS.
    pub(in crate::report) rx: u64,
}

/// The host without a port that says nothing: `example.com` for `example.com:443`.
pub(in crate::report) fn plain_host(host: &str) -> &str {
    let without = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"));
    match without {
        // Without brackets, the colon may belong to an address of IPv6.
        Some(name) if !name.contains(':') || name.ends_with(']') => name,
        _ => host,
    }
}

impl Hosts {
    pub(super) fn exchange(&mut self, receipt: &Receipt) {
        let host = self.entry(&receipt.host);
        host.share.add(receipt);
        host.throttled += u64::from(receipt.status == 429);
    }

    pub(super) fn connection(&mut self, connection: &Connection) {
        self.entry(&connection.host).sockets.add(connection);
    }

    fn entry(&mut self, name: &str) -> &mut Host {
        let name = words::plain(plain_host(name));
        let is_told_apart = self.0.len() < MOST || self.0.contains_key(&*name);
        let name = if is_told_apart { &*name } else { OTHERS };
        self.0.entry(name.into()).or_default()
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (name, host) in &other.0 {
            let entry = both.entry(name);
            *entry = entry.and(host);
        }
        both
    }

    /// Each with its name, by name.
    pub(in crate::report) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Host)> {
        self.0.iter()
    }

    /// What a host was asked.
    pub(in crate::report) fn get(&self, name: &str) -> Host {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl Host {
    fn and(&self, other: &Self) -> Self {
        Self {
            share: self.share.and(other.share),
            throttled: self.throttled + other.throttled,
            sockets: self.sockets.and(other.sockets),
        }
    }
}

impl Sockets {
    pub(super) fn add(&mut self, connection: &Connection) {
        *self = self.and(Self {
            connections: 1,
            tx: connection.tx,
            rx: connection.rx,
        });
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            tx: self.tx.saturating_add(other.tx),
            rx: self.rx.saturating_add(other.rx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::plain_host;

    #[test]
    fn a_host_has_one_name() {
        assert_eq!(plain_host("a.example:443"), "a.example");
        assert_eq!(plain_host("a.example:80"), "a.example");
        assert_eq!(plain_host("a.example:8080"), "a.example:8080");
        assert_eq!(plain_host("[::1]:443"), "[::1]");
        assert_eq!(plain_host("fe80::443"), "fe80::443");
        assert_eq!(plain_host("fe80:443"), "fe80");
    }
}
