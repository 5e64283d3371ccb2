//! Benchmarks: tidegate side by side with its peers, in one run on one machine.
//!
//! What is measured, and how, is in `docs/performance.md`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;

use machine::Machine;
use patience::Patience;
use report::Report;
use results::Results;

mod all;
mod compare;
mod corpus;
mod faults;
mod folder;
mod governor;
mod link;
mod load;
mod machine;
mod measure;
mod mirroring;
mod mixed;
mod origin;
mod patience;
mod peers;
mod report;
mod results;
mod run;
mod scenarios;
mod soak;
mod stop;
mod tap;
mod targets;

/// Benchmarks: tidegate side by side with its peers, in one run on one machine.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
enum Command {
    /// Every scenario, in one report: Markdown, JSON, and a page with plots.
    All(Options),
    /// Cold and stored blobs, manifests, herds, memory and CPU of the proxy.
    Serve(Options),
    /// Two runs side by side: what became faster or slower, and what is only noise. Fails where
    /// something became worse.
    Compare(compare::Options),
    /// The same faults against tidegate and docker-registry: what clients see, what the upstream
    /// is asked.
    Faults(faults::Options),
    /// How much passes through the tap: beside no proxy at all, and mitmproxy.
    Tap(tap::Options),
    /// Everything at once, for long: pulls, moving tags, faults, restarts. Fails on a wrong byte.
    Soak(soak::Options),
    /// Requests against a registry that limits their rate, or how many come at once: how much of the
    /// limit is used, and how much is refused.
    Governor(governor::Options),
    /// A corpus mirrored into a registry, beside skopeo, regsync and crane: time, requests, mounts.
    Targets(targets::Options),
    /// The same, kept in step: cold, again, after some tags moved, broken off half-way.
    Sync(targets::Options),
    /// Ten thousand small images by `tidegate sync`: time, memory, requests.
    SyncMany(targets::sync::ManyOptions),
    /// Clients beside a prefetch: how long they wait for the first byte.
    Mixed(mixed::Options),
}

/// What to run, and how often.
#[derive(Clone, Debug, clap::Args)]
struct Options {
    /// Three iterations instead of five, and shorter ones.
    #[arg(long)]
    quick: bool,
    /// How often each scenario is run for each system [default: 5; 3 with --quick].
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Only these scenarios (may be repeated, or joined with commas).
    #[arg(long, value_name = "SCENARIO", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these systems, by what their columns are called, such as nginx or "distribution v3".
    #[arg(long, value_name = "SYSTEM", value_delimiter = ',')]
    peers: Vec<String>,
    /// Clients hash what they pull, as real ones do.
    #[arg(long)]
    verify: bool,
    /// Where results are kept: a folder for each commit, machine, corpus and time.
    #[arg(long, value_name = "DIR", default_value = "bench-results")]
    results: PathBuf,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where the caches are put: on a real disk, with 10 GiB free.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Wait up to so many seconds for a quiet machine before each sample [default: 60; with --quick
    /// 5, and no more than a tenth of the run].
    #[arg(long, value_name = "SECONDS")]
    patience: Option<Patience>,
}

impl Options {
    /// How often each scenario is run for each system.
    fn iterations(&self) -> usize {
        self.iterations.unwrap_or(if self.quick { 3 } else { 5 })
    }

    /// How long to wait for a quiet machine before each sample, in a run that begins now if it has
    /// not begun.
    fn patience(&self) -> Patience {
        match &self.patience {
            Some(patience) => patience.clone(),
            None if self.quick => Patience::quick(),
            None => Patience::full(),
        }
    }

    /// The same for a run that begins now: all its scenarios share its patience.
    fn begin(&self) -> Self {
        Self {
            patience: Some(self.patience()),
            ..self.clone()
        }
    }

    /// The same, with the tidegate that is measured named: built now, where it has to be.
    ///
    /// # Errors
    /// When there is none.
    fn with_tidegate(&self) -> anyhow::Result<Self> {
        Ok(Self {
            tidegate: Some(peers::tidegate::wanted(self.tidegate.as_deref())?),
            ..self.clone()
        })
    }
}

/// Whether `names` name it; where there are none, all are wanted.
fn is_wanted(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|it| it == name)
}

fn main() -> anyhow::Result<()> {
    let done = run_command();
    folder::remove_left();
    done
}

fn run_command() -> anyhow::Result<()> {
    let table = match Command::parse() {
        Command::All(options) => return all::run(&options),
        Command::Serve(options) => return serve(&options),
        Command::Compare(options) => return compare::run(&options),
        Command::Soak(options) => return soak::run(&options),
        Command::Mixed(options) => return mixed(&options),
        Command::Faults(options) => faults::run(&options),
        Command::Tap(options) => tap::run(&options),
        Command::Governor(options) => governor::run(&options),
        Command::Targets(options) => targets::run(&options),
        Command::Sync(options) => targets::sync::run(&options),
        Command::SyncMany(options) => targets::sync::run_many(&options),
    }?;
    print!("{table}");
    Ok(())
}

/// One suite alone.
fn serve(options: &Options) -> anyhow::Result<()> {
    stop::listen()?;
    let options = &options.with_tidegate()?.begin();
    let start = Instant::now();
    let machine = Machine::look(&options.dir)?;
    let mut report = Report::new(machine, "blobs", options.iterations());
    (report.quick, report.verify) = (options.quick, options.verify);
    let results = Results::begin(&options.results, &report)?;
    let ended = run::run(options, &mut report, &results);
    report.took = start.elapsed().as_secs_f64();
    results.keep(&report)?;
    print!("{}", report::markdown(&report));
    eprintln!("kept in {}", results.folder().display());
    ended
}

/// One scenario alone.
fn mixed(options: &mixed::Options) -> anyhow::Result<()> {
    stop::listen()?;
    let machine = Machine::look(&options.dir)?;
    let mut report = Report::new(machine, "blobs", options.iterations);
    mixed::run(options, &mut report)?;
    print!("{}", report::markdown(&report));
    Ok(())
}
