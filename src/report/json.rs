//! The report for programs; docs/report.md lists its keys.

use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

use super::Column;
use super::Summary;
use super::group::Group;
use super::group::Slice;
use super::metric::METRICS;

/// The version of the format: it grows when a key changes its meaning or goes.
const VERSION: u32 = 1;

/// The report as JSON.
pub fn json(columns: &[Column]) -> String {
    let summaries: Vec<&Summary> = columns.iter().map(|column| &column.summary).collect();
    let mut journals: Vec<Map<String, Json>> = columns.iter().map(journal).collect();
    for group in Group::ALL {
        for journal in &mut journals {
            journal.insert(group.key().to_owned(), json!({}));
        }
        for (name, slices) in group.rows(&summaries) {
            for (journal, slice) in journals.iter_mut().zip(slices) {
                if let Some(Json::Object(rows)) = journal.get_mut(group.key()) {
                    rows.insert(name.clone(), figures(&slice));
                }
            }
        }
    }
    let definition = |(key, about): (&str, &str)| (key.to_owned(), Json::from(about));
    let metrics = METRICS.iter().map(|metric| (metric.key, metric.about));
    let groups = Group::ALL.iter().map(|group| (group.key(), group.about()));
    let definitions: Map<String, Json> = metrics.chain(groups).map(definition).collect();
    let report = json!({
        "version": VERSION,
        "journals": journals,
        "definitions": definitions,
    });
    format!("{report:#}\n")
}

fn journal(column: &Column) -> Map<String, Json> {
    let mut journal = Map::new();
    let mut put = |key: &str, value: Json| journal.insert(key.to_owned(), value);
    let time = |time| humantime::format_rfc3339_micros(time).to_string();
    let span = column.summary.span();
    put("name", json!(column.name));
    put("files", json!(column.files));
    put("warnings", json!(column.warnings));
    put("records", json!(column.summary.records));
    put("records_skipped", json!(column.skipped));
    put("start", json!(span.map(|(start, _)| time(start))));
    put("end", json!(span.map(|(_, end)| time(end))));
    let command = column.summary.runs.first.as_ref();
    put("command", json!(command.map(|(_, command)| command)));
    put("runs", json!(column.summary.runs.count));
    for metric in METRICS {
        let value = (metric.of)(&column.summary);
        put(
            metric.key,
            value.map_or(Json::Null, |value| value.raw().into()),
        );
    }
    journal
}

fn figures(slice: &Slice) -> Json {
    let figures = slice.figures().into_iter();
    let figures = figures.map(|(key, value)| (key.to_owned(), value.raw().into()));
    Json::Object(figures.collect())
}
