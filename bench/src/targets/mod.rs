//! A corpus of images mirrored from one registry into another: tidegate beside sync tools, in turn,
//! each into an empty target. What was asked of whom is what the registries wrote into their access
//! logs.

use std::path::PathBuf;
use std::time::Duration;

use crate::machine::Machine;
use crate::patience::Patience;
use crate::peers;
use crate::stop;

mod contestant;
mod count;
mod measured;
mod proxy;
mod pull;
mod relay;
pub(crate) mod sync;
mod table;
mod tapped;
mod world;

use contestant::Contestant;
use count::Count;
use world::World;

pub(crate) use measured::About;
pub(crate) use measured::Line;
pub(crate) use measured::Measured;
pub(crate) use measured::Round;
pub(crate) use tapped::tapped;

/// How much, how often, and who.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each contestant mirrors the corpus.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) iterations: usize,
    /// Which of the corpora: public, quick, large, or another one of the file.
    #[arg(long, value_name = "NAME", default_value = "public")]
    pub(crate) corpus: String,
    /// Describes corpora, instead of bench/corpus.toml.
    #[arg(long, value_name = "FILE")]
    pub(crate) corpus_file: Option<PathBuf>,
    /// So many of a hundred of its images. Where there are several, `sync` runs all rounds with the
    /// most, and the cold one with each.
    #[arg(
        long,
        value_name = "PERCENT",
        value_delimiter = ',',
        default_value = "100"
    )]
    pub(crate) scale: Vec<usize>,
    /// Only these: tidegate, tidegate-restarted, tidegate-copy, tidegate-sync, skopeo, regsync, crane,
    /// dregsy.
    #[arg(long, value_name = "CONTESTANT", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Of `sync`: not the rounds in which signatures and referrers come with the images.
    #[arg(long)]
    pub(crate) images_only: bool,
    /// Of `sync`: runs each contestant once more through `tidegate tap`, and writes what it recorded
    /// into this folder, with a page that holds the runs side by side.
    #[arg(long, value_name = "DIR")]
    pub(crate) journals: Option<PathBuf>,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    pub(crate) tidegate: Option<PathBuf>,
    /// Where registries and stores are put: on a real disk, with 5 GiB free.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
    /// Wait up to this long for a quiet machine before each run.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) patience: Patience,
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
    /// The most memory that the processes of it had, in MiB.
    peak: f64,
    /// What it said, where it failed.
    failure: Option<String>,
}

/// Mirrors the corpus by each contestant, and lays out what it took.
///
/// # Errors
/// When no registry can be started, or a signal ends the run. That a contestant fails or is absent
/// is told in the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let machine = Machine::look(&options.dir)?;
    let own = options.tidegate()?;
    let (contestants, absent) = Contestant::all(own.as_deref(), &options.only)?;
    let runtime = runtime()?;
    let world = runtime.block_on(World::start(options, options.most(), false))?;
    let mut round = Round::new("mirrored into an empty target", &world);
    (round.percent, round.lines) = (options.most(), table::lines(&world.extent));
    for iteration in 0..options.iterations {
        for turn in 0..contestants.len() {
            stop::check()?;
            let contestant = &contestants[(iteration + turn) % contestants.len()];
            rustix::fs::sync();
            options.patience.await_quiet(None);
            let outcome = runtime.block_on(once(contestant, &world, options));
            round.add(contestant.name(), outcome)?;
        }
    }
    runtime.shutdown_background();
    let measured = Measured {
        corpus: options.corpus.clone(),
        about: contestants.iter().map(About::of).collect(),
        absent,
        rounds: vec![round],
    };
    Ok(table::render(&machine, &measured))
}

/// Builds the tools that will take part, where they have to be built and can be.
///
/// # Errors
/// When one is named that is none.
pub(crate) fn build(options: &Options) -> anyhow::Result<()> {
    let own = options.tidegate()?;
    Contestant::all(own.as_deref(), &options.only)?;
    Ok(())
}

impl Options {
    /// The largest of the scales.
    fn most(&self) -> usize {
        self.scale.iter().copied().max().unwrap_or(100)
    }

    /// The tidegate that is measured, where one is wanted.
    fn tidegate(&self) -> anyhow::Result<Option<PathBuf>> {
        let own = |name: &String| name.starts_with("tidegate");
        let is_wanted = self.only.is_empty() || self.only.iter().any(own);
        match &self.tidegate {
            Some(path) => Ok(Some(std::path::absolute(path)?)),
            None if is_wanted => peers::tidegate::find(),
            None => Ok(None),
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().build()?)
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
