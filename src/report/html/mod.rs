//! One page with plots, which needs nothing beside it: no network, and no JavaScript for all that
//! it says.
//!
//! Names of repositories and hosts come from whoever was talked to. maud escapes each of them, and
//! the page's own policy lets no style and no script run but the two that are in it, by their
//! hashes, and nothing be loaded, should one slip through.

mod glance;
mod page;
mod table;

pub use page::page;

use maud::Markup;
use maud::html;

use super::Column;
use super::plot;
use super::words;

/// The report as one page of HTML. Columns without a history have no plots over time.
pub fn html(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    let title = format!("{}: tidegate report", names.join(", "));
    let main = html! {
        (glance::glance(columns))
        (plots(columns))
        (table::tables(columns))
    };
    page(&title, &header(columns), &main)
}

fn header(columns: &[Column]) -> Markup {
    html! {
        h1 { "What was asked, and what moved" }
        ul.runs {
            @for (at, column) in columns.iter().enumerate() {
                li {
                    @if columns.len() > 1 {
                        svg.key viewBox="0 0 12 12" aria-hidden="true" {
                            rect.(format!("c{}", at % 8)) width="12" height="12" rx="6" {}
                        }
                    }
                    b { (column.name) } " " span.note { (about(column)) }
                }
            }
        }
        @for warning in columns.iter().flat_map(|column| &column.warnings) {
            p.warning role="alert" { b { "Warning: " } (words::plain(warning)) }
        }
    }
}

/// When a run was, what ran, and what it was read from.
fn about(column: &Column) -> String {
    let mut parts = Vec::new();
    if let Some((start, _)) = column.summary.span() {
        parts.push(humantime::format_rfc3339_seconds(start).to_string());
    }
    if let Some((_, command)) = &column.summary.runs.first {
        let command = command.join(" ");
        parts.push(format!("$ {}", words::plain(&command)));
    }
    parts.push(format!("{} records", words::count(column.summary.records)));
    if column.files > 1 {
        parts.push(format!("{} files", column.files));
    }
    if column.skipped > 0 {
        parts.push(format!(
            "{} of unknown kinds skipped",
            words::count(column.skipped)
        ));
    }
    parts.join(" · ")
}

fn plots(columns: &[Column]) -> Markup {
    let has_history = columns.iter().any(|column| !column.history.is_empty());
    html! {
        (plot::origins(columns))
        @if has_history {
            (plot::throughput(columns))
            (plot::flight(columns))
            (plot::timeline(columns))
            (plot::pressure(columns))
        }
        (plot::bytes(columns))
    }
}
