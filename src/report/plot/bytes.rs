//! Bytes by host.

use maud::Markup;
use maud::html;

use super::frame::Said;
use super::frame::WIDTH;
use super::frame::legend;
use super::frame::n;
use super::frame::shortened;
use super::frame::svg;
use crate::report::Column;
use crate::report::Summary;
use crate::report::group::Group;
use crate::report::group::Slice;

/// As many hosts are shown.
const MOST: usize = 12;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 330.0;
const BAR: f64 = 15.0;
const GAP: f64 = 9.0;

/// The colours of the runs, in their order.
pub(in crate::report) const RUNS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// Body bytes by host, a bar for each run.
pub(in crate::report) fn bytes(columns: &[Column]) -> Markup {
    let summaries: Vec<&Summary> = columns.iter().map(|column| &column.summary).collect();
    let rows = Group::Host.rows(&summaries);
    if rows.is_empty() {
        return html! {};
    }
    let about =
        "Body bytes to and from each host that was asked, with its requests and connections.";
    let names = columns.iter().enumerate();
    let items = names.map(|(at, column)| (RUNS[at % RUNS.len()], &*column.name));
    let left_out = rows.len().saturating_sub(MOST);
    super::section(
        "hosts",
        "Bytes by host",
        about,
        &html! {
            @if columns.len() > 1 { (legend(items)) }
            figure { (plot(columns, &rows)) }
            @if left_out > 0 {
                p.note { (left_out) " hosts with fewer bytes are left out here." }
            }
        },
    )
}

fn plot(columns: &[Column], rows: &[(String, Vec<Slice>)]) -> Markup {
    let rows = &rows[..rows.len().min(MOST)];
    let slices = rows.iter().flat_map(|(_, slices)| slices);
    let most = slices.map(Slice::bytes).max().unwrap_or(0).max(1) as f64;
    let group = BAR * columns.len() as f64 + GAP;
    let said = Said {
        id: "bytes".to_owned(),
        title: "Bytes by host".to_owned(),
        summary: format!(
            "The largest: {}.",
            rows.first().map_or("", |(name, _)| name)
        ),
    };
    svg(
        &said,
        group * rows.len() as f64 + GAP,
        &html! {
            @for (at, (name, slices)) in rows.iter().enumerate() {
                @let top = GAP + group * at as f64;
                text.end x=(n(LEFT - 10.0)) y=(n(top + (group - GAP) / 2.0 + 4.0)) {
                    title { (name) }
                    (shortened(name))
                }
                @for (run, slice) in slices.iter().enumerate() {
                    @let width = slice.bytes() as f64 / most * (WIDTH - LEFT - RIGHT);
                    @let y = top + BAR * run as f64;
                    rect.(format!("c{}", RUNS[run % RUNS.len()])) x=(n(LEFT)) y=(n(y + 1.0))
                        width=(n(width.max(1.0))) height=(n(BAR - 2.0)) rx="2" {
                        title { (columns[run].name) ", " (name) ": " (slice.cell()) }
                    }
                    text.small.start x=(n(LEFT + width.max(1.0) + 8.0)) y=(n(y + BAR - 3.5)) { (slice.cell()) }
                }
            }
        },
    )
}
