//! A row, and what was measured for it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use super::Aim;
use super::OWN;
use super::Verdict;
use crate::measure::quantile;

/// A row and what was measured for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) title: String,
    /// In what.
    pub(crate) unit: String,
    /// By system.
    pub(crate) cells: BTreeMap<String, Cell>,
    /// What became of the aims.
    pub(crate) verdicts: Vec<Verdict>,
    #[serde(skip)]
    aims: Vec<Aim>,
}

/// The figures of one system for one row.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// The higher one: of work done in a time.
    Higher,
    /// The lower one: of what it took.
    Lower,
}

impl Line {
    /// A row without figures.
    pub(crate) fn new(title: &str, unit: &str) -> Self {
        Self {
            title: title.to_owned(),
            unit: unit.to_owned(),
            cells: BTreeMap::new(),
            verdicts: Vec::new(),
            aims: Vec::new(),
        }
    }

    /// The same row with one more aim.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        self.set_aim(aim);
        self
    }

    /// Has one more aim.
    pub(crate) fn set_aim(&mut self, aim: Aim) {
        self.aims.push(aim);
        self.judge();
    }

    /// Whether that system's figure is in an aim.
    pub(crate) fn is_beside(&self, system: &str) -> bool {
        self.aims.iter().any(|aim| aim.system() == Some(system))
    }

    fn judge(&mut self) {
        self.verdicts = self.aims.iter().filter_map(|aim| aim.judge(self)).collect();
    }

    /// Takes in a sample.
    pub(crate) fn add(&mut self, system: &str, figure: f64) {
        let cell = self.cells.entry(system.to_owned()).or_default();
        cell.samples.push(figure);
        let at = |share| quantile(&cell.samples, share).unwrap_or_default();
        (cell.p10, cell.median, cell.p90) = (at(0.1), at(0.5), at(0.9));
        self.judge();
    }

    /// Rates are better high, all else is a cost.
    pub(crate) fn better(&self) -> Better {
        match self.unit.ends_with("/s") {
            true => Better::Higher,
            false => Better::Lower,
        }
    }

    /// The median of a system.
    pub(crate) fn median(&self, system: &str) -> Option<f64> {
        self.cells.get(system).map(|cell| cell.median)
    }

    /// tidegate's median as a share of another system's.
    pub(crate) fn ratio(&self, to: &str) -> Option<f64> {
        let ratio = self.median(OWN)? / self.median(to)?;
        ratio.is_finite().then_some(ratio)
    }

    /// Who of all others has the lowest figure, and that.
    pub(crate) fn best_of_others(&self) -> Option<(&str, f64)> {
        let others = self.cells.iter().filter(|(name, _)| !name.starts_with(OWN));
        let figures = others.map(|(name, cell)| (name.as_str(), cell.median));
        figures.min_by(|one, other| one.1.total_cmp(&other.1))
    }
}
