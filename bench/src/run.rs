//! The run: each scenario for each system, one at a time, in rotated order.

use std::sync::Arc;
use std::time::Instant;

use crate::Options;
use crate::is_wanted;
use crate::load::Puller;
use crate::measure;
use crate::origin::Origin;
use crate::peers;
use crate::peers::Certificate;
use crate::peers::Peer;
use crate::peers::Upstream;
use crate::report::Absent;
use crate::report::Line;
use crate::report::Report;
use crate::report::Section;
use crate::report::System;
use crate::report::figure;
use crate::results::Results;
use crate::scenarios;
use crate::scenarios::Bench;
use crate::scenarios::Scenario;
use crate::stop;

/// A sample during which strangers took more than this share of the machine is taken again.
const DISTURBED: f64 = 0.05;

/// How often a disturbed sample is taken, at most.
const TRIES: usize = 4;

/// A system that failed so often in a scenario is not tried again in it.
const FAILURES: usize = 2;

/// One scenario, run once for one system.
struct Sample {
    /// One figure for each of the scenario's rows.
    figures: Vec<Option<f64>>,
    /// The share of the machine that other processes took meanwhile, 0 to 1.
    foreign: f64,
}

/// Runs the scenarios that `options` name, and adds what was measured to `report`, which is kept
/// after each. What a system fails at is told there.
///
/// # Errors
/// When nothing can be measured, or a signal ends the run.
pub(crate) fn run(options: &Options, report: &mut Report, results: &Results) -> anyhow::Result<()> {
    let scenarios = chosen(&options.only)?;
    let peers = systems(options, &scenarios, report)?;
    let origin = Origin::start()?;
    for scenario in &scenarios {
        let scenario = scenario.as_ref();
        let peers: Vec<_> = peers
            .iter()
            .filter(|peer| takes_part(scenario, peer, options))
            .collect();
        if let Some(route) = scenario.route() {
            let name = scenario.name().to_owned();
            report.settings.insert(name, route.to_string());
        }
        let mut section = Section {
            name: scenario.name().to_owned(),
            question: scenario.question().to_owned(),
            lines: scenario.rows(),
            took: 0.0,
        };
        let start = Instant::now();
        let ended = measure_all((scenario, &peers), &origin, options, (&mut section, report));
        section.took = start.elapsed().as_secs_f64();
        report.sections.push(section);
        results.keep(report)?;
        ended?;
    }
    Ok(())
}

/// Builds the systems that will take part, where they have to be built and can be.
///
/// # Errors
/// When a scenario is named that is none, or there is no tidegate.
pub(crate) fn build(options: &Options) -> anyhow::Result<()> {
    let scenarios = chosen(&options.only)?;
    for peer in taking_part(options, &scenarios)? {
        // One that can't be is told of in the report.
        let _ = peer.version();
    }
    Ok(())
}

/// All samples of one scenario.
fn measure_all(
    (scenario, peers): (&dyn Scenario, &[&Peer]),
    origin: &Origin,
    options: &Options,
    (section, report): (&mut Section, &mut Report),
) -> anyhow::Result<()> {
    let mut failures = vec![0; peers.len()];
    for iteration in 0..options.iterations() {
        for turn in 0..peers.len() {
            stop::check()?;
            let at = (iteration + turn) % peers.len();
            let name = peers[at].name();
            if failures[at] >= FAILURES {
                continue;
            }
            match careful(scenario, peers[at], origin, options) {
                Ok(sample) => {
                    let line = sample.line(&section.lines);
                    eprintln!("{} {} {name}: {line}", section.name, iteration + 1);
                    report.most_foreign = report.most_foreign.max(sample.foreign);
                    sample.add_to(&mut section.lines, name);
                }
                Err(error) => {
                    failures[at] += 1;
                    report.note(scenario.name(), name, &error);
                }
            }
        }
    }
    Ok(())
}

/// One sample, taken again while strangers disturb it.
fn careful(
    scenario: &dyn Scenario,
    peer: &Peer,
    origin: &Origin,
    options: &Options,
) -> anyhow::Result<Sample> {
    let patience = options.patience();
    let start = Instant::now();
    let mut best = once(scenario, peer, origin, options)?;
    let took = start.elapsed();
    for _ in 1..TRIES {
        if best.foreign < DISTURBED || !patience.allows(took) {
            break;
        }
        let sample = once(scenario, peer, origin, options)?;
        if sample.foreign < best.foreign {
            best = sample;
        }
    }
    Ok(best)
}

fn once(
    scenario: &dyn Scenario,
    peer: &Peer,
    origin: &Origin,
    options: &Options,
) -> anyhow::Result<Sample> {
    rustix::fs::sync();
    // Before the system, so that it outlives it.
    let distant = scenario.route().map(|route| origin.behind(route));
    let distant = distant.transpose()?;
    let upstream = match &distant {
        Some(distant) => distant.upstream(),
        None => Upstream {
            addr: origin.addr,
            ca: None,
        },
    };
    let certificate = match scenario.is_tls() {
        true => Some(Certificate::new()?),
        false => None,
    };
    let system = peer.start(&options.dir, &upstream, certificate.as_ref())?;
    let bench = Bench {
        system: &system,
        origin,
        distant: distant.as_ref(),
        puller: Puller {
            addr: system.addr,
            tls: certificate.as_ref().map(|it| Arc::clone(&it.trust)),
            verify: options.verify,
        },
        quick: options.quick,
    };
    options.patience().await_quiet(system.pid());
    let start = Instant::now();
    let before = measure::cpu(system.pid()).foreign;
    let figures = scenario
        .run(&bench)
        .map_err(|error| anyhow::anyhow!("{error:#}; its log ends with:\n{}", system.log()))?;
    let foreign = (measure::cpu(system.pid()).foreign - before).max(0.0);
    let cores = std::thread::available_parallelism()?.get() as f64;
    Ok(Sample {
        figures,
        foreign: foreign / cores / start.elapsed().as_secs_f64(),
    })
}

impl Sample {
    /// For the progress.
    fn line(&self, rows: &[Line]) -> String {
        let figures = rows.iter().zip(&self.figures);
        let figures: Vec<_> = figures
            .filter_map(|(row, value)| Some(format!("{} {}", figure((*value)?), row.unit)))
            .collect();
        let foreign = self.foreign * 100.0;
        format!("{} (others {foreign:.0} %)", figures.join(", "))
    }

    fn add_to(&self, rows: &mut [Line], system: &str) {
        for (row, value) in rows.iter_mut().zip(&self.figures) {
            if let Some(value) = value {
                row.add(system, *value);
            }
        }
    }
}

/// Whether the scenario is run for `peer`: in a quick run not for all, but for those that are named.
fn takes_part(scenario: &dyn Scenario, peer: &Peer, options: &Options) -> bool {
    match options.quick && options.peers.is_empty() {
        true => scenario.concerns_quickly(peer),
        false => scenario.concerns(peer),
    }
}

/// The scenarios that `only` names; all where it names none.
fn chosen(only: &[String]) -> anyhow::Result<Vec<Box<dyn Scenario>>> {
    let names = scenarios::names();
    if let Some(unknown) = only.iter().find(|name| !names.contains(&name.as_str())) {
        anyhow::bail!(
            "there is no scenario '{unknown}'; there are: {}",
            names.join(", ")
        );
    }
    let mut all = scenarios::all();
    all.retain(|one| is_wanted(only, one.name()));
    Ok(all)
}

/// The systems that the options name and the scenarios concern; all where they name none. Notes
/// those that are absent.
fn systems(
    options: &Options,
    scenarios: &[Box<dyn Scenario>],
    report: &mut Report,
) -> anyhow::Result<Vec<Peer>> {
    let mut peers = taking_part(options, scenarios)?;
    peers.retain(|peer| match peer.version() {
        Ok(version) => {
            report.add_system(System {
                name: peer.name().to_owned(),
                version,
                limits: format!("{}; {}", peer.settings(), peer.limits()),
            });
            true
        }
        Err(error) => {
            report.miss(Absent {
                name: peer.name().to_owned(),
                why: format!("{error:#}"),
            });
            false
        }
    });
    Ok(peers)
}

/// The same, whether they are on this machine or not.
fn taking_part(options: &Options, scenarios: &[Box<dyn Scenario>]) -> anyhow::Result<Vec<Peer>> {
    let tidegate = peers::tidegate::wanted(options.tidegate.as_deref())?;
    let mut peers = Peer::all(Some(tidegate));
    let names: Vec<_> = peers.iter().map(Peer::name).collect();
    if let Some(unknown) = options.peers.iter().find(|p| !names.contains(&p.as_str())) {
        anyhow::bail!(
            "there is no system '{unknown}'; there are: {}",
            names.join(", ")
        );
    }
    peers.retain(|peer| {
        is_wanted(&options.peers, peer.name())
            && scenarios
                .iter()
                .any(|one| takes_part(one.as_ref(), peer, options))
    });
    Ok(peers)
}
