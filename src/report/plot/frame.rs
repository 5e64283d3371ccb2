use maud::Markup;
use maud::html;

use super::scale::Scale;

/// The width of all plots, in the units of their view boxes.
pub(super) const WIDTH: f64 = 1000.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;

/// The plane of a plot: time to the right, a value up.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    /// Seconds since the run began.
    pub(super) x: &'a Scale,
    /// The value; none where rows are things.
    pub(super) y: Option<&'a Scale>,
    /// The height of the plane alone.
    pub(super) height: f64,
}

/// What a plot is called and what it shows, for who doesn't see it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// Unique on the page.
    pub(super) id: String,
    /// What it is.
    pub(super) title: String,
    /// What is to be seen.
    pub(super) summary: String,
}

/// A coordinate, to a tenth.
pub(super) fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0")
        .map_or(text.clone(), ToOwned::to_owned)
}

/// A name that fits beside a bar. The end of a long one says more than its beginning.
pub(super) fn shortened(name: &str) -> String {
    const LONGEST: usize = 38;
    let length = name.chars().count();
    if length <= LONGEST {
        return name.to_owned();
    }
    let end = name.chars().skip(length - LONGEST + 1);
    format!("…{}", end.collect::<String>())
}

impl Frame<'_> {
    /// Where a time is.
    pub(super) fn at(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.x.max).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    /// Where a value is.
    pub(super) fn up(&self, value: f64) -> f64 {
        let max = self.y.map_or(1.0, |scale| scale.max);
        self.foot() - (value / max).clamp(0.0, 1.0) * self.height
    }

    /// The plane's upper edge.
    pub(super) fn head(&self) -> f64 {
        TOP
    }

    /// The plane's lower edge.
    pub(super) fn foot(&self) -> f64 {
        TOP + self.height
    }

    /// The plane's left and right edge.
    pub(super) fn sides(&self) -> (f64, f64) {
        (LEFT, WIDTH - RIGHT)
    }

    /// The plot: `inside` on a grid with labels.
    pub(super) fn plot(&self, said: &Said, inside: &Markup) -> Markup {
        let (left, right) = self.sides();
        let (head, foot) = (self.head(), self.foot());
        html! {
            (svg(said, foot + BOTTOM, &html! {
                g.grid {
                    @for (value, label) in self.y.iter().flat_map(|scale| &scale.ticks) {
                        line x1=(n(left)) x2=(n(right)) y1=(n(self.up(*value))) y2=(n(self.up(*value))) {}
                        text.end x=(n(left - 8.0)) y=(n(self.up(*value) + 4.0)) { (label) }
                    }
                    @for (value, label) in &self.x.ticks {
                        @let x = self.at(*value);
                        // The last one may stand at the very edge.
                        @let side = if x > right - 24.0 { "end" } else { "middle" };
                        line x1=(n(x)) x2=(n(x)) y1=(n(head)) y2=(n(foot)) {}
                        text.(side) x=(n(x.min(right))) y=(n(foot + 17.0)) { (label) }
                    }
                }
                (inside)
                line.axis x1=(n(left)) x2=(n(right)) y1=(n(foot)) y2=(n(foot)) {}
            }))
        }
    }
}

/// A picture that says what it is.
pub(super) fn svg(said: &Said, height: f64, inside: &Markup) -> Markup {
    let (title, summary) = (format!("{}-t", said.id), format!("{}-d", said.id));
    html! {
        svg.plot viewBox=(format!("0 0 {} {}", n(WIDTH), n(height))) role="img"
            aria-labelledby=(title) aria-describedby=(summary) xmlns="http://www.w3.org/2000/svg" {
            title id=(title) { (said.title) }
            desc id=(summary) { (said.summary) }
            (inside)
        }
    }
}

/// Coloured marks and what they mean.
pub(super) fn legend<'a>(items: impl Iterator<Item = (usize, &'a str)>) -> Markup {
    html! {
        ul.legend {
            @for (colour, label) in items {
                li {
                    svg.key viewBox="0 0 12 12" aria-hidden="true" {
                        rect.(format!("c{colour}")) width="12" height="12" rx="2" {}
                    }
                    (label)
                }
            }
        }
    }
}
