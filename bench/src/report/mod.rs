//! What was measured, as data: of every suite in one shape, so that it is kept, compared and laid out
//! in one way.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::Serialize;

use crate::machine::Machine;

mod aim;
mod headline;
mod html;
mod line;
mod markdown;

pub(crate) use aim::Aim;
pub(crate) use aim::Verdict;
pub(crate) use html::render as html;
pub(crate) use line::Better;
pub(crate) use line::Cell;
pub(crate) use line::Line;
pub(crate) use markdown::figure;
pub(crate) use markdown::render as markdown;

/// The column that the aims are about.
pub(crate) const OWN: &str = "tidegate";

/// All samples of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// When it began, in UTC, to the second.
    pub(crate) started: String,
    /// How long it took, in seconds.
    pub(crate) took: f64,
    /// On what.
    pub(crate) machine: Machine,
    /// Which images were synced, and which blobs pulled.
    pub(crate) corpus: String,
    /// How often each scenario ran for each system.
    pub(crate) iterations: usize,
    /// Whether with shorter scenarios.
    pub(crate) quick: bool,
    /// Whether the clients hashed what they pulled.
    pub(crate) verify: bool,
    /// The systems, in the order of the columns.
    pub(crate) systems: Vec<System>,
    /// Those that could not be had.
    pub(crate) absent: Vec<Absent>,
    /// How scenarios were set up, by their names, where that is not plain from the question.
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, String>,
    /// A section for each scenario.
    pub(crate) sections: Vec<Section>,
    /// What could not be finished.
    pub(crate) incomplete: Vec<Incomplete>,
    /// The highest share of the machine that other processes took during a sample that counts.
    pub(crate) most_foreign: f64,
}

/// One of those that are held side by side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct System {
    /// Its column's head.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    /// What it can't do, or does otherwise than the others.
    pub(crate) limits: String,
}

/// A system that could not be had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Absent {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) why: String,
}

/// One question, and what was measured to answer it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Section {
    /// The scenario's name.
    pub(crate) name: String,
    /// What is asked.
    pub(crate) question: String,
    /// The rows; the first one is the answer.
    pub(crate) lines: Vec<Line>,
    /// How long it took to measure all of it, in seconds; 0 where it was measured with others.
    #[serde(default)]
    pub(crate) took: f64,
}

/// Something that could not be finished, and counts for nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Incomplete {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The system's.
    pub(crate) system: String,
    /// Why, with the end of what the system said.
    pub(crate) why: String,
}

impl Report {
    /// A report of nothing yet.
    pub(crate) fn new(machine: Machine, corpus: &str, iterations: usize) -> Self {
        let now = std::time::SystemTime::now();
        Self {
            started: humantime::format_rfc3339_seconds(now).to_string(),
            took: 0.0,
            machine,
            corpus: corpus.to_owned(),
            iterations,
            quick: false,
            verify: false,
            systems: Vec::new(),
            absent: Vec::new(),
            settings: BTreeMap::new(),
            sections: Vec::new(),
            incomplete: Vec::new(),
            most_foreign: 0.0,
        }
    }

    /// Adds a system, once.
    pub(crate) fn add_system(&mut self, system: System) {
        if !self.systems.iter().any(|it| it.name == system.name) {
            self.systems.push(system);
        }
    }

    /// Notes that a system could not be had, once.
    pub(crate) fn miss(&mut self, absent: Absent) {
        if !self.absent.iter().any(|it| it.name == absent.name) {
            self.absent.push(absent);
        }
    }

    /// Notes that something could not be finished.
    pub(crate) fn note(&mut self, scenario: &str, system: &str, why: &anyhow::Error) {
        eprintln!("{scenario} of {system} is incomplete: {why:#}");
        self.incomplete.push(Incomplete {
            scenario: scenario.to_owned(),
            system: system.to_owned(),
            why: format!("{why:#}"),
        });
    }

    /// The systems that have a figure in the section, in the order of all, ours last.
    pub(crate) fn columns(&self, section: &Section) -> Vec<&str> {
        let has = |name: &&str| section.lines.iter().any(|it| it.cells.contains_key(*name));
        let names = self.systems.iter().map(|system| system.name.as_str());
        let mut names: Vec<_> = names.filter(has).collect();
        names.sort_by_key(|name| name.starts_with(OWN));
        names
    }

    /// Reads a report that was kept.
    ///
    /// # Errors
    /// When there is none, or another program wrote it.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no report of this benchmark", file.display()))
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(file, json).with_context(|| format!("{} can't be written", file.display()))
    }
}
