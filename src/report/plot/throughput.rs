//! Throughput over time.

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
use crate::report::words;

const DOWN: usize = 0;
const UP: usize = 1;

/// Body bytes a second, of each leg of each run.
pub(in crate::report) fn throughput(columns: &[Column]) -> Markup {
    let step = super::step(columns);
    let waves: Vec<(&Column, Leg, Wave, Wave)> = super::legs(columns)
        .map(|(column, leg)| {
            let down = super::wave(column, step, |bin, width| {
                bin.legs[leg as usize].down as f64 / width
            });
            let up = super::wave(column, step, |bin, width| {
                bin.legs[leg as usize].up as f64 / width
            });
            (column, leg, down, up)
        })
        .collect();
    let peaks = waves
        .iter()
        .map(|(_, _, down, up)| down.peak().max(up.peak()));
    let y = Scale::bytes(peaks.fold(0.0, f64::max), "/s");
    let x = super::time(columns);
    let frame = Frame {
        x: &x,
        y: Some(&y),
        height: 130.0,
    };
    let has_up = waves.iter().any(|(_, _, _, up)| up.peak() > 0.0);
    let items = [(DOWN, "response bodies"), (UP, "request bodies (uploads)")];
    let about = "Body bytes a second, averaged over each step. The bytes of an answer are spread \
                 evenly from its first byte to its end.";
    super::section(
        "throughput",
        "Throughput over time",
        about,
        &html! {
            (legend(items.into_iter().take(if has_up { 2 } else { 1 })))
            @for (number, (column, leg, down, up)) in waves.iter().enumerate() {
                @let plot = plot(&frame, column, number, (*leg, down, up));
                @let all = column.summary.leg(*leg).all;
                @let note = format!(
                    "{} received, peak {}/s", words::bytes(all.response_bytes as f64), words::bytes(down.peak())
                );
                (super::panel(&panel_label(columns, column, *leg), &note, &plot))
            }
        },
    )
}

fn plot(
    frame: &Frame<'_>,
    column: &Column,
    number: usize,
    (leg, down, up): (Leg, &Wave, &Wave),
) -> Markup {
    let rate = |value: f64| format!("{}/s", words::bytes(value));
    let said = Said {
        id: format!("throughput-{number}"),
        title: format!("Throughput over time: {}, {}", column.name, leg_label(leg)),
        summary: format!(
            "Highest {} at {} after the start.",
            rate(down.peak()),
            words::seconds(down.peak_at())
        ),
    };
    let say = |at: usize| {
        let when = words::seconds(down.begin(at).max(0.0));
        let up = match up.values.get(at) {
            Some(up) if *up > 0.0 => format!(", sent {}", rate(*up)),
            _ => String::new(),
        };
        format!("{when}: {}{up}", rate(down.values[at]))
    };
    frame.plot(
        &said,
        &html! {
            (down.area(frame, None, DOWN))
            @if up.peak() > 0.0 { (up.line(frame, UP)) }
            (down.spots(frame, say))
        },
    )
}
