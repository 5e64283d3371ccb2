//! The rows of the table, and what each of them means.

use super::Summary;
use super::value::Value;
use super::value::part;
use super::value::saved;
use crate::ledger::Leg;
use crate::ledger::Origin;

/// A row of the table.
#[derive(Debug)]
pub(super) struct Metric {
    /// Its name in TSV and JSON.
    pub(super) key: &'static str,
    /// Its name for people.
    pub(super) label: &'static str,
    /// Its unit in TSV and JSON.
    pub(super) unit: &'static str,
    /// Where it stands.
    pub(super) section: Section,
    /// What it means, exactly.
    pub(super) about: &'static str,
    /// Its figure; `None` where the journal does not say.
    pub(super) of: fn(&Summary) -> Option<Value>,
}

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The command, or the time that the journal spans.
    Run,
    /// What registries, token servers and networks were asked.
    Asked,
    /// What a mirror's clients asked, and what that saved.
    Clients,
}

impl Section {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 3] = [Self::Run, Self::Asked, Self::Clients];

    /// Its heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::Asked => "What was asked of others",
            Self::Clients => "What clients asked of the mirror",
        }
    }
}

/// A row, in few lines.
macro_rules! metric {
    ($section:ident $key:literal $label:literal in $unit:literal: $of:expr, $about:literal) => {
        Metric {
            key: $key,
            label: $label,
            unit: $unit,
            section: Section::$section,
            about: $about,
            of: $of,
        }
    };
}

fn count(number: u64) -> Option<Value> {
    Some(Value::Count(number))
}

fn bytes(number: u64) -> Option<Value> {
    Some(Value::Bytes(number))
}

/// A figure of a mirror's clients.
fn client(summary: &Summary, of: fn(&Summary) -> Option<Value>) -> Option<Value> {
    summary.is_mirror().then(|| of(summary)).flatten()
}

/// A figure of the commands.
fn run(summary: &Summary, value: Value) -> Option<Value> {
    (summary.runs.count > 0).then_some(value)
}

/// All rows but those by action, host, leg and origin.
pub(super) const METRICS: &[Metric] = &[
    metric!(Run "wall_seconds" "wall clock" in "seconds":
        |it| it.wall().map(|wall| Value::Seconds(wall.as_secs_f64())),
        "from the command's start to its end, where the tap ran it (several commands: their sum); \
         else from the first exchange's start to the end of the one that ended last"),
    metric!(Run "peak_rss_bytes" "peak memory (RSS)" in "bytes":
        |it| run(it, Value::Bytes(it.runs.peak_rss)),
        "the most memory that the command and its children held at once (several commands: the \
         largest)"),
    metric!(Run "cpu_seconds" "CPU time" in "seconds":
        |it| run(it, Value::Seconds(it.runs.cpu.as_secs_f64())),
        "user and system time of the command and its children (several commands: their sum)"),
    metric!(Run "runs_failed" "commands that failed" in "count":
        |it| run(it, Value::Count(it.runs.failed)),
        "commands whose exit code was not 0"),
    metric!(Run "records_dropped" "records missing" in "count":
        |it| count(it.dropped),
        "records that came faster than the journal could be written: where this is not 0, all \
         other counts are too low"),
    metric!(Asked "requests" "requests" in "count":
        |it| count(it.all().requests),
        "HTTP requests, each one that was sent: the one that is answered 401 and the one that \
         follows with a token, the token's own, each hop of a redirect, each try"),
    metric!(Asked "requests_unanswered" "requests without an answer" in "count":
        |it| count(it.counts().unanswered),
        "requests to which no header came: no connection, a failed handshake, a timeout"),
    metric!(Asked "requests_cut_short" "answers cut short" in "count":
        |it| count(it.counts().cut_short),
        "answers whose body did not reach its end, whoever broke it off"),
    metric!(Asked "request_bytes" "request bytes" in "bytes":
        |it| bytes(it.all().request_bytes),
        "body bytes of requests that crossed; no headers, no TLS"),
    metric!(Asked "response_bytes" "response bytes" in "bytes":
        |it| bytes(it.all().response_bytes),
        "body bytes of answers that crossed, also of those that were cut short; no headers, no TLS"),
    metric!(Asked "blob_gets" "source blob GETs" in "count":
        |it| count(it.blobs().gets),
        "GETs of blobs that were answered with content: 200, or 206 to a range. Of a redirect, only \
         the hop that carries the blob counts; a 401, 404, 416, 429 or a HEAD does not"),
    metric!(Asked "blob_get_bytes" "source blob bytes" in "bytes":
        |it| bytes(it.blobs().bytes),
        "body bytes of the source blob GETs"),
    metric!(Asked "blob_gets_duplicate" "duplicate blob GETs" in "count":
        |it| count(it.blobs().duplicates),
        "source blob GETs with a 200 (the whole blob, though it may have been cut short) of a digest \
         that had one before, from whichever repository and host; a 206 never counts"),
    metric!(Asked "blob_duplicate_bytes" "duplicate blob bytes" in "bytes":
        |it| bytes(it.blobs().duplicate_bytes),
        "for each digest, the body bytes of its 200s, less those of the largest of them"),
    metric!(Asked "mounts_accepted" "mounts accepted" in "count":
        |it| count(it.counts().mounted),
        "uploads begun with ?mount= that were answered 201: the registry has the blob"),
    metric!(Asked "mounts_attempted" "mounts attempted" in "count":
        |it| count(it.counts().mounts),
        "uploads begun with ?mount= that the registry decided on: answered with anything but 3xx, \
         401, 429 and 5xx, after which the same is asked again"),
    metric!(Asked "cdn_hits" "CDN hits" in "count":
        |it| count(it.counts().cdn_hits),
        "GETs answered 200 or 206 whose headers say that a cache had it"),
    metric!(Asked "cdn_misses" "CDN misses" in "count":
        |it| count(it.counts().cdn_misses),
        "GETs answered 200 or 206 whose headers say that a cache had to fetch it"),
    metric!(Asked "throttled" "429s" in "count":
        |it| count(it.counts().throttled),
        "answers with status 429 (Too Many Requests)"),
    metric!(Asked "referrers_calls" "referrers calls" in "count":
        |it| count(it.counts().referrers),
        "GETs of the referrers API, each page of its own, that were answered with anything but 3xx, \
         401, 429 and 5xx; the fallback by tag is a manifest"),
    metric!(Asked "connections" "connections" in "count":
        |it| count(it.sockets().connections),
        "connections to registries, token servers and networks that were made and have ended"),
    metric!(Asked "socket_tx_bytes" "socket bytes sent" in "bytes":
        |it| bytes(it.sockets().tx),
        "bytes that their sockets took: headers and TLS included"),
    metric!(Asked "socket_rx_bytes" "socket bytes received" in "bytes":
        |it| bytes(it.sockets().rx),
        "bytes that their sockets gave: headers and TLS included"),
    metric!(Clients "client_requests" "client requests" in "count":
        |it| client(it, |it| count(it.leg(Leg::Client).all.requests)),
        "HTTP requests that the mirror answered, also with an error"),
    metric!(Clients "client_response_bytes" "client response bytes" in "bytes":
        |it| client(it, |it| bytes(it.leg(Leg::Client).all.response_bytes)),
        "body bytes of those answers that crossed"),
    metric!(Clients "saved_requests" "requests saved" in "count":
        |it| client(it, |it| {
            let upstream = it.leg(Leg::Upstream).all.requests;
            Some(Value::Less(saved(it.leg(Leg::Client).all.requests, upstream)))
        }),
        "client requests less requests to upstreams; below 0 where the mirror asked more"),
    metric!(Clients "saved_bytes" "bytes saved" in "bytes":
        |it| client(it, |it| {
            let upstream = it.leg(Leg::Upstream).all.response_bytes;
            Some(Value::LessBytes(saved(it.leg(Leg::Client).all.response_bytes, upstream)))
        }),
        "client response bytes less response bytes from upstreams; below 0 where more came in than \
         went out"),
    metric!(Clients "hit_ratio" "hit ratio" in "ratio":
        |it| client(it, |it| part(hits(it).0, with_origin(it).0)),
        "hits and stale answers, as a part of the client requests that have an origin; those that \
         failed, and what is no content, have none"),
    metric!(Clients "byte_hit_ratio" "byte hit ratio" in "ratio":
        |it| client(it, |it| part(hits(it).1, with_origin(it).1)),
        "the same, of their response bytes"),
    metric!(Clients "client_cut_short" "client answers cut short" in "count":
        |it| client(it, |it| count(it.leg(Leg::Client).counts.cut_short)),
        "answers to clients whose body did not reach its end, whoever broke it off"),
    metric!(Clients "client_throttled" "client 429s" in "count":
        |it| client(it, |it| count(it.leg(Leg::Client).counts.throttled)),
        "answers to clients with status 429"),
    metric!(Clients "client_connections" "client connections" in "count":
        |it| client(it, |it| count(it.leg(Leg::Client).sockets.connections)),
        "connections of clients that have ended"),
];

/// Requests and bytes that what the mirror holds answered.
fn hits(summary: &Summary) -> (u64, u64) {
    of_origins(summary, |origin| {
        matches!(origin, Origin::Hit | Origin::Stale)
    })
}

/// Requests and bytes of which the origin is known.
fn with_origin(summary: &Summary) -> (u64, u64) {
    of_origins(summary, |_| true)
}

fn of_origins(summary: &Summary, counts: fn(Origin) -> bool) -> (u64, u64) {
    let origins = Origin::ALL.iter().filter(|origin| counts(**origin));
    let shares = origins.map(|origin| summary.leg(Leg::Client).origins[*origin as usize]);
    shares.fold((0, 0), |(requests, bytes), share| {
        (requests + share.requests, bytes + share.response_bytes)
    })
}
