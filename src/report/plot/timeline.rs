//! A bar for each blob: when it moved, how long, and how.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::frame::Said;
use super::frame::legend;
use super::frame::n;
use super::leg_label;
use super::panel_label;
use crate::ledger::End;
use crate::ledger::Leg;
use crate::report::Column;
use crate::report::history::Bar;
use crate::report::history::Kind;
use crate::report::words;

/// The colours of the kinds, in their order.
const COLOURS: [usize; Kind::ALL.len()] = [2, 4, 1, 6, 5, 0, 1, 3];

/// About as high is a plot of many bars.
const HEIGHT: f64 = 380.0;

/// Rows from this height on have labels.
const LABELLED: f64 = 13.0;

/// When blobs moved, on each leg of each run.
pub(in crate::report) fn timeline(columns: &[Column]) -> Markup {
    let panels = super::legs(columns).map(|(column, leg)| (column, leg, kept(column, leg)));
    let panels: Vec<_> = panels.filter(|(_, _, bars)| !bars.is_empty()).collect();
    if panels.is_empty() {
        return html! {};
    }
    let x = super::time(columns);
    let occurs = |kind: &Kind| {
        panels
            .iter()
            .any(|(_, _, bars)| bars.iter().any(|bar| bar.kind == *kind))
    };
    let items = Kind::ALL.into_iter().filter(occurs);
    let items = items.map(|kind| (COLOURS[kind as usize], kind.label()));
    let about = "A bar for each exchange that moved a blob, in the order of their starts. A paler \
                 bar with a broken edge did not reach its end.";
    super::section(
        "timeline",
        "Blobs over time",
        about,
        &html! {
            (legend(items))
            @for (number, (column, leg, bars)) in panels.iter().enumerate() {
                @let plot = plot((number, &x), column, *leg, bars);
                (super::panel(&panel_label(columns, column, *leg), &note(column, *leg, bars), &plot))
            }
        },
    )
}

/// The bars that are shown: none of a redirected manifest.
fn kept(column: &Column, leg: Leg) -> Vec<&Bar> {
    let mut bars = column.history.bars(leg).kept();
    bars.retain(|bar| {
        bar.doubtful
            .is_none_or(|key| !column.summary.is_manifest(leg, key))
    });
    bars
}

/// How many there were, and how many are left out.
fn note(column: &Column, leg: Leg, bars: &[&Bar]) -> String {
    let counts = column.history.bars(leg).counts();
    let all: u64 = counts.iter().sum();
    let left_out = all.saturating_sub(bars.len() as u64);
    if left_out == 0 {
        return format!("{} blobs", words::count(all));
    }
    let kinds = Kind::ALL.into_iter().filter_map(|kind| {
        let shown = bars.iter().filter(|bar| bar.kind == kind).count() as u64;
        let missing = counts[kind as usize].saturating_sub(shown);
        (missing > 0).then(|| format!("{} {}", words::count(missing), kind.label()))
    });
    let kinds: Vec<String> = kinds.collect();
    format!(
        "the {} longest and largest of {}; left out: {}",
        words::count(bars.len() as u64),
        words::count(all),
        kinds.join(", ")
    )
}

fn plot((number, x): (usize, &super::Scale), column: &Column, leg: Leg, bars: &[&Bar]) -> Markup {
    let row = (HEIGHT / bars.len() as f64).clamp(2.5, 18.0);
    let frame = Frame {
        x,
        y: None,
        height: row * bars.len() as f64,
    };
    let said = Said {
        id: format!("timeline-{number}"),
        title: format!("Blobs over time: {}, {}", column.name, leg_label(leg)),
        summary: note(column, leg, bars),
    };
    frame.plot(
        &said,
        &html! {
            @for (at, bar) in bars.iter().enumerate() {
                (rect(&frame, (at as f64 * row, row), column.history.start(), bar))
            }
        },
    )
}

/// A bar, `row` high and `down` from the top.
fn rect(frame: &Frame<'_>, (down, row): (f64, f64), start: u64, bar: &Bar) -> Markup {
    let from = bar.start.saturating_sub(start) as f64 / 1e6;
    let (left, right) = (frame.at(from), frame.at(from + bar.length as f64 / 1e6));
    let width = (right - left).max(1.5);
    let y = frame.head() + down;
    let is_whole = bar.end == End::Complete;
    let class = format!(
        "blob c{}{}",
        COLOURS[bar.kind as usize],
        if is_whole { "" } else { " broken" }
    );
    let (_, edge) = frame.sides();
    let label = label(bar);
    // About as wide as the text will be.
    let is_left = left + width + 8.0 + 6.2 * label.chars().count() as f64 > edge;
    let (side, at) = match is_left {
        true => ("end", left - 5.0),
        false => ("start", left + width + 5.0),
    };
    html! {
        rect class=(class) x=(n(left)) y=(n(y + row * 0.08)) width=(n(width)) height=(n(row * 0.84)) {
            title { (say(bar, from)) }
        }
        @if row >= LABELLED {
            text.small.(side) x=(n(at)) y=(n(y + row * 0.5 + 4.0)) { (label) }
        }
    }
}

/// What stands beside a bar.
fn label(bar: &Bar) -> String {
    let name: String = words::plain(&bar.repository).chars().take(40).collect();
    format!(
        "{name} {} {}",
        short(&bar.reference),
        words::bytes(bar.bytes as f64)
    )
}

/// What is said of a bar that is pointed at.
fn say(bar: &Bar, from: f64) -> String {
    let seconds = bar.length as f64 / 1e6;
    let mut text = format!(
        "{} {}\n{}: {} in {}",
        words::plain(&bar.repository),
        short(&bar.reference),
        bar.kind.label(),
        words::bytes(bar.bytes as f64),
        words::seconds(seconds)
    );
    if seconds > 0.0 && bar.bytes > 0 {
        text += &format!(" ({}/s)", words::bytes(bar.bytes as f64 / seconds));
    }
    if bar.end != End::Complete {
        text += &format!(", {}", bar.end);
    }
    let way = match bar.kind {
        Kind::Download => "from",
        Kind::Upload => "to",
        Kind::Mount => "at",
        _ => "for",
    };
    text + &format!(
        "\nat {}, {way} {}",
        words::seconds(from),
        words::plain(&bar.host)
    )
}

/// The beginning of a digest.
fn short(reference: &str) -> String {
    let plain = words::plain(reference);
    let digest = plain.split_once(':').map_or(&*plain, |(_, digest)| digest);
    digest.chars().take(12).collect()
}
