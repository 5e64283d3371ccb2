//! Every scenario of every suite, in one report.

use std::time::Instant;

use crate::Options;
use crate::machine::Machine;
use crate::mixed;
use crate::report::OWN;
use crate::report::Report;
use crate::results::Results;
use crate::run;
use crate::scenarios;
use crate::soak;
use crate::stop;

/// Suites that are a scenario each.
const OTHERS: [&str; 2] = [mixed::NAME, soak::NAME];

/// Runs what `options` name, keeps the report, and prints it.
///
/// # Errors
/// When nothing can be measured, or a signal ended the run; what was measured before is kept.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    stop::listen()?;
    let start = Instant::now();
    check(options)?;
    let machine = Machine::look(&options.dir)?;
    let corpus = if options.quick { "quick" } else { "public" };
    let mut report = Report::new(machine, corpus, options.iterations());
    (report.quick, report.verify) = (options.quick, options.verify);
    let results = Results::begin(&options.results, &report)?;
    let ended = suites(options, &mut report, &results);
    report.took = start.elapsed().as_secs_f64();
    results.keep(&report)?;
    print!("{}", crate::report::markdown(&report));
    eprintln!("kept in {}", results.folder().display());
    ended
}

fn suites(options: &Options, report: &mut Report, results: &Results) -> anyhow::Result<()> {
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|it| it == name);
    let mut serve = options.clone();
    serve.only.retain(|name| !OTHERS.contains(&name.as_str()));
    if options.only.is_empty() || !serve.only.is_empty() {
        run::run(&serve, report, results)?;
    }
    if wanted(mixed::NAME) {
        let mixed = mixed::Options {
            iterations: options.iterations(),
            clients: 16,
            seconds: if options.quick { 4 } else { 15 },
            tidegate: options.tidegate.clone(),
            dir: options.dir.clone(),
            patience: options.patience,
        };
        let ended = mixed::run(&mixed, report);
        note(mixed::NAME, ended, report)?;
        results.keep(report)?;
    }
    if wanted(soak::NAME) {
        let soak = soak::Options {
            minutes: 5,
            quick: options.quick,
            seed: None,
            clients: 12,
            tidegate: options.tidegate.clone(),
            dir: options.dir.clone(),
        };
        let ended = soak::add(&soak, report);
        note(soak::NAME, ended, report)?;
        results.keep(report)?;
    }
    Ok(())
}

/// A suite that can't be finished is told; only a signal ends the run.
fn note(name: &str, ended: anyhow::Result<()>, report: &mut Report) -> anyhow::Result<()> {
    stop::check()?;
    if let Err(error) = ended {
        report.note(name, OWN, &error);
    }
    Ok(())
}

/// Refuses names that are none, before the first scenario runs.
fn check(options: &Options) -> anyhow::Result<()> {
    let all = scenarios::all();
    let mut names: Vec<_> = all.iter().map(|one| one.name()).collect();
    names.extend(OTHERS);
    match options.only.iter().find(|it| !names.contains(&it.as_str())) {
        Some(unknown) => anyhow::bail!(
            "there is no scenario '{unknown}'; there are: {}",
            names.join(", ")
        ),
        None => Ok(()),
    }
}
