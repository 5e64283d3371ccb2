//! What was measured, as data.

use fake_registry::Extent;

use super::Contestant;
use super::Outcome;
use super::World;
use crate::report::Absent;

/// All that was measured of a corpus.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Its name.
    pub(crate) corpus: String,
    /// Who took part.
    pub(crate) about: Vec<About>,
    /// Who would have, and why it did not.
    pub(crate) absent: Vec<Absent>,
    /// In the order in which they are told.
    pub(crate) rounds: Vec<Round>,
}

/// Who took part.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// Its column's head.
    pub(crate) name: String,
    /// What it is, and in which version.
    pub(crate) version: String,
    /// How it was run.
    pub(crate) settings: String,
    /// What it can't do.
    pub(crate) limits: String,
}

/// What each of them did once an iteration.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// What it is called: cold, warm, partial, broken, scale, and the same with referrers.
    pub(crate) name: String,
    /// What it is.
    pub(crate) title: String,
    /// How much of the corpus, of a hundred.
    pub(crate) percent: usize,
    /// What was there to be mirrored: the least possible follows from it.
    pub(crate) extent: Extent,
    /// The figures.
    pub(crate) lines: Vec<Line>,
    /// What failed, by the name of who did.
    pub(crate) failures: Vec<Failure>,
}

/// One thing that was measured.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it is; begins with `- ` where it is a part of the one before.
    pub(crate) title: &'static str,
    /// In what; empty for what is counted.
    pub(crate) unit: &'static str,
    /// How many decimal places say something.
    pub(crate) places: usize,
    /// What it can't be below, where that is known.
    pub(crate) least: Option<usize>,
    /// The samples of each contestant, in the order in which it was first measured; none of what it
    /// has no figure for.
    pub(crate) cells: Vec<(String, Vec<f64>)>,
    value: fn(&Outcome) -> f64,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Who.
    pub(crate) name: String,
    /// What it said.
    pub(crate) why: String,
}

impl About {
    pub(super) fn of(contestant: &Contestant) -> Self {
        Self {
            name: contestant.name().to_owned(),
            version: contestant.version().to_owned(),
            settings: contestant.settings().to_owned(),
            limits: contestant.limits().to_owned(),
        }
    }
}

impl Round {
    pub(super) fn new(title: &str, world: &World) -> Self {
        Self {
            name: String::new(),
            title: title.to_owned(),
            percent: 100,
            extent: world.extent,
            lines: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Takes in what a contestant took, or why it could not be tried.
    ///
    /// # Errors
    /// When a signal has ended the run.
    pub(super) fn add(
        &mut self,
        name: &str,
        outcome: anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        crate::stop::check()?;
        let why = match &outcome {
            Ok(outcome) => {
                for line in &mut self.lines {
                    line.add(name, outcome);
                }
                eprintln!("{}: {}", self.title, said(name, outcome));
                outcome.effort.failure.clone()
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(why) = why {
            eprintln!("{}: {name} FAILED: {why}", self.title);
            self.failures.push(Failure {
                name: name.to_owned(),
                why,
            });
        }
        Ok(())
    }
}

impl Line {
    pub(super) const fn new(
        (title, unit): (&'static str, &'static str),
        places: usize,
        value: fn(&Outcome) -> f64,
    ) -> Self {
        Self {
            title,
            unit,
            places,
            least: None,
            cells: Vec::new(),
            value,
        }
    }

    /// Something that is counted.
    pub(super) const fn count(title: &'static str, value: fn(&Outcome) -> f64) -> Self {
        Self::new((title, ""), 0, value)
    }

    pub(super) fn least(self, least: Option<usize>) -> Self {
        Self { least, ..self }
    }

    fn add(&mut self, name: &str, outcome: &Outcome) {
        let value = (self.value)(outcome);
        if value.is_nan() {
            return;
        }
        match self.cells.iter_mut().find(|(one, _)| one == name) {
            Some((_, samples)) => samples.push(value),
            None => self.cells.push((name.to_owned(), vec![value])),
        }
    }

    /// What was measured of one of them.
    pub(crate) fn samples(&self, name: &str) -> &[f64] {
        let found = self.cells.iter().find(|(one, _)| one == name);
        found.map_or(&[], |(_, samples)| samples)
    }
}

/// One line for who waits.
fn said(name: &str, outcome: &Outcome) -> String {
    let Outcome {
        effort,
        source,
        target,
        lacking,
    } = outcome;
    format!(
        "{name}: {:.1} s, {} + {} requests, {} mounts, {} twice, {lacking} images lacking",
        effort.wall.as_secs_f64(),
        source.total(),
        target.total(),
        target.granted,
        target.twice,
    )
}
