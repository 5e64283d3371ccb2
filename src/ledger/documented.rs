//! `docs/ledger.md` says what journals hold: every kind of record, and every field of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Action;
use super::Cdn;
use super::End;
use super::Leg;
use super::Origin;
use super::Record;

const PAGE: &str = include_str!("../../docs/ledger.md");

/// The fields of each kind, in their order. Users' scripts depend on them: a change here is a new
/// [`super::VERSION`].
const FIELDS: [(&str, &str); 6] = [
    (
        "exchange",
        "ts duration_us ttfb_us leg flow registry host user repository reference action method \
         status protocol request_bytes response_bytes end origin mount cdn age",
    ),
    ("connection", "ts duration_us leg registry host tx rx tls"),
    (
        "window",
        "ts leg registry host window move size in_flight waiting rate decreases",
    ),
    ("journal", "version program ts"),
    ("dropped", "ts records"),
    ("run", "ts duration_us command exit_code cpu_us peak_rss"),
];

fn examples() -> Vec<&'static str> {
    let blocks = PAGE.split("```json\n").skip(1);
    let lines = blocks.filter_map(|block| block.split_once("```"));
    lines.flat_map(|(lines, _)| lines.lines()).collect()
}

#[test]
fn examples_are_lines_as_they_are_written() {
    for line in examples() {
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
}

#[test]
fn the_names_of_all_fields_are_pinned() {
    let mut found = BTreeMap::new();
    for line in examples() {
        let fields: Value = serde_json::from_str(line).unwrap();
        let kind = fields["kind"].as_str().unwrap().to_owned();
        let names = line.split('"').skip(1).step_by(2);
        let names = names.filter(|name| fields.get(*name).is_some() && *name != "kind");
        let names: Vec<_> = names.collect();
        let longest: &mut Vec<_> = found.entry(kind).or_default();
        if names.len() > longest.len() {
            *longest = names;
        }
    }
    assert_eq!(found.len(), FIELDS.len());
    for (kind, names) in FIELDS {
        let mut expected: Vec<_> = names.split_whitespace().collect();
        let mut there = found[kind].clone();
        expected.sort_unstable();
        there.sort_unstable();
        there.dedup();
        assert_eq!(there, expected, "{kind}");
    }
}

#[test]
fn every_field_and_every_name_is_explained() {
    let rows: Vec<_> = PAGE
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    for (kind, names) in FIELDS {
        for name in names.split_whitespace().chain([kind]) {
            let is_row = |row: &&&str| {
                let cell = row[2..].split(" | ").next().unwrap_or_default();
                cell.split(", ").any(|it| it.trim_matches('`') == name)
            };
            assert!(rows.iter().any(|row| is_row(&row)), "{kind}: {name}");
        }
    }
    let legs = Leg::ALL.iter().map(|it| it.as_str());
    let actions = Action::ALL.iter().map(|it| it.as_str());
    let ends = End::ALL.iter().map(|it| it.as_str());
    let origins = Origin::ALL.iter().map(|it| it.as_str());
    let cdn = Cdn::ALL.iter().map(|it| it.as_str());
    for name in legs.chain(actions).chain(ends).chain(origins).chain(cdn) {
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

/// A later version may add what this one doesn't know.
#[test]
fn unknown_fields_are_skipped_and_a_user_may_be_missing() {
    for line in examples() {
        let record: Record = serde_json::from_str(line).unwrap();
        let more = line.replacen(",", ",\"new\":{\"x\":[1]},", 1);
        assert_eq!(serde_json::from_str::<Record>(&more).unwrap(), record);
        assert_eq!(line.contains("\"user\""), line.contains("\"ci\""));
    }
}
