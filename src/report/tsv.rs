//! The table for programs that read lines: one row for each figure, in raw units.

use super::Column;
use super::Summary;
use super::group::Group;
use super::metric::METRICS;
use super::value::Value;

/// The report as tab-separated values: `metric`, `unit`, then one column for each journal. A cell
/// is empty where a journal does not say.
pub fn tsv(columns: &[Column]) -> String {
    let names = columns.iter().map(|column| column.name.clone());
    let mut text = row("metric", "unit", names);
    for metric in METRICS {
        let values = columns.iter().map(|column| (metric.of)(&column.summary));
        text += &row(metric.key, metric.unit, values.map(cell));
    }
    let summaries: Vec<&Summary> = columns.iter().map(|column| &column.summary).collect();
    for group in Group::ALL {
        for (name, slices) in group.rows(&summaries) {
            let figures: Vec<_> = slices.iter().map(|slice| slice.figures()).collect();
            let keys = figures.first().into_iter().flatten().enumerate();
            for (at, (key, value)) in keys {
                let key = format!("{}.{name}.{key}", group.key());
                let unit = match value {
                    Value::Bytes(_) => "bytes",
                    _ => "count",
                };
                text += &row(&key, unit, figures.iter().map(|all| cell(Some(all[at].1))));
            }
        }
    }
    text
}

fn cell(value: Option<Value>) -> String {
    value.map_or_else(String::new, |value| value.raw().to_string())
}

/// A line. Names have no control characters, so none has a tab.
fn row(key: &str, unit: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = format!("{key}\t{unit}");
    for cell in cells {
        line.push('\t');
        line.push_str(&cell);
    }
    line + "\n"
}
