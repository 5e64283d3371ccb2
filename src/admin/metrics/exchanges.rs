use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::Histogram;
use prometheus::HistogramOpts;

use super::family::Family;
use super::family::Page;
use super::label;
use super::label::Status;
use super::table::Table;
use crate::ledger::Action;
use crate::ledger::End;
use crate::ledger::Leg;
use crate::ledger::Origin;
use crate::ledger::Receipt;

const REQUESTS: Family = Family::counter(
    "tidegate_http_requests_total",
    &[
        "leg", "upstream", "action", "method", "status", "origin", "end",
    ],
    "HTTP exchanges that have ended.",
);
const LABELS: &[&str] = &["leg", "upstream", "action", "status", "origin"];
const REQUEST_BYTES: Family = Family::counter(
    "tidegate_http_request_bytes_total",
    LABELS,
    "Bytes of request bodies that crossed, of exchanges that have ended.",
);
const RESPONSE_BYTES: Family = Family::counter(
    "tidegate_http_response_bytes_total",
    LABELS,
    "Bytes of response bodies that crossed, of exchanges that have ended; also of those cut short.",
);
const DURATION: Family = Family::histogram(
    "tidegate_http_request_duration_seconds",
    LABELS,
    "Time from the start of an exchange to the end of its body.",
);
const FIRST_BYTE: Family = Family::histogram(
    "tidegate_http_first_byte_seconds",
    LABELS,
    "Time from the start of an exchange to the first byte of the response's body.",
);

/// A manifest from the store takes a millisecond, a large layer from afar minutes.
const DURATIONS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0,
];
const FIRST_BYTES: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Every exchange, by what it was and how it went.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    requests: Table<Key, Requests>,
    traffic: Table<Kind, Traffic>,
}

/// What exchanges have in common whose bytes and times are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    leg: Leg,
    upstream: Arc<str>,
    action: Action,
    class: Status,
    origin: Option<Origin>,
}

/// What exchanges have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    kind: Kind,
    method: &'static str,
    status: Status,
    end: End,
}

#[derive(Debug)]
struct Requests {
    count: AtomicU64,
    traffic: Arc<Traffic>,
}

#[derive(Debug)]
struct Traffic {
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    duration: Histogram,
    first_byte: Histogram,
}

impl Exchanges {
    /// Counts an exchange with `upstream`, which is a label's value.
    pub(super) fn count(&self, receipt: &Receipt, upstream: Arc<str>) {
        let key = Key {
            kind: Kind {
                leg: receipt.leg,
                upstream,
                action: receipt.action,
                class: Status::class_of(receipt.status),
                origin: receipt.origin,
            },
            method: label::method(&receipt.method),
            status: Status::of(receipt.status),
            end: receipt.end,
        };
        let requests = self.requests.row(&key, || {
            Ok::<_, prometheus::Error>(Requests {
                count: AtomicU64::new(0),
                traffic: self.traffic.row(&key.kind, Traffic::new)?,
            })
        });
        match requests {
            Ok(requests) => {
                requests.count.fetch_add(1, Ordering::Relaxed);
                requests.traffic.count(receipt);
            }
            Err(error) => tracing::error!("an exchange is missing in the metrics: {error}"),
        }
    }

    pub(super) fn show(&self, page: &mut Page) {
        for (key, row) in &*self.requests.rows() {
            let [leg, upstream, action, _, origin] = &key.kind.labels();
            let (status, end) = (key.status.label(), key.end.as_str());
            let labels = [leg, upstream, action, key.method, &status, origin, end];
            page.count(&REQUESTS, &labels, row.count.load(Ordering::Relaxed));
        }
        for (kind, row) in &*self.traffic.rows() {
            let labels = kind.labels();
            let labels = labels.each_ref().map(|label| &**label);
            let bytes = |count: &AtomicU64| count.load(Ordering::Relaxed);
            page.count(&REQUEST_BYTES, &labels, bytes(&row.request_bytes));
            page.count(&RESPONSE_BYTES, &labels, bytes(&row.response_bytes));
            page.spread(&DURATION, &labels, &row.duration);
            page.spread(&FIRST_BYTE, &labels, &row.first_byte);
        }
    }
}

impl Kind {
    fn labels(&self) -> [String; 5] {
        [
            self.leg.as_str(),
            &self.upstream,
            self.action.as_str(),
            &self.class.label(),
            self.origin.map_or(label::NONE, Origin::as_str),
        ]
        .map(str::to_owned)
    }
}

impl Traffic {
    fn new() -> prometheus::Result<Self> {
        // The families have names and labels of their own.
        let of = |buckets: &[f64]| {
            let opts = HistogramOpts::new("seconds", "seconds").buckets(buckets.to_vec());
            Histogram::with_opts(opts)
        };
        Ok(Self {
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
            duration: of(&DURATIONS)?,
            first_byte: of(&FIRST_BYTES)?,
        })
    }

    fn count(&self, receipt: &Receipt) {
        let add = |count: &AtomicU64, bytes: u64| {
            if bytes > 0 {
                count.fetch_add(bytes, Ordering::Relaxed);
            }
        };
        add(&self.request_bytes, receipt.request_bytes);
        add(&self.response_bytes, receipt.response_bytes);
        self.duration.observe(receipt.duration.as_secs_f64());
        if let Some(first_byte) = receipt.ttfb {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
    }
}
