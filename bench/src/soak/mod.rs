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

use anyhow::Context;
use fake_registry::Random;

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

/// How long, and with which seed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How long, without what is checked at the end.
    #[arg(long, value_name = "N", default_value_t = 20)]
    minutes: u64,
    /// One minute.
    #[arg(long)]
    quick: bool,
    /// Repeats the choices of another run [default: another one each time].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many clients there are.
    #[arg(long, value_name = "N", default_value_t = 12)]
    clients: usize,
    /// The tidegate to soak [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where the store is put: on a real disk, with 1 GiB free.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

impl Options {
    fn length(&self) -> Duration {
        Duration::from_secs(60 * if self.quick { 1 } else { self.minutes })
    }
}

/// Soaks, and prints what came of it.
///
/// # Errors
/// When anything was wrong.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    crate::stop::listen()?;
    let tidegate = match &options.tidegate {
        // It is started in a folder of its own.
        Some(path) => std::path::absolute(path)?,
        None => crate::peers::tidegate::find()?.context("there is no tidegate beside this")?,
    };
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
    print!(
        "{}",
        summary::render(&tally, &report, (seed, start.elapsed()))
    );
    match tally.failure() {
        Some(failure) => anyhow::bail!("seed {seed}: {failure}"),
        None => Ok(()),
    }
}

/// What all tasks share.
type Shared<T> = Arc<T>;

/// A number below `count`.
fn pick(random: &mut Random, count: usize) -> usize {
    (random.next_u64() % count as u64) as usize
}
