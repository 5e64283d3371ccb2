//! How much passes through the tap: curl pulls a file from nginx, straight, through the tap, and
//! through mitmproxy, in one run. All of them share the machine, so the rates are those of the whole
//! chain; the proxy's own CPU time says what it takes of it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context;

use crate::machine::Machine;
use crate::measure;
use crate::patience::Patience;
use crate::peers;
use crate::stop;

mod client;
mod origin;
mod system;

use client::Client;
use origin::Origin;
use system::System;

/// What to run, and how often.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each way is taken through each system.
    #[arg(long, value_name = "N", default_value_t = 5)]
    iterations: usize,
    /// The tidegate to measure [default: the release build, built first where run by cargo].
    #[arg(long, value_name = "PATH")]
    tidegate: Option<PathBuf>,
    /// Where files are put.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Wait up to this long for a quiet machine before each sample.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    patience: Patience,
}

/// How curl talks to nginx.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Http1,
    Http2,
}

impl Way {
    const ALL: [Self; 3] = [Self::Plain, Self::Http1, Self::Http2];

    fn title(self) -> &'static str {
        match self {
            Self::Plain => "HTTP/1.1, clear text",
            Self::Http1 => "HTTP/1.1, TLS",
            Self::Http2 => "HTTP/2, TLS",
        }
    }

    /// What the tap is to reach, in MB/s.
    fn aim(self) -> f64 {
        match self {
            Self::Plain => 1000.0,
            Self::Http1 | Self::Http2 => 500.0,
        }
    }
}

/// How many curls pull at the same time.
const CROWDS: [usize; 2] = [1, 4];

/// One sample.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Of all clients together, in MB/s.
    rate: f64,
    /// Of the proxy, in seconds for each GiB.
    cpu: f64,
    /// Of the proxy, in MiB.
    peak: f64,
}

/// Runs all; the table.
///
/// # Errors
/// When a program is missing or fails, or a signal ends the run.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    stop::listen()?;
    let tidegate = match &options.tidegate {
        Some(path) => path.clone(),
        None => peers::tidegate::find()?.context("no tidegate is beside this program")?,
    };
    let machine = Machine::look(&options.dir)?;
    let origin = Origin::start(&options.dir)?;
    let systems = System::all(tidegate);
    let mut text = format!(
        "{} cores of {}, {}; {}\n\n| way | clients | system | MB/s | CPU of the proxy, s/GiB | \
         peak memory, MiB |\n|---|---:|---|---:|---:|---:|\n",
        machine.cores, machine.cpu, machine.kernel, machine.commit
    );
    for way in Way::ALL {
        for clients in CROWDS {
            let mut all: Vec<Vec<Sample>> = vec![Vec::new(); systems.len()];
            for iteration in 0..options.iterations {
                for turn in 0..systems.len() {
                    let at = (iteration + turn) % systems.len();
                    let sample = once(options, (&systems[at], &origin), way, clients)?;
                    eprintln!("{way:?} {clients} {}: {sample:?}", systems[at].name());
                    all[at].push(sample);
                }
            }
            for (system, samples) in systems.iter().zip(&all) {
                row(&mut text, (way, clients), system, samples);
            }
        }
    }
    Ok(text)
}

fn once(
    options: &Options,
    (system, origin): (&System, &Origin),
    way: Way,
    clients: usize,
) -> anyhow::Result<Sample> {
    stop::check()?;
    let running = system.start(&options.dir, origin)?;
    let pid = running.as_ref().and_then(peers::Running::pid);
    options.patience.await_quiet(pid);
    let client = Client::of(system, running.as_ref(), origin, way);
    // Certificates are made and buffers grow once.
    client.pull(1, origin.small(way))?;
    let before = measure::cpu(pid).own;
    let pulled = client.pull(clients, system.file(origin, way));
    let (bytes, took) = pulled.with_context(|| {
        let log = running.as_ref().map(peers::Running::log);
        format!("{way:?} of {}: {}", system.name(), log.unwrap_or_default())
    })?;
    let cpu = measure::cpu(pid).own - before;
    Ok(Sample {
        rate: bytes as f64 / 1e6 / took.as_secs_f64(),
        cpu: cpu / (bytes as f64 / f64::from(1 << 30)),
        peak: pid.map_or(0.0, measure::peak),
    })
}

fn row(text: &mut String, (way, clients): (Way, usize), system: &System, samples: &[Sample]) {
    let median = |of: fn(&Sample) -> f64| {
        let all: Vec<f64> = samples.iter().map(of).collect();
        measure::quantile(&all, 0.5).unwrap_or(f64::NAN)
    };
    let rate = median(|sample| sample.rate);
    let reached = match system {
        System::Tap(_) if rate >= way.aim() => format!(" (aim {}: reached)", way.aim()),
        System::Tap(_) => format!(" (aim {}: missed)", way.aim()),
        _ => String::new(),
    };
    let own = |value: f64, places: usize| match system {
        System::Direct => "-".to_owned(),
        _ => format!("{value:.places$}"),
    };
    let _ = writeln!(
        text,
        "| {} | {clients} | {} | {rate:.0}{reached} | {} | {} |",
        way.title(),
        system.name(),
        own(median(|sample| sample.cpu), 2),
        own(median(|sample| sample.peak), 0),
    );
}
