//! What Prometheus is told at `/metrics`; `docs/metrics.md` lists it.
//!
//! Two kinds of figures meet here. [`Metrics`] is a [`Sink`]: it counts receipts and connections as
//! they end, where bytes are moved, so it finds its counters without a lock (`table`). All else is
//! read from the rooms when it is asked for (`flow`, `store`, `targets`, `prefetch`, `front`,
//! `ledger`, `process`). `label` sees to it that there are
//! few values of a label, whatever is sent to us; `family` writes the page.

use std::fmt;
use std::sync::OnceLock;

use crate::ledger::Connection;
use crate::ledger::Receipt;
use crate::ledger::Sink;
use crate::login::Login;
use crate::login::Refused;
use crate::oci::UpstreamName;

use super::Readiness;

mod connections;
mod exchanges;
mod family;
mod flow;
mod front;
mod label;
mod ledger;
mod prefetch;
mod process;
mod store;
mod table;
mod targets;
mod windows;

use connections::Connections;
use exchanges::Exchanges;
use family::Page;
use label::Names;

/// Counts for Prometheus what the ledger is told.
#[derive(Default)]
pub struct Metrics {
    names: Names,
    exchanges: Exchanges,
    connections: Connections,
    front: OnceLock<Box<dyn Fn() -> Doors + Send + Sync>>,
}

/// How full the front is, and whom it refused.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// Connections that are open.
    pub connections: usize,
    /// How many there may be: in all, and of one client.
    pub max_connections: (usize, usize),
    /// Connections that were closed unserved, since the start.
    pub turned_away: u64,
    /// Logins that were refused, where one is needed.
    pub refused: Option<Refused>,
}

impl Metrics {
    /// Nothing is counted yet. The name of an upstream is a label once it is given to
    /// [`Metrics::know`]; until then it is counted as `other`.
    pub fn new() -> Self {
        Self::default()
    }

    /// These are upstreams. The names of before stay known, as they may be in labels already.
    pub fn know<'n>(&self, upstreams: impl IntoIterator<Item = &'n UpstreamName>) {
        let names = upstreams.into_iter().map(UpstreamName::as_str);
        self.names.learn(names);
    }

    /// Asks `look` how full the front is, whenever somebody wants to know. The first one counts.
    pub fn watch_front(&self, look: impl Fn() -> Doors + Send + Sync + 'static) {
        let _ = self.front.set(Box::new(look));
    }

    /// All that is known, in Prometheus' text format. `login` is the admin listener's own. May take
    /// as long as a probe of the store.
    ///
    /// # Errors
    /// When it can't be written down, which would be a mistake of ours.
    pub(super) async fn page(
        &self,
        readiness: &Readiness,
        login: Option<&Login>,
    ) -> Result<String, impl fmt::Display + use<>> {
        let is_ready = readiness.store_problem().await.is_none();
        let mut page = Page::default();
        front::build(&mut page, readiness.is_draining());
        flow::show(&mut page, readiness.flow());
        store::show(&mut page, readiness.store(), is_ready);
        targets::show(&mut page, &readiness.target_states());
        let sets = readiness.prefetch().map(|prefetch| prefetch.figures());
        prefetch::show(&mut page, &sets.unwrap_or_default());
        ledger::books(&mut page, &readiness.books());
        ledger::journal(&mut page, readiness.journal());
        let doors = self.front.get().map(|look| look());
        if let Some(doors) = &doors {
            front::show(&mut page, doors);
        }
        front::logins(&mut page, "front", doors.and_then(|doors| doors.refused));
        front::logins(&mut page, "admin", login.map(Login::refused));
        process::show(&mut page);
        self.exchanges.show(&mut page);
        self.connections.show(&mut page);
        page.text()
    }
}

impl Sink for Metrics {
    fn exchange(&self, receipt: &Receipt) {
        let upstream = self.names.label(&receipt.registry);
        self.exchanges.count(receipt, upstream);
    }

    fn connection(&self, connection: &Connection) {
        let upstream = self.names.label(&connection.registry);
        self.connections.count(connection, upstream);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
