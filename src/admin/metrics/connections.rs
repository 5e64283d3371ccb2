use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::family::Family;
use super::family::Page;
use super::label;
use super::table::Table;
use crate::ledger::Connection;
use crate::ledger::Leg;

const LABELS: &[&str] = &["leg", "upstream", "tls"];
const CONNECTIONS: Family = Family::counter(
    "tidegate_connections_total",
    LABELS,
    "Connections that have ended.",
);
const SENT: Family = Family::counter(
    "tidegate_connection_sent_bytes_total",
    LABELS,
    "Bytes that sockets took, below TLS, of connections that have ended.",
);
const RECEIVED: Family = Family::counter(
    "tidegate_connection_received_bytes_total",
    LABELS,
    "Bytes that sockets gave, below TLS, of connections that have ended.",
);

/// Every connection, by who talked to whom.
#[derive(Debug, Default)]
pub(super) struct Connections(Table<Key, Totals>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    leg: Leg,
    upstream: Arc<str>,
    tls: bool,
}

#[derive(Debug, Default)]
struct Totals {
    count: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Connections {
    /// Counts a connection with `upstream`, which is a label's value.
    pub(super) fn count(&self, connection: &Connection, upstream: Arc<str>) {
        let key = Key {
            leg: connection.leg,
            upstream,
            tls: connection.tls,
        };
        let Ok(totals) = self.0.row(
            &key,
            || Ok::<_, std::convert::Infallible>(Totals::default()),
        );
        totals.count.fetch_add(1, Ordering::Relaxed);
        totals.sent.fetch_add(connection.tx, Ordering::Relaxed);
        totals.received.fetch_add(connection.rx, Ordering::Relaxed);
    }

    pub(super) fn show(&self, page: &mut Page) {
        for (key, totals) in &*self.0.rows() {
            let labels = [key.leg.as_str(), &*key.upstream, label::yes(key.tls)];
            let shown = [
                (&CONNECTIONS, &totals.count),
                (&SENT, &totals.sent),
                (&RECEIVED, &totals.received),
            ];
            for (family, total) in shown {
                page.count(family, &labels, total.load(Ordering::Relaxed));
            }
        }
    }
}
