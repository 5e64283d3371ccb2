//! The soak: everything at once, for long, on one proxy with too small a store.
//!
//! Clients pull images in all the ways that clients have, tags move, upstreams commit faults, are
//! out and come back, tidegate is reloaded, ended and killed, and `store verify` runs beside it.
//! Every body that is completed is held against what it must be, at once. What is random comes
//! from one seed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Random;

use crate::peers;
use crate::report::OWN;
use crate::report::Report;

mod body;
mod client;
mod life;
mod proxy;
mod pull;
mod series;
mod summary;
mod tally;
mod trouble;
mod world;

use tally::Tally;

/// How long, and with which seed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long, without what is checked at the end.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) minutes: u64,
    /// One minute.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Repeats the choices of another run [default: another one each time].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// How many clients there are.
    #[arg(long, value_name = "N", default_value_t = 12)]
    pub(crate) clients: usize,
    /// The tidegate to soak [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    pub(crate) tidegate: Option<PathBuf>,
    /// Where the store is put: on a real disk, with 1 GiB free.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) dir: PathBuf,
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(60 * if self.quick { 1 } else { self.minutes })
    }
}

/// What came of a soak.
struct Soaked {
    tally: Shared<Tally>,
    report: life::Report,
    seed: u64,
    took: Duration,
}

/// Soaks, and prints what came of it.
///
/// # Errors
/// When anything was wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    crate::stop::listen()?;
    let soaked = soak(options)?;
    let (tally, seed) = (&soaked.tally, soaked.seed);
    let page = summary::render(tally, &soaked.report, (seed, soaked.took));
    print!("{page}");
    match tally.failure() {
        Some(failure) => anyhow::bail!("seed {seed}: {failure}"),
        None => Ok(()),
    }
}

/// Soaks, and adds what came of it to `report`. What was wrong is told there.
///
/// # Errors
/// When tidegate is not there, or the run can't go on.
pub(crate) fn add(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let soaked = soak(options)?;
    for failure in soaked.tally.failures() {
        report.note(NAME, OWN, &anyhow::anyhow!("WRONG {failure}"));
    }
    report
        .sections
        .push(summary::section(&soaked.tally, &soaked.report));
    Ok(())
}

/// The scenario's name.
pub(crate) const NAME: &str = "soak";

fn soak(options: &Options) -> anyhow::Result<Soaked> {
    let tidegate = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let seed = options
        .seed
        .unwrap_or(clock.as_nanos() as u64 % 1_000_000_000);
    let minutes = options.length().as_secs() / 60;
    eprintln!("soaking for {minutes} minutes with the seed {seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build()?;
    let start = Instant::now();
    let soaked = runtime.block_on(life::live(options, &tidegate, Random::new(seed)));
    let (tally, report) = soaked?;
    runtime.shutdown_background();
    Ok(Soaked {
        tally,
        report,
        seed,
        took: start.elapsed(),
    })
}

/// What all tasks share.
type Shared<T> = Arc<T>;

/// A number below `count`.
fn pick(random: &mut Random, count: usize) -> usize {
    (random.next_u64() % count as u64) as usize
}
