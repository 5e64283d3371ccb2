//! What was measured, as a page of its own: the aims, then a plot and a table for each scenario.

use maud::Markup;
use maud::html;

use super::Line;
use super::OWN;
use super::Report;
use super::Section;
use super::headline::headline;
use super::markdown;

/// The page.
pub(crate) fn render(report: &Report) -> String {
    let title = format!("Benchmark of {}", report.started);
    let header = html! {
        h1 { (title) }
        p.about { (markdown::about(report)) }
        @for it in &report.absent {
            p.warning { b { (it.name) " is absent: " } (it.why) }
        }
    };
    let main = html! {
        (aims(report))
        @for section in &report.sections { (part(report, section)) }
        (rest(report))
    };
    tidegate::report::page(&title, &header, &main)
}

fn aims(report: &Report) -> Markup {
    let rows = markdown::aims(report);
    html! {
        @if rows.len() > 1 {
            section #aims { h2 { "Aims" } (table(&rows)) }
        }
    }
}

fn part(report: &Report, section: &Section) -> Markup {
    let columns = report.columns(section);
    html! {
        section id=(section.name) {
            h2 { (section.name) ": " (section.question) }
            p.about { (headline(report, section)) }
            @if let Some(setting) = report.settings.get(&section.name) {
                p.about { (setting) }
            }
            div.cards {
                @for line in &section.lines { (card(report, line, &columns)) }
            }
            (table(&markdown::rows(report, section)))
        }
    }
}

/// A row as bars: as long as the median, with a mark from the tenth to the ninetieth percentile.
fn card(report: &Report, line: &Line, columns: &[&str]) -> Markup {
    let most = line.cells.values().map(|cell| cell.p90.max(cell.median));
    let most = most.fold(f64::MIN_POSITIVE, f64::max);
    let wide = |value: f64| format!("{:.1}", value / most * 100.0);
    let colour = |name: &str| {
        let at = report.systems.iter().position(|it| it.name == name);
        format!("c{}", at.unwrap_or(0) % 8)
    };
    html! {
        div.card {
            h3 { (line.title.trim_start_matches("- ")) ", " (line.unit) }
            table.bars {
                @for name in columns {
                    @if let Some(cell) = line.cells.get(*name) {
                        tr {
                            th scope="row" title=(name) { @if *name == OWN { b { (name) } } @else { (name) } }
                            td {
                                svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" {
                                    title { (name) ": " (markdown::cell(line, name)) " " (line.unit) }
                                    rect.(colour(name)) y="1" width=(wide(cell.median)) height="8" {}
                                    rect fill="currentColor" x=(wide(cell.p10)) y="4.3"
                                        width=(wide((cell.p90 - cell.p10).max(0.0))) height="1.4" {}
                                }
                            }
                            td.number { (markdown::figure(cell.median)) }
                        }
                    }
                }
            }
        }
    }
}

fn rest(report: &Report) -> Markup {
    html! {
        @if !report.incomplete.is_empty() {
            section #incomplete {
                h2 { "Incomplete" }
                p.about { "Not finished; no figure of it counts." }
                dl {
                    @for it in &report.incomplete {
                        dt { (it.scenario) " of " (it.system) } dd { (it.why) }
                    }
                }
            }
        }
        section #systems {
            h2 { "Systems" }
            dl {
                @for it in &report.systems {
                    dt { (it.name) } dd { (it.version) "; " (it.limits) "." }
                }
            }
        }
    }
}

fn table(rows: &[Vec<String>]) -> Markup {
    html! {
        div.wide { table {
            @for (at, row) in rows.iter().enumerate() {
                tr {
                    @for (column, cell) in row.iter().enumerate() {
                        @if at == 0 { th scope="col" { (cell) } }
                        @else if column == 0 { th scope="row" { (cell) } }
                        @else { td { (cell) } }
                    }
                }
            }
        } }
    }
}
