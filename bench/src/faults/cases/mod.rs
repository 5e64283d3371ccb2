//! The faults, in the order of the table.

use std::pin::Pin;

use super::Outcome;
use super::Scene;
use super::Verdict;
use super::saw::Saw;
use super::system::Kind;

mod broken;
mod costs;
mod crashes;
mod outages;

type Running<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Outcome>> + 'a>>;

/// A fault.
pub(super) struct Case {
    /// What `--only` calls it.
    pub(super) name: &'static str,
    /// What goes wrong.
    pub(super) what: &'static str,
    run: fn(&Kind) -> Running<'_>,
}

impl Case {
    const fn new(name: &'static str, what: &'static str, run: fn(&Kind) -> Running<'_>) -> Self {
        Self { name, what, run }
    }

    /// Runs it on a system that is started for it.
    pub(super) fn run<'a>(&self, kind: &'a Kind) -> Running<'a> {
        (self.run)(kind)
    }
}

/// All faults.
pub(super) fn all() -> Vec<Case> {
    [broken::all(), outages::all(), costs::all(), crashes::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// What is to be said of a pull that could have brought the right bytes.
fn judge(saw: &Saw) -> Verdict {
    match saw {
        Saw::Whole => Verdict::Right,
        Saw::False(_) => Verdict::Wrong,
        Saw::Stuck(_) | Saw::Silence => Verdict::Hangs,
        Saw::Broken(..) | Saw::Status(..) | Saw::Refused => Verdict::Fails,
    }
}

/// What is to be said of a pull that can't bring the right bytes, where no honest answer is to be
/// had: not to be taken in is all that can be done.
fn judge_hopeless(saw: &Saw) -> Verdict {
    match judge(saw) {
        Verdict::Fails => Verdict::Right,
        other => other,
    }
}
