//! Values over time, as stairs: each bin is as wide as it is long.

use std::fmt::Write as _;

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::frame::n;

/// As many bins are drawn at most; each has a place to point at.
pub(super) const MOST: usize = 256;

/// Values over time, one for each bin.
#[derive(Clone, Debug, Default)]
pub(super) struct Wave {
    /// When the first bin begins, in seconds since the run began; may be a little below 0.
    pub(super) start: f64,
    /// How long a bin is, in seconds.
    pub(super) width: f64,
    /// The values.
    pub(super) values: Vec<f64>,
}

impl Wave {
    /// With bins of `width` seconds: neighbours are averaged.
    pub(super) fn with_width(mut self, width: f64) -> Self {
        // Widths are powers of two of each other.
        while self.width * 1.5 < width && !self.values.is_empty() {
            let pairs = self.values.chunks(2);
            self.values = pairs.map(|pair| pair.iter().sum::<f64>() / 2.0).collect();
            self.width *= 2.0;
        }
        self
    }

    /// The highest value.
    pub(super) fn peak(&self) -> f64 {
        self.values.iter().copied().fold(0.0, f64::max)
    }

    /// When a bin begins.
    pub(super) fn begin(&self, at: usize) -> f64 {
        self.start + self.width * at as f64
    }

    /// When the highest value is.
    pub(super) fn peak_at(&self) -> f64 {
        let highest = self.values.iter().enumerate();
        let highest = highest.max_by(|one, other| one.1.total_cmp(other.1));
        self.begin(highest.map_or(0, |(at, _)| at)).max(0.0)
    }

    /// Adds another one of the same bins.
    pub(super) fn add(&mut self, other: &Self) {
        for (own, more) in self.values.iter_mut().zip(&other.values) {
            *own += more;
        }
    }

    /// Its upper edge: `M` or `L` to its beginning, then a stair for each change.
    fn stairs(&self, frame: &Frame<'_>, path: &mut String) {
        let mut last = String::new();
        for (at, value) in self.values.iter().enumerate() {
            let up = n(frame.up(*value));
            if up != last {
                let x = n(frame.at(self.begin(at)));
                let _ = write!(path, "H{x}V{up}");
                last = up;
            }
        }
        let _ = write!(path, "H{}", n(frame.at(self.begin(self.values.len()))));
    }

    /// Its lower edge, from its end back to its beginning.
    fn stairs_back(&self, frame: &Frame<'_>, path: &mut String) {
        let mut last = String::new();
        for (at, value) in self.values.iter().enumerate().rev() {
            let up = n(frame.up(*value));
            if up != last {
                let x = n(frame.at(self.begin(at + 1)));
                let _ = write!(path, "H{x}V{up}");
                last = up;
            }
        }
        let _ = write!(path, "H{}", n(frame.at(self.start)));
    }

    /// The area from `below`, or from 0, up to it.
    pub(super) fn area(&self, frame: &Frame<'_>, below: Option<&Self>, colour: usize) -> Markup {
        let begin = n(frame.at(self.start));
        let mut path = format!("M{begin} {}", n(frame.foot()));
        self.stairs(frame, &mut path);
        match below {
            Some(below) => below.stairs_back(frame, &mut path),
            None => {
                let _ = write!(path, "V{}H{begin}", n(frame.foot()));
            }
        }
        path.push('Z');
        html! { path.area.(format!("c{colour}")) d=(path) {} }
    }

    /// A line.
    pub(super) fn line(&self, frame: &Frame<'_>, colour: usize) -> Markup {
        let mut path = format!("M{} {}", n(frame.at(self.start)), n(frame.foot()));
        self.stairs(frame, &mut path);
        html! { path.line.(format!("s{colour}")) d=(path) {} }
    }

    /// A place to point at for each bin, with what there is to say.
    pub(super) fn spots(&self, frame: &Frame<'_>, say: impl Fn(usize) -> String) -> Markup {
        html! {
            g.spots {
                @for at in 0..self.values.len() {
                    @let (from, to) = (frame.at(self.begin(at)), frame.at(self.begin(at + 1)));
                    rect x=(n(from)) y=(n(frame.head())) width=(n(to - from)) height=(n(frame.height)) {
                        title { (say(at)) }
                    }
                }
            }
        }
    }
}
