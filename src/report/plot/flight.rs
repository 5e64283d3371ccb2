//! Requests in flight, by what they do.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::frame::Said;
use super::frame::legend;
use super::leg_label;
use super::panel_label;
use super::scale::Scale;
use super::wave::Wave;
use crate::ledger::Leg;
use crate::report::Column;
use crate::report::history::Family;
use crate::report::words;

/// The colours of the families, in their order.
const COLOURS: [usize; Family::ALL.len()] = [0, 4, 1, 3, 2, 6, 7, 5];

/// A panel: waves stacked upon each other, those of the families that occur.
struct Panel<'a> {
    column: &'a Column,
    leg: Leg,
    alone: Vec<(Family, Wave)>,
    stacked: Vec<Wave>,
}

/// How many requests were in flight, of each leg of each run.
pub(in crate::report) fn flight(columns: &[Column]) -> Markup {
    let step = super::step(columns);
    let panels: Vec<Panel<'_>> = super::legs(columns)
        .map(|(column, leg)| Panel::of(column, leg, step))
        .collect();
    let peaks = panels.iter().map(Panel::peak);
    let y = Scale::count(peaks.fold(0.0, f64::max));
    let x = super::time(columns);
    let frame = Frame {
        x: &x,
        y: Some(&y),
        height: 130.0,
    };
    let occurs = |family: &Family| {
        panels
            .iter()
            .any(|panel| panel.alone.iter().any(|(own, _)| own == family))
    };
    let items = Family::ALL.into_iter().filter(occurs);
    let items = items.map(|family| (COLOURS[family as usize], family.label()));
    let about = "Requests that were under way at once, averaged over each step, from their start \
                 to the last byte of their answer.";
    super::section(
        "flight",
        "Requests in flight, by action",
        about,
        &html! {
            (legend(items))
            @for (number, panel) in panels.iter().enumerate() {
                @let label = panel_label(columns, panel.column, panel.leg);
                @let requests = words::count(panel.column.summary.leg(panel.leg).all.requests);
                @let note = format!("{requests} requests, peak {} at once", words::digits(panel.peak()));
                (super::panel(&label, &note, &panel.plot(&frame, number)))
            }
        },
    )
}

impl<'a> Panel<'a> {
    fn of(column: &'a Column, leg: Leg, step: f64) -> Self {
        let of = |family: Family| {
            super::wave(column, step, |bin, width| {
                bin.legs[leg as usize].busy[family as usize] as f64 / 1e6 / width
            })
        };
        let alone = Family::ALL.into_iter().map(|family| (family, of(family)));
        let alone: Vec<_> = alone.filter(|(_, wave)| wave.peak() > 0.0).collect();
        let mut stacked: Vec<Wave> = Vec::new();
        for (_, wave) in &alone {
            let mut sum = wave.clone();
            stacked.last().into_iter().for_each(|below| sum.add(below));
            stacked.push(sum);
        }
        Self {
            column,
            leg,
            alone,
            stacked,
        }
    }

    fn peak(&self) -> f64 {
        self.stacked.last().map_or(0.0, Wave::peak)
    }

    fn plot(&self, frame: &Frame<'_>, number: usize) -> Markup {
        let top = self.stacked.last().cloned().unwrap_or_default();
        let said = Said {
            id: format!("flight-{number}"),
            title: format!(
                "Requests in flight: {}, {}",
                self.column.name,
                leg_label(self.leg)
            ),
            summary: format!(
                "Most at once, on average over a step: {}, at {} after the start.",
                words::digits(top.peak()),
                words::seconds(top.peak_at())
            ),
        };
        let say = |at: usize| {
            let mut text = format!(
                "{}: {} at once",
                words::seconds(top.begin(at).max(0.0)),
                words::digits(top.values[at])
            );
            for (family, wave) in self.alone.iter().filter(|(_, wave)| wave.values[at] > 0.0) {
                text += &format!("\n{}: {}", family.label(), words::digits(wave.values[at]));
            }
            text
        };
        frame.plot(
            &said,
            &html! {
                @for (at, wave) in self.stacked.iter().enumerate() {
                    @let below = at.checked_sub(1).map(|at| &self.stacked[at]);
                    (wave.area(frame, below, COLOURS[self.alone[at].0 as usize]))
                }
                (top.spots(frame, say))
            },
        )
    }
}
