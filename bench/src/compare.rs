//! Two runs side by side: what became faster or slower, and what is only noise.
//!
//! A figure counts as changed where the medians differ by more than the least that matters, and the
//! samples of one run lie on one side of all that the other's vary between (the tenth to the
//! ninetieth percentile of both do not meet). The other systems are the control: where they moved the
//! same way, it was the machine.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::report::Better;
use crate::report::Cell;
use crate::report::Line;
use crate::report::OWN;
use crate::report::Report;
use crate::report::Section;
use crate::report::figure;
use crate::results;

/// Which runs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The run before: its folder, or its report.json.
    before: PathBuf,
    /// The run after.
    after: PathBuf,
    /// Whose figures.
    #[arg(long, default_value = OWN)]
    system: String,
    /// Medians that differ by less than so much, in percent, are the same.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    least: f64,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Worse,
    Better,
    /// Changed, but others that are the same program in both runs changed as much.
    Machine,
    Noise,
}

/// A figure in both runs.
struct Pair<'a> {
    section: &'a str,
    line: &'a Line,
    /// After by before.
    ratio: f64,
    change: Change,
}

/// Lays out what changed.
///
/// # Errors
/// When a report can't be read, they have nothing in common, or something became worse.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let before = results::find(&options.before)?;
    let after = results::find(&options.after)?;
    let mut pairs = pairs((&before, &after), options);
    anyhow::ensure!(
        !pairs.is_empty(),
        "the runs have no figure of {} in common",
        options.system
    );
    pairs.sort_by_key(|pair| pair.change);
    print!("{}", render((&before, &after), &pairs, options));
    let worse = pairs.iter().filter(|pair| pair.change == Change::Worse);
    match worse.count() {
        0 => Ok(()),
        some => anyhow::bail!("{some} figures became worse"),
    }
}

fn pairs<'a>((before, after): (&Report, &'a Report), options: &Options) -> Vec<Pair<'a>> {
    let mut pairs = Vec::new();
    for section in &after.sections {
        for (at, line) in section.lines.iter().enumerate() {
            let Some(old) = same(before, section, at) else {
                continue;
            };
            let cells = (
                old.cells.get(&options.system),
                line.cells.get(&options.system),
            );
            let (Some(was), Some(is)) = cells else {
                continue;
            };
            pairs.push(Pair {
                section: &section.name,
                line,
                ratio: is.median / was.median,
                change: judge((old, line), (was, is), options),
            });
        }
    }
    pairs
}

/// The row that the other run has in the same place.
fn same<'a>(report: &'a Report, section: &Section, at: usize) -> Option<&'a Line> {
    let other = report.sections.iter().find(|it| it.name == section.name)?;
    let (line, wanted) = (other.lines.get(at)?, section.lines.get(at)?);
    (line.title == wanted.title && line.unit == wanted.unit).then_some(line)
}

fn judge((old, new): (&Line, &Line), (was, is): (&Cell, &Cell), options: &Options) -> Change {
    let least = options.least / 100.0;
    if !differ(was, is, least) {
        return Change::Noise;
    }
    let rises = is.median > was.median;
    // What another system did between the runs, the machine did.
    let same_way = |(name, cell): (&String, &Cell)| {
        let other = old.cells.get(name)?;
        let moved = cell.median / other.median;
        let alike = (moved > 1.0) == rises && differ(other, cell, least);
        (!name.starts_with(OWN) && alike).then_some(moved)
    };
    let others: Vec<f64> = new.cells.iter().filter_map(same_way).collect();
    let ratio = is.median / was.median;
    let explains = |moved: &f64| (ratio / moved - 1.0).abs() <= least;
    if others.iter().any(explains) {
        return Change::Machine;
    }
    match (new.better(), rises) {
        (Better::Higher, true) | (Better::Lower, false) => Change::Better,
        (Better::Higher, false) | (Better::Lower, true) => Change::Worse,
    }
}

/// Whether two sets of samples are apart, and by more than `least`.
fn differ(was: &Cell, is: &Cell, least: f64) -> bool {
    let apart = is.p10 > was.p90 || is.p90 < was.p10;
    let ratio = is.median / was.median;
    apart && (ratio - 1.0).abs() > least
}

fn render((before, after): (&Report, &Report), pairs: &[Pair<'_>], options: &Options) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} of {}, then {} of {}\n",
        options.system, before.machine.commit, before.started, after.machine.commit, after.started
    );
    if before.machine.cpu != after.machine.cpu || before.machine.cores != after.machine.cores {
        text += "The machines are not the same: ratios say more than figures.\n\n";
    }
    text += "| scenario | what | unit | after | of before | |\n|---|---|---|---:|---:|---|\n";
    for pair in pairs {
        let (line, word) = (pair.line, pair.change.word());
        let after = line.median(&options.system).map(figure).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {after} | {:.2} | {word} |",
            pair.section, line.title, line.unit, pair.ratio
        );
    }
    for (run, report) in [("before", before), ("after", after)] {
        for it in &report.incomplete {
            let _ = writeln!(
                text,
                "\n{run}: {} of {} is incomplete",
                it.scenario, it.system
            );
        }
    }
    text
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Worse => "WORSE",
            Self::Better => "better",
            Self::Machine => "the machine: others moved as much",
            Self::Noise => "the same, or noise",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(own: &[f64], other: &[f64]) -> Line {
        let mut line = Line::new("a blob", "MB/s");
        own.iter().for_each(|it| line.add(OWN, *it));
        other.iter().for_each(|it| line.add("nginx", *it));
        line
    }

    fn change(old: &Line, new: &Line) -> Change {
        let options = Options {
            before: PathBuf::new(),
            after: PathBuf::new(),
            system: OWN.to_owned(),
            least: 5.0,
        };
        judge((old, new), (&old.cells[OWN], &new.cells[OWN]), &options)
    }

    #[test]
    fn regressions_are_told_from_noise() {
        let still = [300.0, 301.0, 299.0];
        let old = line(&[100.0, 104.0, 96.0], &still);
        assert_eq!(
            change(&old, &line(&[80.0, 84.0, 82.0], &still)),
            Change::Worse
        );
        assert_eq!(
            change(&old, &line(&[120.0, 118.0, 122.0], &still)),
            Change::Better
        );
        assert_eq!(
            change(&old, &line(&[90.0, 98.0, 97.0], &still)),
            Change::Noise
        );
        let moved = [240.0, 246.0, 243.0];
        assert_eq!(
            change(&old, &line(&[80.0, 84.0, 82.0], &moved)),
            Change::Machine
        );
    }

    #[test]
    fn a_cost_that_rises_is_worse() {
        let cost = |samples: &[f64]| {
            let mut line = Line::new("memory", "MiB");
            samples.iter().for_each(|it| line.add(OWN, *it));
            line
        };
        let (old, new) = (cost(&[10.0, 10.5]), cost(&[12.0, 12.5]));
        assert_eq!(change(&old, &new), Change::Worse);
        assert_eq!(change(&new, &old), Change::Better);
    }
}
