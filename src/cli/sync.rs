//! `tidegate sync`: one pass over prefetch sets, in the foreground; by the proxy that runs, where
//! one does.

use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use serde::Serialize;

use super::exit::Exit;
use super::exit::Failure;
use super::print;
use super::running::Running;
use crate::app;
use crate::app::Sync;
use crate::config::Config;
use crate::config::Source;
use crate::prefetch::Destination;
use crate::prefetch::Outcome;
use crate::prefetch::Progress;
use crate::prefetch::Report;
use crate::prefetch::Set;
use crate::prefetch::Tell;

mod handed_over;
mod interrupt;
mod offline;
mod show;
mod table;

pub(super) use show::is_on_terminal;

/// Arguments of `tidegate sync`.
#[derive(Args, Debug)]
pub(super) struct SyncArgs {
    /// The sets, as `[[prefetch]]` names them [default: the only one]
    #[arg(value_name = "SET")]
    sets: Vec<String>,
    /// All sets
    #[arg(long, conflicts_with = "sets")]
    all: bool,
    /// Only say what would be fetched, mounted and uploaded: nothing is changed anywhere
    #[arg(long)]
    dry_run: bool,
    /// Ask no upstream: bring what is in the store to the targets
    #[arg(long, conflicts_with = "dry_run")]
    offline: bool,
    /// Print JSON: what became of each image
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON. Keys are added, never taken away.
#[derive(Serialize)]
struct Printed<'a> {
    sets: &'a [Report],
}

/// Runs `tidegate sync`.
pub(super) async fn run(args: &SyncArgs, source: &Source, quiet: bool) -> Result<Exit, Failure> {
    let config = source.load()?;
    let mut sets = args.chosen(&config, source)?;
    if args.offline {
        sets = offline::prepared(&config, &sets)?;
    }
    check(&config, &sets)?;
    let watched: Vec<(Arc<Set>, Arc<Progress>)> = sets
        .iter()
        .map(|set| (set.clone(), Arc::<Progress>::default()))
        .collect();
    let tell = match args.json {
        true => Tell::All,
        false => Tell::Changes,
    };
    let reports = if args.dry_run {
        rehearsed(&config, &watched, (tell, quiet)).await?
    } else {
        brought(&config, &watched, (args, tell, quiet)).await?
    };
    match args.json {
        true => print::json(&Printed { sets: &reports })?,
        false => table::reports(&reports, &mut std::io::stdout().lock())?,
    }
    Ok(exit(&reports))
}

type Watched = [(Arc<Set>, Arc<Progress>)];

/// Runs the sets, here or in the proxy that has the store.
async fn brought(
    config: &Config,
    watched: &Watched,
    (args, tell, quiet): (&SyncArgs, Tell, bool),
) -> Result<Vec<Report>, Failure> {
    let sets: Vec<Arc<Set>> = watched.iter().map(|(set, _)| set.clone()).collect();
    let opened = match args.offline {
        true => Sync::offline(config, &sets, tell).await,
        false => Sync::open(config, &sets, tell).await,
    };
    match opened {
        Ok(sync) => {
            let reports = watch(sync.run(watched), watched, quiet).await;
            sync.close().await;
            Ok(reports)
        }
        // A proxy that serves would ask its upstreams.
        Err(locked) if locked.is_locked() && !args.offline => {
            let running = Running::find(config).await;
            let running = running.ok_or_else(|| busy(locked))?;
            handed_over::run(running, &sets, quiet).await
        }
        Err(error) => Err(error.into()),
    }
}

/// What the sets would bring.
async fn rehearsed(
    config: &Config,
    watched: &Watched,
    (tell, quiet): (Tell, bool),
) -> Result<Vec<Report>, Failure> {
    let rehearsal = app::rehearse(config, watched, tell);
    Ok(watch(rehearsal, watched, quiet).await?)
}

impl SyncArgs {
    /// The sets that are meant.
    fn chosen(&self, config: &Config, source: &Source) -> Result<Vec<Arc<Set>>, Failure> {
        let all: Vec<Arc<Set>> = config.prefetch.iter().cloned().map(Arc::new).collect();
        let names: Vec<&str> = all.iter().map(|set| &*set.name).collect();
        let misused = |why: String| Err(Failure::misused(anyhow!("{source}: {why}")));
        match (&self.sets[..], &all[..]) {
            (_, []) => misused("there is no [[prefetch]], so there is nothing to sync".to_owned()),
            ([], [_]) => Ok(all),
            ([], _) if self.all => Ok(all),
            ([], _) => misused(format!(
                "which sets are meant? There are {}; name some, or add --all",
                names.join(", ")
            )),
            (named, _) => {
                let mut chosen: Vec<Arc<Set>> = Vec::new();
                for name in named {
                    match all.iter().find(|set| *set.name == **name) {
                        Some(set) if chosen.iter().any(|it| it.name == set.name) => {}
                        Some(set) => chosen.push(set.clone()),
                        None => {
                            let there = names.join(", ");
                            return misused(format!("there is no set '{name}'; there are {there}"));
                        }
                    }
                }
                Ok(chosen)
            }
        }
    }
}

/// What is not kept can't be brought.
fn check(config: &Config, sets: &[Arc<Set>]) -> Result<(), Failure> {
    let wants_store = |set: &&Arc<Set>| set.to.contains(&Destination::Store);
    match sets.iter().find(wants_store) {
        Some(set) if !config.store_enabled => Err(Failure::misused(anyhow!(
            "the set '{}' goes to the store, but [store] enabled is false",
            set.name
        ))),
        _ => Ok(()),
    }
}

fn busy(locked: app::Error) -> Failure {
    Failure::nothing(anyhow!(
        "{locked}. A proxy that serves is to do this itself: ask it by its admin listener \
         (server.admin; POST /api/v1/prefetch/<set>), or stop it"
    ))
}

/// Shows how far `work` is. The first signal breaks it off.
async fn watch<T>(work: impl Future<Output = T>, sets: &Watched, quiet: bool) -> T {
    let look = || {
        sets.iter()
            .map(|(_, progress)| progress.snapshot())
            .collect()
    };
    let (mut work, shown) = (std::pin::pin!(work), show::show(look, quiet));
    tokio::select! {
        done = &mut work => return done,
        never = shown => match never {},
        () = interrupt::heard() => {
            tracing::warn!("interrupted: what is under way is broken off; what was done stays known");
            sets.iter().for_each(|(_, progress)| progress.abandon());
        }
    }
    work.await
}

fn exit(reports: &[Report]) -> Exit {
    let all = |outcome| reports.iter().all(|report| report.outcome == outcome);
    match (all(Outcome::Done), all(Outcome::Nothing)) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Nothing,
        (false, false) => Exit::Partly,
    }
}
