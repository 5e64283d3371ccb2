//! One page with plots, which needs nothing beside it: no network, and no JavaScript for all that
//! it says.
//!
//! Names of repositories and hosts come from whoever was talked to. maud escapes each of them, and
//! the page's own policy lets no style and no script run but the two that are in it, by their
//! hashes, and nothing be loaded, should one slip through.

mod glance;
mod table;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::DOCTYPE;
use maud::Markup;
use maud::PreEscaped;
use maud::html;
use sha2::Digest as _;
use sha2::Sha256;

use super::Column;
use super::plot;
use super::words;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The report as one page of HTML. Columns without a history have no plots over time.
pub fn html(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
    let title = format!("{}: tidegate report", names.join(", "));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("tidegate ", env!("CARGO_PKG_VERSION")));
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { (header(columns)) }
                main {
                    (glance::glance(columns))
                    (plots(columns))
                    (table::tables(columns))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// What the page may do: nothing but use its own style and script.
fn policy() -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
         base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
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
