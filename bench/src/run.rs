//! The run: each scenario for each system, one at a time, in rotated order.

use std::time::Duration;

use anyhow::Context;

use crate::Options;
use crate::load::Puller;
use crate::machine::Machine;
use crate::measure;
use crate::origin::Origin;
use crate::peers;
use crate::peers::Peer;
use crate::report::Report;
use crate::report::Sample;
use crate::scenarios;
use crate::scenarios::Bench;
use crate::scenarios::Scenario;
use crate::stop;

/// A sample during which strangers took more than this share of the machine is taken again.
const DISTURBED: f64 = 0.05;

/// How often a disturbed sample is taken, at most.
const TRIES: usize = 4;

/// Runs what `options` say.
///
/// # Errors
/// When a system is missing or fails, or a signal ends the run.
pub(crate) fn run(options: &Options) -> anyhow::Result<Report> {
    stop::listen()?;
    let scenarios = chosen(&options.only)?;
    let mut machine = Machine::look(&options.dir)?;
    let mut peers = systems(options)?;
    peers.retain(|peer| scenarios.iter().any(|one| one.concerns(peer)));
    for peer in &peers {
        machine
            .versions
            .insert(peer.name().to_owned(), peer.version()?);
    }
    let origin = Origin::start()?;
    let mut report = Report::new(machine, options, &peers, &scenarios);
    for scenario in &scenarios {
        let peers: Vec<_> = peers
            .iter()
            .filter(|peer| scenario.concerns(peer))
            .collect();
        for iteration in 0..options.iterations() {
            for turn in 0..peers.len() {
                let peer = peers[(iteration + turn) % peers.len()];
                let sample = careful(scenario.as_ref(), peer, &origin, options)
                    .with_context(|| format!("{} of {}", scenario.name(), peer.name()))?;
                eprintln!(
                    "{} {}/{} {}: {}",
                    scenario.name(),
                    iteration + 1,
                    options.iterations(),
                    peer.name(),
                    sample.line(&scenario.rows()),
                );
                report.add(scenario.name(), peer.name(), sample);
            }
        }
    }
    Ok(report)
}

/// One sample, taken again while strangers disturb it.
fn careful(
    scenario: &dyn Scenario,
    peer: &Peer,
    origin: &Origin,
    options: &Options,
) -> anyhow::Result<Sample> {
    let mut best: Option<Sample> = None;
    for _ in 0..TRIES {
        let sample = once(scenario, peer, origin, options)?;
        if best.as_ref().is_none_or(|b| sample.foreign < b.foreign) {
            best = Some(sample);
        }
        if best.as_ref().is_some_and(|b| b.foreign < DISTURBED) {
            break;
        }
    }
    best.context("no sample was taken")
}

fn once(
    scenario: &dyn Scenario,
    peer: &Peer,
    origin: &Origin,
    options: &Options,
) -> anyhow::Result<Sample> {
    stop::check()?;
    rustix::fs::sync();
    let system = peer.start(&options.dir, origin.addr)?;
    let bench = Bench {
        system: &system,
        origin,
        puller: Puller {
            addr: system.addr,
            verify: options.verify,
        },
        quick: options.quick,
    };
    measure::await_quiet(system.pid(), Duration::from_secs(options.patience));
    let start = std::time::Instant::now();
    let before = measure::cpu(system.pid()).foreign;
    let figures = scenario
        .run(&bench)
        .with_context(|| format!("its log ends with:\n{}", system.log()))?;
    let foreign = (measure::cpu(system.pid()).foreign - before).max(0.0);
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok(Sample {
        figures,
        foreign: foreign / cores / start.elapsed().as_secs_f64(),
    })
}

/// The scenarios that `only` names; all where it names none.
fn chosen(only: &[String]) -> anyhow::Result<Vec<Box<dyn Scenario>>> {
    let names: Vec<_> = scenarios::all().iter().map(|one| one.name()).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!(
            "there is no scenario '{unknown}'; there are: {}",
            names.join(", ")
        );
    }
    let mut all = scenarios::all();
    all.retain(|one| only.is_empty() || only.iter().any(|name| name == one.name()));
    Ok(all)
}

/// The systems that the options name; all where they name none.
fn systems(options: &Options) -> anyhow::Result<Vec<Peer>> {
    let wanted = |name: &str| options.peers.is_empty() || options.peers.iter().any(|p| p == name);
    let tidegate = match &options.tidegate {
        _ if !wanted("tidegate") => None,
        Some(path) => Some(path.clone()),
        None => peers::tidegate::find()?,
    };
    if wanted("tidegate") && tidegate.is_none() {
        eprintln!("no tidegate is beside this program: its column is left out");
    }
    let mut peers = Peer::all(tidegate);
    let names: Vec<_> = peers.iter().map(Peer::name).collect();
    if let Some(unknown) = options.peers.iter().find(|p| !names.contains(&p.as_str())) {
        anyhow::bail!(
            "there is no system '{unknown}'; there are: {}",
            names.join(", ")
        );
    }
    peers.retain(|peer| wanted(peer.name()) || peer.is_journalled() && wanted("tidegate"));
    peers.retain(|peer| match peer.version() {
        Ok(_) => true,
        Err(error) => {
            eprintln!("{} is absent: {error:#}", peer.name());
            false
        }
    });
    Ok(peers)
}
