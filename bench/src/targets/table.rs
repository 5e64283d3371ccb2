//! What it took, as a table in Markdown.

use std::fmt::Write as _;

use fake_registry::Extent;

use super::Count;
use super::Outcome;
use super::contestant::Contestant;
use crate::machine::Machine;
use crate::measure::quantile;

/// A row: what it says, and what it says of an outcome.
struct Row {
    title: &'static str,
    value: fn(&Outcome) -> f64,
    places: usize,
    /// What it can't be below, where that is known.
    least: Option<fn(&Extent) -> usize>,
}

const fn counted(
    title: &'static str,
    value: fn(&Outcome) -> f64,
    least: fn(&Extent) -> usize,
) -> Row {
    Row {
        title,
        value,
        places: 0,
        least: Some(least),
    }
}

const NONE: fn(&Extent) -> usize = |_| 0;
const BLOBS: fn(&Extent) -> usize = |it| it.blobs;
const MANIFESTS: fn(&Extent) -> usize = |it| it.manifests;

const ROWS: [Row; 21] = [
    Row {
        title: "wall clock, s",
        value: |it| it.effort.wall.as_secs_f64(),
        places: 1,
        least: None,
    },
    Row {
        title: "- until the clients have all",
        value: |it| it.effort.pulled.map_or(f64::NAN, |it| it.as_secs_f64()),
        places: 1,
        least: None,
    },
    Row {
        title: "peak memory, MiB",
        value: |it| it.effort.peak,
        places: 0,
        least: None,
    },
    Row {
        title: "CPU, s",
        value: |it| it.effort.cpu,
        places: 1,
        least: None,
    },
    counted(
        "**source requests**",
        |it| it.source.total() as f64,
        |it| it.blobs + it.manifests,
    ),
    counted("- blob GET", |it| it.source.blob_gets as f64, BLOBS),
    counted(
        "- manifest GET",
        |it| it.source.manifest_gets as f64,
        MANIFESTS,
    ),
    counted("- HEAD", |it| it.source.heads as f64, NONE),
    counted("- other", |it| rest(&it.source) as f64, NONE),
    counted(
        "**target requests**",
        |it| it.target.total() as f64,
        Extent::least_requests,
    ),
    counted(
        "- POST that begins an upload",
        |it| it.target.starts as f64,
        BLOBS,
    ),
    counted("- PATCH", |it| it.target.chunks as f64, NONE),
    counted(
        "- PUT that ends an upload",
        |it| it.target.finishes as f64,
        BLOBS,
    ),
    counted(
        "- POST that mounts",
        |it| it.target.mounts as f64,
        Extent::mounts,
    ),
    counted(
        "- PUT of a manifest",
        |it| it.target.manifest_puts as f64,
        MANIFESTS,
    ),
    counted("- HEAD and GET", |it| reads(&it.target) as f64, NONE),
    counted("- other", |it| it.target.others as f64, NONE),
    counted(
        "mounts granted",
        |it| it.target.granted as f64,
        Extent::mounts,
    ),
    counted("blobs uploaded twice", |it| it.target.twice as f64, NONE),
    counted(
        "429",
        |it| (it.source.throttled + it.target.throttled) as f64,
        NONE,
    ),
    counted(
        "images that are not in the target",
        |it| it.lacking as f64,
        NONE,
    ),
];

fn rest(count: &Count) -> usize {
    count.total() - count.blob_gets - count.manifest_gets - count.heads
}

fn reads(count: &Count) -> usize {
    count.heads + count.blob_gets + count.manifest_gets
}

/// One line for who waits.
pub(super) fn line(name: &str, outcome: &Outcome) -> String {
    let Outcome {
        effort,
        source,
        target,
        lacking,
    } = outcome;
    let failure = effort.failure.as_deref().unwrap_or_default();
    format!(
        "{name}: {:.1} s, {} + {} requests, {} mounts, {} twice, {lacking} images lacking {failure}",
        effort.wall.as_secs_f64(),
        source.total(),
        target.total(),
        target.granted,
        target.twice,
    )
}

/// All of it: medians, with the least possible beside them.
pub(super) fn render(
    machine: &Machine,
    extent: &Extent,
    (contestants, all): (&[Contestant], &[Vec<Outcome>]),
) -> String {
    let mut text = format!(
        "{} cores of {}, {}; {}\n\n{} repositories, {} tags, {} manifests, {} blobs of {:.0} MB, \
         {} pairs of repository and blob; medians of {}\n\n| |",
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
        all.iter().map(Vec::len).max().unwrap_or(0),
    );
    for contestant in contestants {
        let _ = write!(text, " {} |", contestant.name());
    }
    text += " least possible |\n|---|";
    text += &"---:|".repeat(contestants.len() + 1);
    for row in &ROWS {
        let _ = write!(text, "\n| {} |", row.title);
        for outcomes in all {
            let samples: Vec<f64> = outcomes.iter().map(row.value).collect();
            let median = quantile(&samples, 0.5).unwrap_or(f64::NAN);
            let _ = match median.is_nan() {
                true => write!(text, " - |"),
                false => write!(text, " {median:.*} |", row.places),
            };
        }
        let least = row.least.map(|least| least(extent).to_string());
        let _ = write!(text, " {} |", least.unwrap_or_default());
    }
    text += "\n\n";
    for (contestant, outcomes) in contestants.iter().zip(all) {
        let _ = writeln!(text, "- {}: {}", contestant.name(), contestant.way());
        let failure = outcomes.iter().find_map(|it| it.effort.failure.as_ref());
        if let Some(failure) = failure {
            let _ = writeln!(text, "  - FAILED: {failure}");
        }
    }
    text
}
