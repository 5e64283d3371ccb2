//! Windows and 429s: how many requests each host had at once, and when it said that it was too much.

use maud::Markup;
use maud::html;

use super::frame::Frame;
use super::frame::Said;
use super::frame::legend;
use super::frame::n;
use super::scale::Scale;
use super::wave::Wave;
use crate::report::Column;
use crate::report::history::Bin;
use crate::report::summary::OTHERS;
use crate::report::words;

/// As many hosts have a line of their own.
const MOST: usize = 6;

/// The colours of the hosts, in their order; the last one is that of all others.
const COLOURS: [usize; MOST + 1] = [0, 1, 2, 3, 4, 6, 7];
const THROTTLED: usize = 5;

/// For each run, how many requests its hosts had at once, and their 429s.
pub(in crate::report) fn pressure(columns: &[Column]) -> Markup {
    let step = super::step(columns);
    let names = busiest(columns);
    let panels: Vec<_> = columns
        .iter()
        .map(|column| lines(column, &names, step))
        .collect();
    let peaks = panels.iter().flatten().map(|(_, wave)| wave.peak());
    let y = Scale::count(peaks.fold(0.0, f64::max));
    let x = super::time(columns);
    let frame = Frame {
        x: &x,
        y: Some(&y),
        height: 130.0,
    };
    let hosts = names
        .iter()
        .enumerate()
        .map(|(at, name)| (COLOURS[at], &**name));
    let items = hosts.chain([(THROTTLED, "429s, at the time of the answer")]);
    let about = "The window that each host had: its requests under way at once, averaged over each \
                 step. A mark at the top is a step in which an answer was 429.";
    super::section(
        "pressure",
        "429s and windows over time",
        about,
        &html! {
            (legend(items))
            @for (number, (column, lines)) in columns.iter().zip(&panels).enumerate() {
                @let throttled = column.summary.counts().throttled;
                @let note = match throttled {
                    0 => "no 429".to_owned(),
                    1 => "one 429".to_owned(),
                    some => format!("{} 429s", words::count(some)),
                };
                @let label = if columns.len() == 1 { "hosts that were asked" } else { &column.name };
                (super::panel(label, &note, &plot(&frame, (number, column, step), &names, lines)))
            }
        },
    )
}

/// The hosts that were asked the longest, and the others as one.
fn busiest(columns: &[Column]) -> Vec<String> {
    let mut hosts: Vec<(String, u64)> = Vec::new();
    for column in columns {
        let (_, bins) = column.history.bins().all();
        for (number, name) in asked(column) {
            let busy = bins.iter().filter_map(|bin| bin.hosts.get(number));
            let busy = busy.fold(0u64, |sum, host| sum.saturating_add(host.busy));
            match hosts.iter_mut().find(|(own, _)| own == name) {
                Some((_, sum)) => *sum = sum.saturating_add(busy),
                None => hosts.push((name.to_owned(), busy)),
            }
        }
    }
    hosts.sort_by(|one, other| (other.1, &one.0).cmp(&(one.1, &other.0)));
    let is_more = hosts.len() > MOST;
    let names = hosts.into_iter().map(|(name, _)| name);
    let mut names: Vec<String> = names.filter(|name| name != OTHERS).take(MOST).collect();
    if is_more {
        names.push(OTHERS.to_owned());
    }
    names
}

/// The hosts that a run asked, with their numbers in its history.
fn asked(column: &Column) -> impl Iterator<Item = (usize, &str)> {
    let legs = column.summary.asking();
    let hosts = column.history.hosts().iter().enumerate();
    let hosts = hosts.filter(|(_, (leg, _))| legs.contains(leg));
    hosts.map(|(number, (_, name))| (number, &**name))
}

/// The lines of one run, each with its colour.
fn lines(column: &Column, names: &[String], step: f64) -> Vec<(usize, Wave)> {
    let of_name = |name: &str| {
        let is_it = |host: &str| match name {
            OTHERS => !names.iter().any(|name| name == host) || host == OTHERS,
            name => host == name,
        };
        let numbers: Vec<usize> = asked(column)
            .filter(|(_, host)| is_it(host))
            .map(|(number, _)| number)
            .collect();
        let busy = move |bin: &Bin| -> f64 {
            let hosts = numbers.iter().filter_map(|number| bin.hosts.get(*number));
            hosts.map(|host| host.busy as f64).sum()
        };
        super::wave(column, step, move |bin, width| busy(bin) / 1e6 / width)
    };
    let waves = names.iter().map(|name| of_name(name));
    COLOURS.into_iter().zip(waves).collect()
}

fn plot(
    frame: &Frame<'_>,
    (number, column, step): (usize, &Column, f64),
    names: &[String],
    lines: &[(usize, Wave)],
) -> Markup {
    let hosts: Vec<usize> = asked(column).map(|(number, _)| number).collect();
    let throttled = super::wave(column, step, |bin, _| {
        let hosts = hosts.iter().filter_map(|number| bin.hosts.get(*number));
        hosts.map(|host| host.throttled as f64).sum()
    });
    // Where bins were averaged, this is how many made one.
    let merged = throttled.width / (column.history.bins().width() as f64 / 1e6);
    let count = |at: usize| (throttled.values[at] * merged).round() as u64;
    let said = Said {
        id: format!("pressure-{number}"),
        title: format!("Requests at once for each host, and 429s: {}", column.name),
        summary: format!(
            "{} answers were 429.",
            words::count(column.summary.counts().throttled)
        ),
    };
    let say = |at: usize| {
        let mut text = words::seconds(throttled.begin(at).max(0.0));
        let busy = |wave: &Wave| wave.values.get(at).copied().filter(|value| *value > 0.0);
        for ((_, wave), name) in lines.iter().zip(names) {
            if let Some(value) = busy(wave) {
                text += &format!("\n{name}: {} at once", words::digits(value));
            }
        }
        match count(at) {
            0 => text,
            some => format!("{text}\n{some} × 429"),
        }
    };
    frame.plot(&said, &html! {
        @for (colour, wave) in lines.iter().rev().filter(|(_, wave)| wave.peak() > 0.0) {
            (wave.line(frame, *colour))
        }
        @for at in (0..throttled.values.len()).filter(|at| count(*at) > 0) {
            @let x = frame.at(throttled.begin(at) + throttled.width / 2.0);
            @let (head, foot) = (frame.head(), frame.foot());
            line.(format!("s{THROTTLED}")).mark x1=(n(x)) x2=(n(x)) y1=(n(head)) y2=(n(foot)) {}
            path.(format!("c{THROTTLED}")) d=(format!("M{} {}h10l-5 9Z", n(x - 5.0), n(head - 8.0))) {}
        }
        (throttled.spots(frame, say))
    })
}
