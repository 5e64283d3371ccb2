//! What each round took, a table for each, in Markdown.

use std::fmt::Write as _;

use fake_registry::Extent;

use super::ROUNDS;
use super::Round;
use crate::machine::Machine;
use crate::measure::quantile;
use crate::targets::Outcome;
use crate::targets::contestant::Contestant;

/// What it says of an outcome, and with how many places.
type Row = (&'static str, fn(&Outcome) -> f64, usize);

const ROWS: [Row; 10] = [
    ("wall clock, s", |it| it.effort.wall.as_secs_f64(), 1),
    ("peak memory, MiB", |it| it.effort.peak, 0),
    ("CPU, s", |it| it.effort.cpu, 1),
    ("**source requests**", |it| it.source.total() as f64, 0),
    ("- blob GET", |it| it.source.blob_gets as f64, 0),
    ("**target requests**", |it| it.target.total() as f64, 0),
    ("- uploads", |it| it.target.finishes as f64, 0),
    ("- mounts granted", |it| it.target.granted as f64, 0),
    ("- blobs uploaded twice", |it| it.target.twice as f64, 0),
    (
        "images that are not in the target",
        |it| it.lacking as f64,
        0,
    ),
];

impl Round {
    fn title(self) -> &'static str {
        match self {
            Self::Cold => "Into an empty target",
            Self::Warm => "Again, where all is there",
            Self::Moved => "After 5 % of the tags have moved",
            Self::Broken => "Broken off half-way, and run again: both runs together",
        }
    }
}

/// All of it: medians.
pub(super) fn render(
    machine: &Machine,
    extent: &Extent,
    (contestants, all): (&[Contestant], &[[Vec<Outcome>; 4]]),
) -> String {
    let mut text = format!(
        "{} cores of {}, {}; {}\n\n{} repositories, {} tags, {} manifests, {} blobs of {:.0} MB, \
         {} pairs of repository and blob; the least possible is {} requests at the source and {} \
         at the target; medians of {}\n",
        machine.cores,
        machine.cpu,
        machine.kernel,
        machine.commit,
        extent.repositories,
        extent.tags,
        extent.manifests,
        extent.blobs,
        extent.bytes as f64 / 1e6,
        extent.pairs,
        extent.manifests + extent.blobs,
        extent.least_requests(),
        all.iter().map(|it| it[0].len()).max().unwrap_or(0),
    );
    for (at, round) in ROUNDS.into_iter().enumerate() {
        let _ = write!(text, "\n**{}**\n\n| |", round.title());
        for contestant in contestants {
            let _ = write!(text, " {} |", contestant.name());
        }
        let _ = write!(text, "\n|---|{}", "---:|".repeat(contestants.len()));
        for (title, value, places) in &ROWS {
            let _ = write!(text, "\n| {title} |");
            for outcomes in all {
                let samples: Vec<f64> = outcomes[at].iter().map(value).collect();
                let median = quantile(&samples, 0.5).unwrap_or(f64::NAN);
                let _ = write!(text, " {median:.places$} |");
            }
        }
        text += "\n";
    }
    text += "\n";
    for (contestant, outcomes) in contestants.iter().zip(all) {
        let _ = writeln!(text, "- {}: {}", contestant.name(), contestant.way());
        let failure = outcomes
            .iter()
            .flatten()
            .find_map(|it| it.effort.failure.as_ref());
        if let Some(failure) = failure {
            let _ = writeln!(text, "  - FAILED: {failure}");
        }
    }
    text
}
