//! Sets of tags, brought once: what a proxy keeps warm in the background, in the foreground.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::Error;
use super::files;
use super::ledger;
use super::registries::Registries;
use super::targets;
use crate::config::Config;
use crate::flow::PullThrough;
use crate::ledger::Journal;
use crate::ledger::Ledger;
use crate::prefetch;
use crate::prefetch::Destination;
use crate::prefetch::Progress;
use crate::prefetch::Report;
use crate::prefetch::Set;
use crate::prefetch::Sources;
use crate::prefetch::Tally;
use crate::prefetch::Tell;
use crate::prefetch::World;
use crate::store;
use crate::store::Store;
use crate::target;
use crate::target::Pace;
use crate::target::Targets;

/// The engine of a proxy without its doors, over the store and the targets that the proxy would
/// serve from.
#[derive(Debug)]
pub struct Sync {
    world: World,
    journal: Option<Arc<Journal>>,
    ledger: Ledger,
}

/// How long blobs that are on their way may take to come to their end.
const FAREWELL: Duration = Duration::from_secs(10);
/// Sets at a time.
const AT_ONCE: usize = 4;

impl Sync {
    /// Builds it for `sets`. No registry is asked yet.
    ///
    /// # Errors
    /// When a part can't be built; when a proxy has the store or what is known of targets:
    /// [`Error::is_locked`].
    pub async fn open(config: &Config, sets: &[Arc<Set>], tell: Tell) -> Result<Self, Error> {
        files::allow_many();
        let journal = super::open_journal(config).map_err(Error::Journal)?;
        let tally = Arc::<Tally>::default();
        let ledger = ledger(None, &tally, journal.as_ref());
        // Where a proxy has what is known of targets, its store is left alone.
        let targets = targets::open_some(config, &ledger, |name| is_wanted(sets, name)).await?;
        let store = super::open_store(config).await.map_err(Error::Store)?;
        let flow = engine(config, &ledger, (store, targets.clone()))?;
        if let Some(targets) = &targets {
            targets.start(tally.watching(flow.supply()));
        }
        let world = World {
            sources: Sources::new(flow.clone()),
            flow,
            targets,
            tally,
            tell,
        };
        Ok(Self {
            world,
            journal,
            ledger,
        })
    }

    /// Runs `sets`, some at a time: their reports, in their order.
    pub async fn run(&self, sets: &[(Arc<Set>, Arc<Progress>)]) -> Vec<Report> {
        let run = |(set, progress): (Arc<Set>, Arc<Progress>)| async move {
            prefetch::run(&set, &self.world, Pace::Background, progress).await
        };
        let runs = sets.iter().cloned().map(run);
        stream::iter(runs.collect::<Vec<_>>())
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    /// Ends it: what was done is on disk at the return.
    pub async fn close(self) {
        self.world.flow.drain();
        // What is half done would have to be done again.
        let _ = tokio::time::timeout(FAREWELL, async {
            if let Some(targets) = &self.world.targets {
                targets.wind_down(FAREWELL).await;
            }
            self.world.flow.settled().await;
        })
        .await;
        if let Some(targets) = &self.world.targets {
            targets.abandon().await;
        }
        drop(self.world);
        if let Some(journal) = self.journal {
            journal.close();
        }
        let books = self.ledger.books();
        if books.imbalance != 0 {
            tracing::error!("the books don't balance: {books:?}");
        }
    }
}

fn is_wanted(sets: &[Arc<Set>], target: &str) -> bool {
    let is_it = |to: &Destination| matches!(to, Destination::Target(name) if **name == *target);
    sets.iter().any(|set| set.to.iter().any(is_it))
}

fn engine(
    config: &Config,
    ledger: &Ledger,
    (store, targets): (Arc<Store>, Option<Arc<Targets>>),
) -> Result<Arc<PullThrough>, Error> {
    let upstreams = Registries::default().follow(&config.upstreams, ledger)?;
    let flow = config.flow.clone();
    Ok(Arc::new(match targets {
        Some(targets) => PullThrough::mirroring(flow, store, upstreams, targets),
        None => PullThrough::new(flow, store, upstreams),
    }))
}

impl Error {
    /// Whether another process has what is needed: a proxy that serves, most likely.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::Journal(error) => error.kind() == ErrorKind::ResourceBusy,
            Self::Store(store::Error::Locked { .. })
            | Self::State(target::state::Error::Locked { .. }) => true,
            _ => false,
        }
    }
}
