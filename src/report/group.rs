//! The rows by action, host, leg and origin.

use std::collections::BTreeMap;

use super::Summary;
use super::summary::Host;
use super::summary::OTHERS;
use super::summary::Share;
use super::value::Value;
use super::words;
use crate::ledger::Action;
use crate::ledger::Leg;
use crate::ledger::Origin;

/// One way to divide the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// By what was asked.
    Action,
    /// By who was asked.
    Host,
    /// By where an answer to a client came from.
    Origin,
    /// By who talked to whom.
    Leg,
}

/// A part of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Slice {
    /// Requests, bytes, connections.
    pub(super) host: Host,
    /// Whether connections belong to it at all.
    has_sockets: bool,
}

impl Group {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 4] = [Self::Action, Self::Host, Self::Origin, Self::Leg];

    /// The prefix of its rows in TSV, its key in JSON.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Leg => "leg",
        }
    }

    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Action => "By action",
            Self::Host => "By host",
            Self::Origin => "Client answers by origin",
            Self::Leg => "By leg",
        }
    }

    /// What its rows mean.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Action => {
                "what was asked of others, by what it does; `redirect` is the target of one, so a \
                 blob that a redirect led to is there, and the redirect itself at `blob-get`"
            }
            Self::Host => {
                "what was asked of others, by host (and port, where it is not the usual one), with \
                 the connections made to it"
            }
            Self::Origin => {
                "answers to clients, by where they came from: hit (the store), joined (a fetch that \
                 somebody else had begun), filled (a fetch of its own), stale (the store, as the \
                 upstream was out), bypassed (the upstream, unstored)"
            }
            Self::Leg => {
                "all traffic, by who talked to whom: client (clients asked the mirror, or the \
                 command the tap), upstream and target (the mirror asked), tap (measured traffic \
                 that passed through)"
            }
        }
    }

    /// Its rows that are not empty in each of `summaries`: by size for hosts, else in the order of
    /// declaration.
    pub(super) fn rows(self, summaries: &[&Summary]) -> Vec<(String, Vec<Slice>)> {
        match self {
            Self::Host => hosts(summaries),
            Self::Action => {
                let actions = Action::ALL.iter().map(|action| action.as_str());
                rows(actions, summaries, |summary, at| {
                    Slice::of(summary.asked(|it| it.actions, and)[at])
                })
            }
            Self::Origin => {
                let origins = Origin::ALL.iter().map(|origin| origin.as_str());
                rows(origins, summaries, |summary, at| {
                    Slice::of(summary.leg(Leg::Client).origins[at])
                })
            }
            Self::Leg => {
                let legs = Leg::ALL.iter().map(|leg| leg.as_str());
                rows(legs, summaries, |summary, at| {
                    let traffic = summary.leg(Leg::ALL[at]);
                    Slice {
                        host: Host {
                            share: traffic.all,
                            throttled: traffic.counts.throttled,
                            sockets: traffic.sockets,
                        },
                        has_sockets: true,
                    }
                })
            }
        }
    }
}

fn and<const N: usize>(one: [Share; N], other: [Share; N]) -> [Share; N]
where
    [Share; N]: Default,
{
    std::array::from_fn(|at| one[at].and(other[at]))
}

fn rows<'a>(
    names: impl Iterator<Item = &'a str>,
    summaries: &[&Summary],
    of: impl Fn(&Summary, usize) -> Slice,
) -> Vec<(String, Vec<Slice>)> {
    let row = |(at, name): (usize, &str)| {
        let slices: Vec<Slice> = summaries.iter().map(|summary| of(summary, at)).collect();
        let is_empty = slices.iter().all(|slice| slice.host == Host::default());
        (!is_empty).then(|| (name.to_owned(), slices))
    };
    names.enumerate().filter_map(row).collect()
}

fn hosts(summaries: &[&Summary]) -> Vec<(String, Vec<Slice>)> {
    let mut names: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    let all: Vec<_> = summaries.iter().map(|summary| summary.hosts()).collect();
    for (name, _) in all.iter().flat_map(|hosts| hosts.iter()) {
        let slice = |host| Slice {
            host,
            has_sockets: true,
        };
        let slices = all.iter().map(|hosts| slice(hosts.get(name)));
        names.insert(name.to_string(), slices.collect());
    }
    let mut rows: Vec<_> = names.into_iter().collect();
    // Stable, so equal ones stay sorted by name.
    rows.sort_by_key(|(name, slices)| {
        let bytes = slices.iter().map(|slice| slice.bytes());
        let bytes = bytes.fold(0u64, u64::saturating_add);
        (name == OTHERS, std::cmp::Reverse(bytes))
    });
    rows
}

impl Slice {
    fn of(share: Share) -> Self {
        Self {
            host: Host {
                share,
                ..Host::default()
            },
            has_sockets: false,
        }
    }

    /// Body bytes, both ways.
    pub(super) fn bytes(&self) -> u64 {
        let share = &self.host.share;
        share.response_bytes.saturating_add(share.request_bytes)
    }

    /// Its figures, each with its key and unit.
    pub(super) fn figures(&self) -> Vec<(&'static str, Value)> {
        let Host {
            share,
            throttled,
            sockets,
        } = &self.host;
        let mut figures = vec![
            ("requests", Value::Count(share.requests)),
            ("request_bytes", Value::Bytes(share.request_bytes)),
            ("response_bytes", Value::Bytes(share.response_bytes)),
        ];
        if self.has_sockets {
            figures.extend([
                ("throttled", Value::Count(*throttled)),
                ("connections", Value::Count(sockets.connections)),
                ("socket_tx_bytes", Value::Bytes(sockets.tx)),
                ("socket_rx_bytes", Value::Bytes(sockets.rx)),
            ]);
        }
        figures
    }

    /// All of it in one cell: `12 · ↓ 5.20 GiB · ↑ 3.00 MiB · 4 conn.`.
    pub(super) fn cell(&self) -> String {
        let Host {
            share,
            throttled,
            sockets,
        } = &self.host;
        if self.host == Host::default() {
            return "0".to_owned();
        }
        let mut cell = words::count(share.requests);
        let mut add = |number: u64, text: String| {
            if number > 0 {
                cell.push_str(" · ");
                cell.push_str(&text);
            }
        };
        let bytes = |number: u64| words::bytes(number as f64);
        add(
            share.response_bytes,
            format!("↓ {}", bytes(share.response_bytes)),
        );
        add(
            share.request_bytes,
            format!("↑ {}", bytes(share.request_bytes)),
        );
        add(
            sockets.connections,
            format!("{} conn.", words::count(sockets.connections)),
        );
        add(*throttled, format!("{} × 429", words::count(*throttled)));
        cell
    }
}

/// What the parts of [`Slice::cell`] mean.
pub(super) const CELL: &str =
    "requests · ↓ response body bytes · ↑ request body bytes · connections · 429s";
