//! The whole proxy: built from a [`Config`], run, reloaded on SIGHUP, drained on SIGTERM.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio::time::timeout_at;

use crate::admin::Admin;
use crate::admin::Doors;
use crate::admin::Metrics;
use crate::admin::Readiness;
use crate::config::Config;
use crate::config::Source;
use crate::flow::PullThrough;
use crate::front::Front;
use crate::front::Occupancy;
use crate::ledger::Journal;
use crate::ledger::Ledger;
use crate::ledger::Sink;
use crate::oci::UpstreamName;
use crate::prefetch::Tally;
use crate::registry;
use crate::store;
use crate::store::Store;
use crate::target;
use crate::target::Targets;

pub mod copy;
mod exposure;
mod files;
mod prefetch;
mod registries;
mod reload;
mod shutdown;
mod sync;
pub mod tags;
mod targets;

use registries::Registries;
use reload::Reload;
use shutdown::Signals;
use shutdown::Wish;
pub use sync::Sync;
pub use sync::rehearse;
pub use targets::file as targets_file;

/// Why the proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There can be no client for an upstream.
    #[error("upstream {name}: {error}")]
    Upstream {
        /// What clients call it.
        name: UpstreamName,
        /// What is wrong with its configuration.
        error: registry::Error,
    },
    /// There is no room for temporary files.
    #[error("temporary files can't be written: {0}")]
    Stage(io::Error),
    /// The journal can't be opened.
    #[error("{0}")]
    Journal(io::Error),
    /// The store can't be opened.
    #[error("the store can't be opened: {0}")]
    Store(store::Error),
    /// What is known of targets, and owed to them, can't be kept.
    #[error("what is known of targets can't be kept: {0}")]
    State(target::state::Error),
    /// There can be no client for a target.
    #[error("a target: {0}")]
    Target(target::Error),
    /// An address or a certificate can't be used, or signals can't be heard.
    #[error("{0}")]
    Listen(io::Error),
}

/// All parts, listening, but answering nobody yet.
#[derive(Debug)]
pub struct App {
    front: Front,
    admin: Admin,
    readiness: Readiness,
    signals: Signals,
    reload: Reload,
    targets: Option<Arc<Targets>>,
    tally: Arc<Tally>,
    journal: Option<Arc<Journal>>,
    has_tls: bool,
    drain: Duration,
}

impl App {
    /// Builds all parts, and listens. No upstream is asked: they may all be down.
    ///
    /// # Errors
    /// When a part can't be built; nothing listens any more then.
    pub async fn build(config: Config) -> Result<Self, Error> {
        files::allow_many();
        for warning in exposure::warnings(&config) {
            tracing::warn!("{warning}");
        }
        if let Some(warning) = targets::warning(&config) {
            tracing::warn!("{warning}");
        }
        let signals = Signals::listen().map_err(Error::Listen)?;
        let metrics = Arc::new(Metrics::new());
        let journal = open_journal(&config).map_err(Error::Journal)?;
        let tally = Arc::<Tally>::default();
        let ledger = ledger(Some(&metrics), &tally, journal.as_ref());
        let mut registries = Registries::default();
        let upstreams = registries.follow(&config.upstreams, &ledger)?;
        metrics.know(registries.names());
        metrics.know(config.targets.iter().map(|target| &target.registry.name));
        let store = open_store(&config).await.map_err(Error::Store)?;
        let targets = targets::open(&config, &ledger).await?;
        let flow = config.flow.clone();
        let flow = Arc::new(match targets.clone() {
            Some(targets) => PullThrough::mirroring(flow, store.clone(), upstreams, targets),
            None => PullThrough::new(flow, store.clone(), upstreams),
        });
        let front = Front::bind(config.front.clone(), flow.clone(), ledger.clone());
        let front = front.await.map_err(Error::Listen)?;
        let occupancy = front.occupancy();
        metrics.watch_front(move || doors(&occupancy));
        let readiness = Readiness::new(store, flow.clone(), ledger.clone());
        readiness.show_journal(journal.clone());
        readiness.show_targets(targets.clone());
        let sets = prefetch::open(&config, (&flow, targets.as_ref(), &tally));
        readiness.show_prefetch(Arc::new(prefetch::Desk(sets.clone())));
        let admin = Admin::bind(config.admin.clone(), readiness.clone(), metrics.clone());
        Ok(Self {
            admin: admin.await.map_err(Error::Listen)?,
            readiness,
            signals,
            targets,
            tally,
            journal,
            has_tls: config.front.tls.is_some(),
            drain: config.drain_timeout,
            reload: Reload {
                flow,
                front: front.handle(),
                ledger,
                metrics,
                registries,
                sets,
                started: config,
            },
            front,
        })
    }

    /// The journal, where there is one. Close it when all tasks have ended: some enter records then.
    pub fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.clone()
    }

    /// Answers until SIGTERM or SIGINT, then lets what is under way finish; a second signal cuts
    /// it. SIGHUP reads `source` again.
    pub async fn run(mut self, source: &Source) {
        self.say_where();
        if let Some(targets) = &self.targets {
            targets.start(self.tally.watching(self.reload.flow.supply()));
        }
        self.reload.sets.start();
        let (stop_front, front_stops) = oneshot::channel();
        let (stop_admin, admin_stops) = oneshot::channel();
        let mut front = tokio::spawn(self.front.run(hearing(front_stops), self.drain));
        let admin = tokio::spawn(self.admin.run(hearing(admin_stops)));
        while self.signals.next().await == Wish::Reload {
            self.reload.read(source);
        }
        tracing::info!("ending; what is under way may take {:?}", self.drain);
        self.readiness.drain();
        drop(stop_front);
        self.reload.sets.drain();
        let deadline = Instant::now() + self.drain;
        // A fill that nobody waits for any more is worth finishing: its bytes were paid for.
        let fills = async {
            prefetch::settle(&self.reload.sets, deadline).await;
            self.reload.flow.drain();
            timeout_at(deadline, self.reload.flow.settled()).await
        };
        let last = async {
            let (cut, fills) = futures_util::future::join(&mut front, fills).await;
            say_what_was_cut(cut, fills.is_ok());
            targets::settle(self.targets.as_ref(), deadline).await;
        };
        tokio::select! {
            () = last => {}
            () = self.signals.end() => {
                tracing::warn!("ended at once, on a second signal");
                // Cuts its connections, before what they wait for ends and gives them an answer.
                self.reload.front.hurry();
                let _ = front.await;
            }
        }
        drop(stop_admin);
        let _ = admin.await;
    }

    /// Whoever starts us reads this, to know which ports were taken.
    fn say_where(&self) {
        let scheme = if self.has_tls { "https" } else { "http" };
        for address in self.front.local_addrs() {
            tracing::info!("listening on {scheme}://{address}");
        }
        if let Some(address) = self.front.proxy_addr() {
            tracing::info!("intercepting on http://{address}");
        }
        if let Some(address) = self.admin.local_addr() {
            tracing::info!("admin on http://{address}");
        }
    }
}

fn doors(front: &Occupancy) -> Doors {
    Doors {
        connections: front.connections(),
        max_connections: front.max_connections(),
        turned_away: front.turned_away(),
        refused: front.refused(),
    }
}

/// All are told of all that is entered.
fn ledger(
    metrics: Option<&Arc<Metrics>>,
    tally: &Arc<Tally>,
    journal: Option<&Arc<Journal>>,
) -> Ledger {
    let metrics = metrics.map(|metrics| metrics.clone() as Arc<dyn Sink>);
    let journal = journal.map(|journal| journal.clone() as Arc<dyn Sink>);
    let sinks = [tally.clone() as Arc<dyn Sink>].into_iter();
    Ledger::with(sinks.chain(metrics).chain(journal).collect())
}

async fn open_store(config: &Config) -> Result<Arc<Store>, store::Error> {
    if config.store_enabled {
        return Store::open(config.store.clone()).await;
    }
    Store::spool(config.store.clone()).await
}

fn open_journal(config: &Config) -> io::Result<Option<Arc<Journal>>> {
    let ledger = &config.ledger;
    let path = ledger.journal.as_ref();
    path.map(|path| Journal::open(path, ledger.rotation))
        .transpose()
}

fn say_what_was_cut(connections: Result<usize, tokio::task::JoinError>, all_filled: bool) {
    match (connections, all_filled) {
        (Ok(0), true) => tracing::info!("ended; all that was under way is complete"),
        (Ok(cut), _) => tracing::warn!(
            "ended; {cut} connections were cut, and {} fills",
            if all_filled { "no" } else { "some" }
        ),
        (Err(error), _) => tracing::error!("ended; the front broke: {error}"),
    }
}

/// Until the other end is dropped.
async fn hearing(end: oneshot::Receiver<Infallible>) {
    let _ = end.await;
}
