//! What the sync suite measured, in the shape of all results.

use crate::report::Aim;
use crate::report::Line;
use crate::report::OWN;
use crate::report::Report;
use crate::report::Section;
use crate::report::System;
use crate::results::Results;
use crate::targets;
use crate::targets::Measured;
use crate::targets::Options;
use crate::targets::Round;

/// The scenarios' names.
pub(crate) const NAMES: [&str; 7] = [
    "cold",
    "warm",
    "partial",
    "broken",
    SCALE,
    "cold with referrers",
    "warm with referrers",
];

/// The one that is about several parts of the corpus.
pub(crate) const SCALE: &str = "scale";
/// What else the suite does, when named.
pub(crate) const TAPPED: &str = "tapped";

/// What `tidegate sync` is called where it is one of many tools.
const SYNC: &str = "tidegate sync";
/// In what requests are counted.
const REQUESTS: &str = "requests";

/// Runs the suite and adds what was measured to `report`.
///
/// # Errors
/// When no registry can be started, or a signal ends the run.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let measured = targets::sync::measure(options)?;
    for one in &measured.about {
        report.add_system(System {
            name: column(&one.name).to_owned(),
            version: format!("{}; {}", one.version, one.settings),
            limits: one.limits.clone(),
        });
    }
    for absent in &measured.absent {
        report.miss(absent.clone());
    }
    for round in &measured.rounds {
        for failure in &round.failures {
            let why = anyhow::anyhow!("{}", failure.why);
            report.note(&round.name, column(&failure.name), &why);
        }
    }
    let is_whole = |round: &&Round| round.name != SCALE;
    let whole = measured.rounds.iter().filter(is_whole);
    report.sections.extend(whole.map(section));
    report.sections.extend(scale(&measured));
    Ok(())
}

/// Runs each contestant once more through the tap; the journals and their page are kept with the
/// results.
///
/// # Errors
/// When nothing can be recorded, or a signal ends the run.
pub(crate) fn tapped(
    options: &Options,
    report: &mut Report,
    results: &Results,
) -> anyhow::Result<()> {
    let tapped = targets::tapped(options, &results.folder().join(TAPPED))?;
    for absent in &tapped.incomplete {
        let why = anyhow::anyhow!("{}", absent.why);
        report.note(TAPPED, column(&absent.name), &why);
    }
    Ok(())
}

fn column(name: &str) -> &str {
    if name == SYNC { OWN } else { name }
}

fn section(round: &Round) -> Section {
    let mut lines: Vec<Line> = round
        .lines
        .iter()
        .map(|line| copied(line, line.title))
        .collect();
    let at = 1.min(lines.len());
    lines.insert(at, requests(round));
    if let Some(wall) = lines.first_mut() {
        let aim = match round.name.as_str() {
            "cold" => Some(Aim::OfBest(0.6)),
            "warm" => Some(Aim::OfBest(1.0)),
            _ => None,
        };
        aim.into_iter().for_each(|aim| wall.set_aim(aim));
    }
    let extent = &round.extent;
    Section {
        name: round.name.clone(),
        question: format!(
            "How long does a sync of {} tags in {} repositories take? {}.",
            extent.tags, extent.repositories, round.title
        ),
        lines,
        took: 0.0,
    }
}

/// One row for each part of the corpus.
fn scale(measured: &Measured) -> Option<Section> {
    let is_cold = |round: &&Round| round.name == SCALE || round.name == "cold";
    let mut rounds: Vec<_> = measured.rounds.iter().filter(is_cold).collect();
    rounds.sort_by_key(|round| round.percent);
    let lines = rounds.iter().filter_map(|round| {
        let tags = round.extent.tags;
        let title = format!("{} % of the corpus, {tags} tags", round.percent);
        Some(copied(round.lines.first()?, &title))
    });
    (rounds.len() > 1).then(|| Section {
        name: SCALE.to_owned(),
        question: "Does the time of a cold sync grow with the corpus, and no faster?".to_owned(),
        lines: lines.collect(),
        took: 0.0,
    })
}

fn copied(line: &targets::Line, title: &str) -> Line {
    let unit = if line.unit.is_empty() {
        "count"
    } else {
        line.unit
    };
    let mut copy = Line::new(title, unit);
    for (name, samples) in &line.cells {
        samples.iter().for_each(|it| copy.add(column(name), *it));
    }
    copy
}

/// Source and target together, with what is the least possible.
fn requests(round: &Round) -> Line {
    let of = |title: &str| round.lines.iter().find(|line| line.title == title);
    let mut all = Line::new("requests, at source and target", REQUESTS);
    let (Some(source), Some(target)) = (of("source requests"), of("target requests")) else {
        return all;
    };
    if let (Some(one), Some(other)) = (source.least, target.least) {
        let least = (one + other) as f64;
        match round.name.as_str() {
            "cold" => all.set_aim(Aim::AtMost((least * 1.02).floor())),
            "warm" => all.set_aim(Aim::AtMost((2 * round.extent.tags + 4) as f64)),
            _ => {}
        }
    }
    for (name, samples) in &source.cells {
        let sums = samples.iter().zip(target.samples(name));
        sums.for_each(|(one, other)| all.add(column(name), one + other));
    }
    all
}
