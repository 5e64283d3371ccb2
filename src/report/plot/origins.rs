//! What the mirror's clients got from where, beside what the mirror asked for it.

use maud::Markup;
use maud::html;

use super::frame::Said;
use super::frame::WIDTH;
use super::frame::legend;
use super::frame::n;
use super::frame::shortened;
use super::frame::svg;
use crate::ledger::Leg;
use crate::ledger::Origin;
use crate::report::Column;
use crate::report::words;

/// The colours of the origins, in their order, of what has none, and of what upstreams gave.
const COLOURS: [usize; Origin::ALL.len()] = [2, 4, 1, 6, 5];
const NONE: usize = 7;
const UPSTREAM: usize = 0;

const LEFT: f64 = 290.0;
const RIGHT: f64 = 120.0;
const BAR: f64 = 22.0;

/// A bar: its label, and its parts with colour, name and size.
struct Bar {
    label: String,
    parts: Vec<(usize, &'static str, u64)>,
}

impl Bar {
    /// The size of the first parts together.
    fn sum(&self, first: usize) -> u64 {
        let sizes = self.parts[..first].iter().map(|(_, _, size)| *size);
        sizes.fold(0, u64::saturating_add)
    }

    fn size(&self) -> u64 {
        self.sum(self.parts.len())
    }
}

/// Of each run of a mirror: requests and bytes of clients, and what upstreams were asked.
pub(in crate::report) fn origins(columns: &[Column]) -> Markup {
    let mirrors: Vec<&Column> = columns
        .iter()
        .filter(|column| column.summary.is_mirror())
        .collect();
    if mirrors.is_empty() {
        return html! {};
    }
    let names = Origin::ALL.iter().map(|origin| origin.as_str());
    let items = COLOURS.into_iter().zip(names);
    let items = items.chain([
        (NONE, "no content (pings, errors)"),
        (UPSTREAM, "asked of upstreams"),
    ]);
    let about = "What clients were given, by where it came from, above what the mirror asked its \
                 upstreams for. The lower bar's shortness is the saving.";
    super::section(
        "saved",
        "What the mirror saved",
        about,
        &html! {
            (legend(items))
            (figure("Requests", &mirrors, |share| share.0, words::count))
            (figure("Response bytes", &mirrors, |share| share.1, |bytes| words::bytes(bytes as f64)))
        },
    )
}

fn figure(
    title: &str,
    mirrors: &[&Column],
    of: fn((u64, u64)) -> u64,
    say: fn(u64) -> String,
) -> Markup {
    let bars: Vec<Bar> = mirrors
        .iter()
        .flat_map(|column| bars(column, of, mirrors.len() > 1))
        .collect();
    let most = bars.iter().map(Bar::size).max().unwrap_or(0).max(1) as f64;
    let wide = |size: u64| size as f64 / most * (WIDTH - LEFT - RIGHT);
    let said = Said {
        id: format!("saved-{}", title.replace(' ', "-").to_lowercase()),
        title: format!("What the mirror saved: {title}"),
        summary: bars
            .iter()
            .map(|bar| format!("{}: {}. ", bar.label, say(bar.size())))
            .collect(),
    };
    let plot = svg(
        &said,
        (BAR + 6.0) * bars.len() as f64 + 8.0,
        &html! {
            @for (at, bar) in bars.iter().enumerate() {
                @let y = 4.0 + (BAR + 6.0) * at as f64;
                text.end x=(n(LEFT - 10.0)) y=(n(y + BAR * 0.5 + 4.0)) { (shortened(&bar.label)) }
                @for (at, (colour, name, part)) in bar.parts.iter().enumerate().filter(|(_, part)| part.2 > 0) {
                    @let (from, to) = (wide(bar.sum(at)), wide(bar.sum(at + 1)));
                    rect.blob.(format!("c{colour}")) x=(n(LEFT + from)) y=(n(y)) width=(n((to - from).max(0.5)))
                        height=(n(BAR)) {
                        title { (name) ": " (say(*part)) }
                    }
                }
                @let end = LEFT + wide(bar.size());
                text.small.start x=(n(end + 8.0)) y=(n(y + BAR * 0.5 + 4.0)) { (say(bar.size())) }
            }
        },
    );
    super::panel(title, "", &plot)
}

/// The two bars of a run.
fn bars(column: &Column, of: fn((u64, u64)) -> u64, has_name: bool) -> [Bar; 2] {
    let clients = column.summary.leg(Leg::Client);
    let upstreams = column.summary.leg(Leg::Upstream);
    let origins = Origin::ALL.iter().map(|origin| {
        let share = clients.origins[*origin as usize];
        let part = of((share.requests, share.response_bytes));
        (COLOURS[*origin as usize], origin.as_str(), part)
    });
    let mut parts: Vec<_> = origins.collect();
    let known = parts
        .iter()
        .map(|(_, _, part)| *part)
        .fold(0, u64::saturating_add);
    let all = of((clients.all.requests, clients.all.response_bytes));
    parts.push((NONE, "no content", all.saturating_sub(known)));
    let asked = of((upstreams.all.requests, upstreams.all.response_bytes));
    let label = |what: &str| match has_name {
        true => format!("{}: {what}", column.name),
        false => what.to_owned(),
    };
    [
        Bar {
            label: label("clients"),
            parts,
        },
        Bar {
            label: label("upstreams"),
            parts: vec![(UPSTREAM, "asked of upstreams", asked)],
        },
    ]
}
