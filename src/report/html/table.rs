//! All figures, and what they mean.

use maud::Markup;
use maud::html;

use crate::report::Column;
use crate::report::Summary;
use crate::report::group::CELL;
use crate::report::group::Group;
use crate::report::markdown::shown;
use crate::report::metric::Metric;
use crate::report::metric::Section;
use crate::report::words;

/// As many hosts have a row.
const MOST_HOSTS: usize = 50;

/// The tables, then the definitions.
pub(super) fn tables(columns: &[Column]) -> Markup {
    let shown = shown(columns);
    let summaries: Vec<&Summary> = columns.iter().map(|column| &column.summary).collect();
    let groups = Group::ALL
        .into_iter()
        .map(|group| (group, group.rows(&summaries)));
    let is_shown = |(group, rows): &(Group, Vec<_>)| rows.len() > usize::from(*group == Group::Leg);
    let groups: Vec<_> = groups.filter(is_shown).collect();
    html! {
        section #figures {
            h2 { "All figures" }
            div.wide {
                table {
                    (head(columns))
                    @for section in Section::ALL {
                        @let metrics: Vec<_> = shown.iter().filter(|metric| metric.section == section).collect();
                        @if !metrics.is_empty() {
                            (body(section.title(), columns.len(), &html! {
                                @for metric in metrics { (row(metric, columns)) }
                            }))
                        }
                    }
                    @for (group, rows) in &groups {
                        (body(group.title(), columns.len(), &html! {
                            @for (name, slices) in rows.iter().take(MOST_HOSTS) {
                                tr {
                                    th scope="row" { (name) }
                                    @for slice in slices { td { (slice.cell()) } }
                                }
                            }
                            @if rows.len() > MOST_HOSTS {
                                tr { th scope="row" { (rows.len() - MOST_HOSTS) " more hosts" } }
                            }
                        }))
                    }
                }
            }
        }
        section #definitions {
            h2 { "What the rows mean" }
            dl {
                @for metric in &shown {
                    dt { (metric.label) } dd { (metric.about) "." }
                }
                @for (group, _) in &groups {
                    dt { (group.title()) } dd { (group.about()) "." }
                }
                dt { "Cells by action, host, origin and leg" } dd { (CELL) "." }
                @if columns.len() > 1 {
                    dt { "Small figures" }
                    dd { "what a figure is in proportion to that of the first column." }
                }
            }
        }
    }
}

fn head(columns: &[Column]) -> Markup {
    html! {
        thead { tr {
            td {}
            @for column in columns { th scope="col" { (column.name) } }
        } }
    }
}

fn body(title: &str, columns: usize, rows: &Markup) -> Markup {
    html! {
        tbody {
            tr { th.group scope="rowgroup" colspan=(columns + 1) { (title) } }
            (rows)
        }
    }
}

fn row(metric: &Metric, columns: &[Column]) -> Markup {
    let values: Vec<_> = columns
        .iter()
        .map(|column| (metric.of)(&column.summary))
        .collect();
    let first = values.first().copied().flatten();
    html! {
        tr {
            th scope="row" title=(metric.about) { (metric.label) }
            @for (at, value) in values.iter().enumerate() {
                td {
                    @if let Some(value) = value {
                        (value.for_people())
                        @if let Some(ratio) = first.filter(|_| at > 0).and_then(|first| value.ratio(first)) {
                            " " span.ratio { "×" (words::digits(ratio)) }
                        }
                    } @else { "-" }
                }
            }
        }
    }
}
