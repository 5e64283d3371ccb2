//! Every scenario of every suite, in one report.

use std::time::Instant;

use crate::Options;
use crate::is_wanted;
use crate::machine::Machine;
use crate::mirroring;
use crate::mixed;
use crate::report::OWN;
use crate::report::Report;
use crate::results::Results;
use crate::run;
use crate::scenarios;
use crate::soak;
use crate::stop;
use crate::targets;

/// Runs what `options` name, keeps the report, and prints it.
///
/// # Errors
/// When nothing can be measured, or a signal ended the run; what was measured before is kept.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    stop::listen()?;
    check(options)?;
    let options = &built(options)?.begin();
    let start = Instant::now();
    let machine = Machine::look(&options.dir)?;
    let mut report = Report::new(machine, corpus(options), options.iterations());
    (report.quick, report.verify) = (options.quick, options.verify);
    let results = Results::begin(&options.results, &report)?;
    let ended = suites(options, &mut report, &results);
    report.took = start.elapsed().as_secs_f64();
    results.keep(&report)?;
    print!("{}", crate::report::markdown(&report));
    eprintln!("kept in {}", results.folder().display());
    ended
}

/// The options with tidegate, which is built now where it has to be, as are those of its peers that
/// Go builds: before the clock starts, as that is no part of what is measured.
///
/// # Errors
/// When there is no tidegate. A peer that can't be built is reported where it is missed.
fn built(options: &Options) -> anyhow::Result<Options> {
    let options = options.with_tidegate()?;
    if let Some(serve) = serve_options(&options) {
        run::build(&serve)?;
    }
    if mirroring::NAMES
        .into_iter()
        .any(|it| is_wanted(&options.only, it))
    {
        targets::build(&sync_options(&options))?;
    }
    Ok(options)
}

fn suites(options: &Options, report: &mut Report, results: &Results) -> anyhow::Result<()> {
    let wanted = |name: &str| is_wanted(&options.only, name);
    // First: what the others have written and removed goes on to cost the disk time.
    if wanted(mixed::NAME) {
        let ended = mixed::run(&mixed_options(options), report);
        note(mixed::NAME, ended, (report, results))?;
    }
    if let Some(serve) = serve_options(options) {
        run::run(&serve, report, results)?;
    }
    if mirroring::NAMES.into_iter().any(wanted) {
        let ended = mirroring::run(&sync_options(options), report);
        note("sync", ended, (report, results))?;
    }
    if wanted(mirroring::TAPPED) {
        let ended = mirroring::tapped(&sync_options(options), report, results);
        note(mirroring::TAPPED, ended, (report, results))?;
    }
    if wanted(soak::NAME) {
        let ended = soak::add(&soak_options(options), report);
        note(soak::NAME, ended, (report, results))?;
    }
    Ok(())
}

/// Of the scenarios that are wanted those with one proxy and its clients; `None` where none is.
fn serve_options(options: &Options) -> Option<Options> {
    let mut serve = options.clone();
    let served = scenarios::names();
    serve.only.retain(|name| served.contains(&name.as_str()));
    (options.only.is_empty() || !serve.only.is_empty()).then_some(serve)
}

/// Who syncs where it has to be quick: of the others, the fastest one.
const BRIEFLY: [&str; 2] = ["tidegate-sync", "regsync"];

fn sync_options(options: &Options) -> targets::Options {
    targets::Options {
        iterations: options.iterations(),
        corpus: corpus(options).to_owned(),
        corpus_file: None,
        scale: match is_wanted(&options.only, mirroring::SCALE) {
            true => vec![10, 25, 50, 100],
            false => vec![100],
        },
        only: match options.quick {
            true => BRIEFLY.map(str::to_owned).to_vec(),
            false => Vec::new(),
        },
        images_only: false,
        journals: None,
        tidegate: options.tidegate.clone(),
        dir: options.dir.clone(),
        patience: options.patience(),
    }
}

fn mixed_options(options: &Options) -> mixed::Options {
    mixed::Options {
        iterations: options.iterations(),
        clients: 16,
        seconds: if options.quick { 8 } else { 15 },
        tidegate: options.tidegate.clone(),
        dir: options.dir.clone(),
        patience: options.patience(),
    }
}

fn soak_options(options: &Options) -> soak::Options {
    soak::Options {
        minutes: 5,
        quick: options.quick,
        seed: None,
        clients: 12,
        tidegate: options.tidegate.clone(),
        dir: options.dir.clone(),
    }
}

/// Of which images are synced.
fn corpus(options: &Options) -> &'static str {
    if options.quick { "quick" } else { "public" }
}

/// A suite that can't be finished is told; only a signal ends the run.
fn note(
    name: &str,
    ended: anyhow::Result<()>,
    (report, results): (&mut Report, &Results),
) -> anyhow::Result<()> {
    if let Err(error) = ended {
        report.note(name, OWN, &error);
    }
    results.keep(report)?;
    stop::check()
}

/// Refuses names that are none, before the first scenario runs.
fn check(options: &Options) -> anyhow::Result<()> {
    let mut names = scenarios::names();
    names.extend(mirroring::NAMES);
    names.extend([mirroring::TAPPED, mixed::NAME, soak::NAME]);
    match options.only.iter().find(|it| !names.contains(&it.as_str())) {
        Some(unknown) => anyhow::bail!(
            "there is no scenario '{unknown}'; there are: {}",
            names.join(", ")
        ),
        None => Ok(()),
    }
}
