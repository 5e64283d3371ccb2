//! A trace as a plot: what the limit is, what leaves, what is refused, and the window meanwhile.

use std::fmt::Write as _;

use super::course::Course;
use super::course::Outcome;
use super::course::SAMPLE;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 56.0;
const GAP: f64 = 48.0;

/// Two panels: requests a second, and the window's size and speed.
pub(super) fn svg(course: &Course, outcome: &Outcome) -> String {
    let seconds = outcome.samples.len() as f64 * SAMPLE.as_secs_f64();
    let all = 2.0 * HEIGHT + 3.0 * GAP;
    let mut page = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {all}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
        WIDTH + LEFT + 16.0
    );
    let each: Vec<(f64, f64)> = (0..outcome.samples.len())
        .map(|at| {
            let from = at.saturating_sub(9);
            let let_in: u64 = outcome.samples[from..=at].iter().map(|it| it.let_in).sum();
            let span = (at - from + 1) as f64 * SAMPLE.as_secs_f64();
            ((at + 1) as f64 * SAMPLE.as_secs_f64(), let_in as f64 / span)
        })
        .collect();
    let limit: Vec<(f64, f64)> = outcome
        .samples
        .iter()
        .enumerate()
        .map(|(at, it)| {
            (
                at as f64 * SAMPLE.as_secs_f64(),
                (it.allowed / SAMPLE.as_secs_f64() / 2.0).round() * 2.0,
            )
        })
        .collect();
    let most = limit.iter().chain(&each).map(|it| it.1).fold(1.0, f64::max) * 1.1;
    let title = format!("requests a second ({})", course.title());
    let top = Panel::new(GAP, seconds, most);
    top.frame(&mut page, &title);
    top.line(&mut page, &limit, "#999", true);
    top.line(&mut page, &each, "#1f6fb2", false);
    for (at, sample) in outcome
        .samples
        .iter()
        .enumerate()
        .filter(|it| it.1.refused > 0)
    {
        top.mark(&mut page, at as f64 * SAMPLE.as_secs_f64(), sample.refused);
    }
    let sizes = steps(outcome, |window| Some(window.size as f64));
    let rates = steps(outcome, |window| window.rate);
    let most = sizes.iter().map(|it| it.1).fold(1.0, f64::max) * 1.1;
    let mut bottom = Panel::new(2.0 * GAP + HEIGHT, seconds, most);
    bottom.frame(&mut page, "the window: requests in flight (green), and the learned speed (orange, to the scale above)");
    bottom.line(&mut page, &sizes, "#2a9d4a", false);
    bottom.most = top.most;
    bottom.line(&mut page, &rates, "#e08a1e", false);
    page.push_str("</svg>\n");
    page
}

fn steps(
    outcome: &Outcome,
    of: impl Fn(&tidegate::ledger::Window) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (at, window) in &outcome.windows {
        let Some(value) = of(window) else { continue };
        if let Some(last) = points.last() {
            points.push((*at, last.1));
        }
        points.push((*at, value));
    }
    points
}

struct Panel {
    top: f64,
    seconds: f64,
    most: f64,
}

impl Panel {
    fn new(top: f64, seconds: f64, most: f64) -> Self {
        Self { top, seconds, most }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + at / self.seconds * WIDTH
    }

    fn y(&self, value: f64) -> f64 {
        self.top + HEIGHT - value.min(self.most) / self.most * HEIGHT
    }

    fn frame(&self, page: &mut String, title: &str) {
        let (top, bottom) = (self.top, self.top + HEIGHT);
        let _ = writeln!(
            page,
            "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
            top - 8.0
        );
        for part in 0..=4 {
            let value = self.most * f64::from(part) / 4.0;
            let y = self.y(value);
            let _ = writeln!(
                page,
                "<path d=\"M{LEFT} {y:.1}h{WIDTH}\" stroke=\"#e5e5e5\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{value:.0}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let step = (self.seconds / 100.0).ceil() * 10.0;
        let mut at = 0.0;
        while at <= self.seconds {
            let _ = writeln!(
                page,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{at:.0} s</text>",
                self.x(at),
                bottom + 16.0
            );
            at += step;
        }
    }

    fn line(&self, page: &mut String, points: &[(f64, f64)], colour: &str, is_dashed: bool) {
        let mut path = String::new();
        for (at, value) in points {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(*at), self.y(*value));
        }
        let dash = if is_dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dash}/>"
        );
    }

    /// Requests that were refused.
    fn mark(&self, page: &mut String, at: f64, many: u64) {
        let radius = 2.0 + (many as f64).sqrt();
        let _ = writeln!(
            page,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\" fill=\"#c0392b\"><title>{many} refused</title></circle>",
            self.x(at),
            self.top + HEIGHT - 6.0
        );
    }
}
