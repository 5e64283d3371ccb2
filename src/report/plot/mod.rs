//! Plots, as SVG. Runs that stand side by side share their axes: time since each run's start to the
//! right, the same scale up. All text goes through maud, which escapes it.

mod bytes;
mod flight;
mod frame;
mod origins;
mod pressure;
mod scale;
mod throughput;
mod timeline;
mod wave;

use maud::Markup;
use maud::html;

pub(super) use bytes::bytes;
pub(super) use flight::flight;
pub(super) use origins::origins;
pub(super) use pressure::pressure;
pub(super) use throughput::throughput;
pub(super) use timeline::timeline;

use super::Column;
use super::history::Bin;
use crate::ledger::Leg;
use scale::Scale;
use wave::Wave;

/// The seconds of the longest run: the axis that all share.
fn time(columns: &[Column]) -> Scale {
    let lengths = columns.iter().map(|column| column.history.length());
    Scale::time(lengths.max().unwrap_or(0) as f64 / 1e6)
}

/// Each leg of each run that has exchanges.
fn legs(columns: &[Column]) -> impl Iterator<Item = (&Column, Leg)> {
    columns.iter().flat_map(|column| {
        let legs = Leg::ALL.iter().copied();
        let used = legs.filter(|leg| column.summary.leg(*leg).all.requests > 0);
        used.map(move |leg| (column, leg))
    })
}

/// Who talks to whom, for people.
fn leg_label(leg: Leg) -> &'static str {
    match leg {
        Leg::Client => "clients ← mirror",
        Leg::Upstream => "mirror ← upstreams",
        Leg::Target => "mirror → targets",
        Leg::Tap => "command ↔ registries",
    }
}

/// What a panel shows: the run, where there are several, and the leg, where it has several.
fn panel_label(columns: &[Column], column: &Column, leg: Leg) -> String {
    match columns.len() {
        1 => leg_label(leg).to_owned(),
        _ => format!("{} · {}", column.name, leg_label(leg)),
    }
}

/// How long a step is, in seconds: the same for all runs, so that their peaks can be compared.
fn step(columns: &[Column]) -> f64 {
    let widths = columns.iter().map(|column| {
        let bins = column.history.bins();
        let (_, all) = bins.all();
        let many = all.len().div_ceil(wave::MOST).max(1);
        bins.width() * many.next_power_of_two() as u64
    });
    widths.max().unwrap_or(0) as f64 / 1e6
}

/// A value of each step of a run. `of` makes it of a bin, and of the bin's width in seconds.
fn wave(column: &Column, step: f64, of: impl Fn(&Bin, f64) -> f64) -> Wave {
    let history = &column.history;
    let (first, bins) = history.bins().all();
    let width = history.bins().width() as f64 / 1e6;
    let before = history.start().saturating_sub(first) as f64;
    let after = first.saturating_sub(history.start()) as f64;
    Wave {
        start: (after - before) / 1e6,
        width,
        values: bins.iter().map(|bin| of(bin, width)).collect(),
    }
    .with_width(step)
}

/// Several panels under one heading.
fn section(id: &str, title: &str, about: &str, panels: &Markup) -> Markup {
    html! {
        section id=(id) {
            h2 { (title) }
            p.about { (about) }
            (panels)
        }
    }
}

/// A panel with its label.
fn panel(label: &str, note: &str, plot: &Markup) -> Markup {
    html! {
        figure {
            figcaption { b { (label) } @if !note.is_empty() { span.note { " " (note) } } }
            (plot)
        }
    }
}
