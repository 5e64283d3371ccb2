//! What it took, as tables in Markdown.

use std::fmt::Write as _;

use fake_registry::Extent;

use super::Count;
use super::Line;
use super::Measured;
use super::Round;
use crate::machine::Machine;
use crate::measure::quantile;

/// All that is told of a cold mirror, with what is least possible.
pub(super) fn lines(extent: &Extent) -> Vec<Line> {
    let Extent {
        blobs, manifests, ..
    } = *extent;
    let (mounts, all) = (extent.mounts(), extent.least_requests());
    let count = |title, value, least| Line::count(title, value).least(Some(least));
    vec![
        Line::new(("wall clock", "s"), 1, |it| it.effort.wall.as_secs_f64()),
        Line::new(("- until the clients have all", "s"), 1, |it| {
            it.effort.pulled.map_or(f64::NAN, |it| it.as_secs_f64())
        }),
        Line::new(("peak memory", "MiB"), 0, |it| it.effort.peak),
        Line::new(("CPU", "s"), 1, |it| it.effort.cpu),
        count(
            "source requests",
            |it| it.source.total() as f64,
            blobs + manifests,
        ),
        count("- blob GET", |it| it.source.blob_gets as f64, blobs),
        count(
            "- manifest GET",
            |it| it.source.manifest_gets as f64,
            manifests,
        ),
        count("- HEAD", |it| it.source.heads as f64, 0),
        count("- other", |it| rest(&it.source) as f64, 0),
        count("target requests", |it| it.target.total() as f64, all),
        count(
            "- POST that begins an upload",
            |it| it.target.starts as f64,
            blobs,
        ),
        count("- PATCH", |it| it.target.chunks as f64, 0),
        count(
            "- PUT that ends an upload",
            |it| it.target.finishes as f64,
            blobs,
        ),
        count("- POST that mounts", |it| it.target.mounts as f64, mounts),
        count(
            "- PUT of a manifest",
            |it| it.target.manifest_puts as f64,
            manifests,
        ),
        count("- HEAD and GET", |it| reads(&it.target) as f64, 0),
        count("- other", |it| it.target.others as f64, 0),
        count("mounts granted", |it| it.target.granted as f64, mounts),
        count("blobs uploaded twice", |it| it.target.twice as f64, 0),
        count(
            "429",
            |it| (it.source.throttled + it.target.throttled) as f64,
            0,
        ),
        count(
            "images that are not in the target",
            |it| it.lacking as f64,
            0,
        ),
    ]
}

fn rest(count: &Count) -> usize {
    count.total() - count.blob_gets - count.manifest_gets - count.heads
}

fn reads(count: &Count) -> usize {
    count.heads + count.blob_gets + count.manifest_gets
}

/// All of it: medians, with the least possible beside them.
pub(super) fn render(machine: &Machine, measured: &Measured) -> String {
    let mut text = format!(
        "{} cores of {}, {}; {}\n\nThe corpus '{}'.\n",
        machine.cores, machine.cpu, machine.kernel, machine.commit, measured.corpus,
    );
    for round in &measured.rounds {
        table(&mut text, round, measured);
    }
    text.push('\n');
    for one in &measured.about {
        let _ = writeln!(
            text,
            "- {}: {}; {}. {}.",
            one.name,
            one.version,
            one.settings,
            capital(&one.limits)
        );
    }
    for one in &measured.absent {
        let _ = writeln!(text, "- {}: ABSENT: {}", one.name, one.why);
    }
    for round in &measured.rounds {
        for failure in &round.failures {
            let _ = writeln!(
                text,
                "- {}, {}: FAILED: {}",
                round.title, failure.name, failure.why
            );
        }
    }
    text
}

fn table(text: &mut String, round: &Round, measured: &Measured) {
    let extent = &round.extent;
    let mut names: Vec<&str> = measured.about.iter().map(|it| it.name.as_str()).collect();
    let took_part = |name: &&str| {
        let mut lines = round.lines.iter();
        lines.any(|line| !line.samples(name).is_empty())
            || round.failures.iter().any(|it| it.name == **name)
    };
    names.retain(took_part);
    let _ = write!(
        text,
        "\n**{}**\n\n{} repositories, {} tags, {} manifests, {} blobs of {:.0} MB, {} pairs of \
         repository and blob; medians of {}\n\n| |",
        round.title,
        extent.repositories,
        extent.tags,
        extent.manifests,
        extent.blobs,
        extent.bytes as f64 / 1e6,
        extent.pairs,
        iterations(round),
    );
    for name in &names {
        let _ = write!(text, " {name} |");
    }
    *text += " least possible |\n|---|";
    *text += &"---:|".repeat(names.len() + 1);
    for line in &round.lines {
        let unit = match line.unit {
            "" => String::new(),
            unit => format!(", {unit}"),
        };
        let _ = write!(text, "\n| {}{unit} |", line.title);
        for name in &names {
            let _ = match quantile(line.samples(name), 0.5) {
                Some(median) => write!(text, " {median:.*} |", line.places),
                None => write!(text, " - |"),
            };
        }
        let least = line.least.map(|least| least.to_string());
        let _ = write!(text, " {} |", least.unwrap_or_default());
    }
    *text += "\n";
}

fn iterations(round: &Round) -> usize {
    let cells = round.lines.iter().flat_map(|line| &line.cells);
    cells.map(|(_, samples)| samples.len()).max().unwrap_or(0)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
