//! What was measured, as data.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use crate::Options;
use crate::machine::Machine;
use crate::measure::quantile;
use crate::peers::Peer;
use crate::scenarios::Aim;
use crate::scenarios::Row;
use crate::scenarios::Scenario;

/// All samples of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// On what.
    pub(crate) machine: Machine,
    /// How often.
    pub(crate) iterations: usize,
    /// Whether with shorter scenarios.
    pub(crate) quick: bool,
    /// Whether the clients hashed what they pulled.
    pub(crate) verify: bool,
    /// The systems, in the order of the columns, with what each can't do.
    pub(crate) systems: Vec<(String, String)>,
    /// The rows.
    pub(crate) rows: Vec<Line>,
    /// The highest share of the machine that other processes took during a sample that counts.
    pub(crate) most_foreign: f64,
}

/// A row and what was measured for it.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// What was measured.
    pub(crate) title: String,
    /// In what.
    pub(crate) unit: String,
    /// By system.
    pub(crate) cells: BTreeMap<String, Cell>,
    /// What tidegate is to reach.
    #[serde(skip)]
    aim: Option<Aim>,
}

/// The figures of one system for one row.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cell {
    /// Each sample.
    pub(crate) samples: Vec<f64>,
    /// Half are below.
    pub(crate) median: f64,
    /// A tenth are below.
    pub(crate) p10: f64,
    /// A tenth are above.
    pub(crate) p90: f64,
}

/// One scenario, run once for one system.
#[derive(Debug)]
pub(crate) struct Sample {
    /// One figure for each of the scenario's rows.
    pub(crate) figures: Vec<Option<f64>>,
    /// The share of the machine that other processes took meanwhile, 0 to 1.
    pub(crate) foreign: f64,
}

impl Sample {
    /// For the progress.
    pub(crate) fn line(&self, rows: &[Row]) -> String {
        let figures: Vec<_> = rows
            .iter()
            .zip(&self.figures)
            .filter_map(|(row, figure)| Some(format!("{:.2} {}", (*figure)?, row.unit)))
            .collect();
        let foreign = self.foreign * 100.0;
        format!("{} (others {foreign:.0} %)", figures.join(", "))
    }
}

impl Report {
    /// A report without samples.
    pub(crate) fn new(
        machine: Machine,
        options: &Options,
        peers: &[Peer],
        scenarios: &[Box<dyn Scenario>],
    ) -> Self {
        let line = |scenario: &dyn Scenario, row: Row| Line {
            scenario: scenario.name().to_owned(),
            title: row.title.to_owned(),
            unit: row.unit.to_owned(),
            cells: BTreeMap::new(),
            aim: row.aim,
        };
        Self {
            machine,
            iterations: options.iterations(),
            quick: options.quick,
            verify: options.verify,
            systems: peers
                .iter()
                .map(|peer| (peer.name().to_owned(), peer.limits().to_owned()))
                .collect(),
            rows: scenarios
                .iter()
                .flat_map(|one| {
                    let rows = one.rows();
                    rows.into_iter().map(move |row| line(one.as_ref(), row))
                })
                .collect(),
            most_foreign: 0.0,
        }
    }

    /// Takes in a sample.
    pub(crate) fn add(&mut self, scenario: &str, system: &str, sample: Sample) {
        self.most_foreign = self.most_foreign.max(sample.foreign);
        let rows = self.rows.iter_mut().filter(|row| row.scenario == scenario);
        for (row, figure) in rows.zip(sample.figures) {
            if let Some(figure) = figure {
                let cell = row.cells.entry(system.to_owned()).or_default();
                cell.samples.push(figure);
                let at = |share| quantile(&cell.samples, share).unwrap_or_default();
                (cell.p10, cell.median, cell.p90) = (at(0.1), at(0.5), at(0.9));
            }
        }
    }

    /// Writes all of it as JSON.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        std::fs::write(path, json).with_context(|| format!("{} can't be written", path.display()))
    }
}

impl Line {
    /// The median of a system.
    pub(crate) fn median(&self, system: &str) -> Option<f64> {
        self.cells.get(system).map(|cell| cell.median)
    }

    /// tidegate's median as a share of another system's.
    pub(crate) fn ratio(&self, to: &str) -> Option<f64> {
        let ratio = self.median("tidegate")? / self.median(to)?;
        ratio.is_finite().then_some(ratio)
    }

    /// The aim in words, and whether it is met; `None` where there is no aim or no figure.
    pub(crate) fn verdict(&self) -> Option<(String, bool)> {
        let own = self.median("tidegate")?;
        match self.aim? {
            Aim::AtLeast(share, system) => {
                let met = self.ratio(system)? >= share;
                Some((format!(">= {share} of {system}"), met))
            }
            Aim::Keeps(share, system) => {
                let kept = 1.0 / self.ratio(system)?;
                let text = format!("{system} >= {share} of it ({kept:.3})");
                Some((text, kept >= share))
            }
            Aim::Below(limit) => Some((format!("< {limit}"), own < limit)),
            Aim::AtMost(limit) => Some((format!("<= {limit}"), own <= limit)),
        }
    }
}
