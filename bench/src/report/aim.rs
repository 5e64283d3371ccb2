//! What tidegate is to reach, each beside another figure of the same run.

use serde::Deserialize;
use serde::Serialize;

use super::Line;
use super::OWN;

/// What tidegate is to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Aim {
    /// At least this share of that system's figure.
    AtLeast(f64, &'static str),
    /// At most this share of that system's figure.
    NoMore(f64, &'static str),
    /// At most this much more than that system's figure.
    Within(f64, &'static str),
    /// At most this share of the lowest figure of all others.
    OfBest(f64),
    /// That system, which is tidegate with something besides, has at least this share of
    /// tidegate's figure.
    Keeps(f64, &'static str),
    /// Less than this.
    Below(f64),
    /// At most this.
    AtMost(f64),
}

/// What became of an aim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The aim.
    pub(crate) aim: String,
    /// What was reached, in the aim's own terms.
    pub(crate) reached: String,
    /// Whether it is met.
    pub(crate) met: bool,
}

impl Aim {
    /// The system whose figure it refers to; `None` where that is no certain one.
    pub(super) fn system(self) -> Option<&'static str> {
        match self {
            Self::AtLeast(_, system)
            | Self::NoMore(_, system)
            | Self::Within(_, system)
            | Self::Keeps(_, system) => Some(system),
            Self::OfBest(_) | Self::Below(_) | Self::AtMost(_) => None,
        }
    }

    /// What became of it; `None` where a figure is missing.
    pub(crate) fn judge(self, line: &Line) -> Option<Verdict> {
        let own = line.median(OWN)?;
        let unit = &line.unit;
        let (aim, reached, met) = match self {
            Self::AtLeast(share, system) => {
                let ratio = line.ratio(system)?;
                let aim = format!("at least {share} of {system}");
                (aim, format!("{ratio:.2}"), ratio >= share)
            }
            Self::NoMore(share, system) => {
                let ratio = line.ratio(system)?;
                let aim = format!("at most {share} of {system}");
                (aim, format!("{ratio:.2}"), ratio <= share)
            }
            Self::Within(more, system) => {
                let ahead = own - line.median(system)?;
                let aim = format!("at most {more} {unit} more than {system}");
                (aim, format!("{ahead:+.2} {unit}"), ahead <= more)
            }
            Self::OfBest(share) => {
                let (best, figure) = line.best_of_others()?;
                let ratio = own / figure;
                let aim = format!("at most {share} of the best of the others");
                (aim, format!("{ratio:.2} of {best}"), ratio <= share)
            }
            Self::Keeps(share, system) => {
                let kept = 1.0 / line.ratio(system)?;
                let aim = format!("{system} at least {share} of it");
                (aim, format!("{kept:.3}"), kept >= share)
            }
            Self::Below(limit) => (
                format!("less than {limit} {unit}"),
                super::figure(own),
                own < limit,
            ),
            Self::AtMost(limit) => (
                format!("at most {limit} {unit}"),
                super::figure(own),
                own <= limit,
            ),
        };
        Some(Verdict { aim, reached, met })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(figures: &[(&str, f64)]) -> Line {
        let mut line = Line::new("a blob", "MB/s");
        for (system, figure) in figures {
            line.add(system, *figure);
        }
        line
    }

    #[test]
    fn aims_are_held_against_the_right_figures() {
        let line = line(&[("tidegate", 90.0), ("nginx", 100.0), ("crane", 300.0)]);
        let met = |aim: Aim| aim.judge(&line).unwrap().met;
        assert!(met(Aim::AtLeast(0.9, "nginx")) && !met(Aim::AtLeast(0.95, "nginx")));
        assert!(met(Aim::NoMore(0.9, "nginx")) && !met(Aim::NoMore(0.8, "nginx")));
        assert!(met(Aim::Within(-10.0, "nginx")) && !met(Aim::Within(-10.5, "nginx")));
        assert!(met(Aim::OfBest(0.9)) && !met(Aim::OfBest(0.6)));
        assert!(met(Aim::Keeps(3.0, "crane")) && !met(Aim::Keeps(1.2, "nginx")));
        assert!(met(Aim::AtMost(90.0)) && !met(Aim::Below(90.0)));
        assert!(Aim::AtLeast(1.0, "zot").judge(&line).is_none());
    }
}
