//! The figures that matter most, as cards.

use maud::Markup;
use maud::html;

use crate::report::Column;
use crate::report::metric::METRICS;
use crate::report::metric::Metric;
use crate::report::value::Value;

/// The keys of the figures that have a card, where there is such a figure.
const CARDS: [&str; 14] = [
    "wall_seconds",
    "requests",
    "response_bytes",
    "blob_gets",
    "blob_gets_duplicate",
    "mounts_accepted",
    "throttled",
    "connections",
    "peak_rss_bytes",
    "cpu_seconds",
    "client_requests",
    "client_response_bytes",
    "hit_ratio",
    "saved_bytes",
];

/// The width of the widest bar, in the units of its view box.
const WIDEST: f64 = 100.0;

/// A card for each figure: one figure large, several as bars.
pub(super) fn glance(columns: &[Column]) -> Markup {
    let metric = |key: &&str| METRICS.iter().find(|metric| metric.key == *key);
    let cards = CARDS.iter().filter_map(metric);
    let cards = cards.map(|metric| (metric, values(metric, columns)));
    let cards: Vec<_> = cards.filter(says_something).collect();
    html! {
        section #glance {
            h2.hidden { "At a glance" }
            div.cards {
                @for (metric, values) in &cards {
                    div.card title=(metric.about) {
                        h3 { (metric.label) }
                        @match values.as_slice() {
                            [Some(only)] => p.large { (only.for_people()) },
                            values => (bars(columns, values)),
                        }
                    }
                }
            }
        }
    }
}

/// Whether there is a figure. That nobody tried to mount needs no card.
fn says_something((metric, values): &(&Metric, Vec<Option<Value>>)) -> bool {
    let mut figures = values.iter().flatten();
    figures.any(|value| metric.key != "mounts_accepted" || value.number() > 0.0)
}

fn values(metric: &Metric, columns: &[Column]) -> Vec<Option<Value>> {
    columns
        .iter()
        .map(|column| (metric.of)(&column.summary))
        .collect()
}

fn bars(columns: &[Column], values: &[Option<Value>]) -> Markup {
    let numbers = values.iter().flatten().map(|value| value.number().max(0.0));
    let most = numbers.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    html! {
        table.bars {
            @for (at, (column, value)) in columns.iter().zip(values).enumerate() {
                tr {
                    th scope="row" { (column.name) }
                    td {
                        @if let Some(value) = value {
                            @let width = value.number().max(0.0) / most * WIDEST;
                            svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
                                rect.(format!("c{}", at % 8)) width=(format!("{width:.1}")) height="10" {}
                            }
                        }
                    }
                    td.number { (value.map_or("-".to_owned(), Value::for_people)) }
                }
            }
        }
    }
}
