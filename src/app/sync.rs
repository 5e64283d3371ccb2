//! Sets of tags, brought once: what a proxy keeps warm in the background, in the foreground.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tempfile::TempDir;

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
use crate::prefetch::Rehearsal;
use crate::prefetch::Report;
use crate::prefetch::Set;
use crate::prefetch::Sources;
use crate::prefetch::Tally;
use crate::prefetch::Tell;
use crate::prefetch::World;
use crate::store;
use crate::store::Store;
use crate::store::carry::Outside;
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

/// Who is asked for what the sets select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Upstreams,
    /// The store alone.
    Store,
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
        Self::reaching(Reach::Upstreams, config, sets, tell).await
    }

    /// As [`Sync::open`], but nothing is asked of upstreams: what the sets select of what is in the
    /// store is brought to their targets.
    ///
    /// # Errors
    /// As [`Sync::open`].
    pub async fn offline(config: &Config, sets: &[Arc<Set>], tell: Tell) -> Result<Self, Error> {
        Self::reaching(Reach::Store, config, sets, tell).await
    }

    async fn reaching(
        reach: Reach,
        config: &Config,
        sets: &[Arc<Set>],
        tell: Tell,
    ) -> Result<Self, Error> {
        files::allow_many();
        let journal = super::open_journal(config).map_err(Error::Journal)?;
        let tally = Arc::<Tally>::default();
        let ledger = ledger(None, &tally, journal.as_ref());
        // Where a proxy has what is known of targets, its store is left alone.
        let targets = targets::open_some(config, &ledger, |name| is_wanted(sets, name)).await?;
        let store = super::open_store(config).await.map_err(Error::Store)?;
        let flow = engine((config, reach), &ledger, (store, targets.clone()))?;
        if let Some(targets) = &targets {
            targets.start(tally.watching(flow.supply()));
        }
        let world = World {
            sources: match reach {
                Reach::Upstreams => Sources::new(flow.clone()),
                Reach::Store => Sources::offline(flow.clone(), config.store.clone()),
            },
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

    /// Ends it: what was done is on disk at the return. Blobs that are on their way, for
    /// the run was broken off, have ten seconds to come to their end.
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

/// What sets would bring. Nothing is changed anywhere.
///
/// # Errors
/// When a registry's configuration can't be used, or there is no room for temporary files.
pub async fn rehearse(
    config: &Config,
    sets: &[(Arc<Set>, Arc<Progress>)],
    tell: Tell,
) -> Result<Vec<Report>, Error> {
    files::allow_many();
    let stage = Stage::set(config).await?;
    let tally = Arc::<Tally>::default();
    let ledger = ledger(None, &tally, None);
    let spool = store::Config {
        path: stage.folder.path().join("spool"),
        max_size: None,
    };
    let store = Store::spool(spool).await.map_err(Error::Store)?;
    let flow = engine((config, Reach::Upstreams), &ledger, (store, None))?;
    let wanted: Vec<_> = sets.iter().map(|(set, _)| set.clone()).collect();
    let state = stage.folder.path().join("targets.redb");
    let is_it = |name: &str| is_wanted(&wanted, name);
    let targets = targets::open_at(state, config, &ledger, is_it).await?;
    let world = World {
        sources: Sources::new(flow.clone()),
        flow,
        targets,
        tally,
        tell,
    };
    let mut reports = Vec::new();
    for (set, progress) in sets {
        let rehearsal = stage.rehearsal.clone();
        reports.push(prefetch::rehearse(set, &world, rehearsal, progress.clone()).await);
    }
    Ok(reports)
}

/// Where nothing can be changed: what is known of targets is a copy, and the store is looked at from
/// outside.
struct Stage {
    folder: TempDir,
    rehearsal: Rehearsal,
}

impl Stage {
    async fn set(config: &Config) -> Result<Self, Error> {
        let (store, known) = (config.store.clone(), targets::file(config));
        let keeps = config.store_enabled;
        let set = tokio::task::spawn_blocking(move || {
            let folder = tempfile::Builder::new()
                .prefix("tidegate-sync-")
                .tempdir()?;
            let copied = std::fs::copy(known, folder.path().join("targets.redb"));
            match copied {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let store = keeps.then(|| Outside::open(&store).ok()).flatten();
            let rehearsal = Rehearsal::new(store);
            Ok(Self { folder, rehearsal })
        });
        let set = set
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        set.map_err(Error::Stage)
    }
}

fn is_wanted(sets: &[Arc<Set>], target: &str) -> bool {
    let is_it = |to: &Destination| matches!(to, Destination::Target(name) if **name == *target);
    sets.iter().any(|set| set.to.iter().any(is_it))
}

fn engine(
    (config, reach): (&Config, Reach),
    ledger: &Ledger,
    (store, targets): (Arc<Store>, Option<Arc<Targets>>),
) -> Result<Arc<PullThrough>, Error> {
    let mut upstreams = Registries::default().follow(&config.upstreams, ledger)?;
    if reach == Reach::Store {
        for upstream in &mut upstreams {
            upstream.registry = Arc::new(upstream.registry.shut());
        }
    }
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
