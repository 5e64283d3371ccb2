//! A corpus of images mirrored from one registry into another: tidegate beside sync tools, in turn,
//! each into an empty target. What was asked of whom is what the registries wrote into their access
//! logs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::machine::Machine;
use crate::measure;
use crate::peers;
use crate::stop;

mod contestant;
mod count;
mod proxy;
mod pull;
pub(crate) mod sync;
mod table;
mod tools;
mod world;

use contestant::Contestant;
use count::Count;
use world::World;

/// How much, how often, and who.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each contestant mirrors the corpus.
    #[arg(long, value_name = "N", default_value_t = 3)]
    iterations: usize,
    /// Bytes of all blobs, about, in millions.
    #[arg(long, value_name = "MB", default_value_t = 200)]
    megabytes: u64,
    /// Another corpus of the same shape.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only these: tidegate, tidegate-restarted, tidegate-copy, tidegate-sync, skopeo, regsync, crane.
    #[arg(long, value_name = "CONTESTANT", value_delimiter = ',')]
    only: Vec<String>,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where registries and stores are put: on a real disk, with 5 GiB free.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Wait up to this long for a quiet machine before each run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
}

/// What a contestant took to mirror the corpus once.
#[derive(Clone, Debug)]
struct Outcome {
    effort: Effort,
    source: Count,
    target: Count,
    /// Images that are not, or not wholly, in the target.
    lacking: usize,
}

/// What it took of the machine.
#[derive(Clone, Debug, Default)]
struct Effort {
    wall: Duration,
    /// When the clients had all, where there are any.
    pulled: Option<Duration>,
    /// Processor time, in seconds.
    cpu: f64,
    /// The most memory that a process of it ever had, in MiB.
    peak: f64,
    /// What it said, where it failed.
    failure: Option<String>,
}

/// Mirrors the corpus by each contestant, and lays out what it took.
///
/// # Errors
/// When no registry can be started, or a signal ends the run. That a contestant fails is told in
/// the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let machine = Machine::look(&options.dir)?;
    let contestants = Contestant::all(tidegate(options)?, &options.only)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let world = runtime.block_on(World::start(options))?;
    let mut all: Vec<Vec<Outcome>> = vec![Vec::new(); contestants.len()];
    for iteration in 0..options.iterations {
        for turn in 0..contestants.len() {
            stop::check()?;
            let at = (iteration + turn) % contestants.len();
            let contestant = &contestants[at];
            rustix::fs::sync();
            measure::await_quiet(None, Duration::from_secs(options.patience));
            let outcome = runtime
                .block_on(once(contestant, &world, options))
                .with_context(|| contestant.name())?;
            eprintln!("{}", table::line(contestant.name(), &outcome));
            all[at].push(outcome);
        }
    }
    runtime.shutdown_background();
    Ok(table::render(&machine, &world.extent, (&contestants, &all)))
}

/// The tidegate that is measured, where one is wanted.
fn tidegate(options: &Options) -> anyhow::Result<Option<PathBuf>> {
    let own = |name: &String| name.starts_with("tidegate");
    match &options.tidegate {
        Some(path) => Ok(Some(std::path::absolute(path)?)),
        None if options.only.is_empty() || options.only.iter().any(own) => peers::tidegate::find(),
        None => Ok(None),
    }
}

async fn once(
    contestant: &Contestant,
    world: &World,
    options: &Options,
) -> anyhow::Result<Outcome> {
    let stage = world.stage(&options.dir).await?;
    let effort = contestant.mirror(world, &stage).await?;
    Ok(Outcome {
        effort,
        source: world.asked_of_source(&stage).await,
        target: world.asked_of_target(&stage).await,
        lacking: world.lacking(&stage, |name| contestant.place(name)),
    })
}
