//! What is read from the rooms when somebody asks: nobody counts it meanwhile.

use std::time::Duration;
use std::time::SystemTime;

use super::family::Family;
use super::family::Page;
use crate::flow::PullThrough;
use crate::flow::UpstreamState;
use crate::ledger::Journal;
use crate::login::Refused;
use crate::registry::Limit;
use crate::store::Store;

use super::Doors;

const BUILD: Family = Family::gauge(
    "tidegate_build_info",
    &["version"],
    "Always 1; says what runs.",
);
const DRAINING: Family = Family::gauge(
    "tidegate_draining",
    &[],
    "1 while it shuts down and finishes what is under way.",
);
const FILLS: Family = Family::gauge(
    "tidegate_fills_in_flight",
    &[],
    "Blobs that are being fetched into the store.",
);
const FOLLOWERS: Family = Family::gauge(
    "tidegate_fill_followers_in_flight",
    &[],
    "Requests that wait for, or read, a blob that is being fetched.",
);

pub(super) fn build(page: &mut Page, is_draining: bool) {
    page.count(&BUILD, &[env!("CARGO_PKG_VERSION")], 1);
    page.count(&DRAINING, &[], is_draining.into());
}

pub(super) fn flow(page: &mut Page, flow: &PullThrough) {
    page.count(&FILLS, &[], flow.fills() as u64);
    page.count(&FOLLOWERS, &[], flow.followers() as u64);
    for state in flow.upstreams() {
        upstream(page, &state);
    }
}

const UP: Family = Family::gauge(
    "tidegate_upstream_up",
    &["upstream"],
    "0 while an upstream can't answer, and what is stored is served without asking it.",
);
const RETRIES: Family = Family::counter(
    "tidegate_upstream_retries_total",
    &["upstream"],
    "Requests to an upstream that were made again.",
);
const RESUMES: Family = Family::counter(
    "tidegate_upstream_resumes_total",
    &["upstream"],
    "Transfers that broke off and went on from the last good byte.",
);
const MISMATCHES: Family = Family::counter(
    "tidegate_upstream_mismatches_total",
    &["upstream"],
    "Answers that were thrown away: their digest, length, range or encoding was not the one \
     promised.",
);

fn upstream(page: &mut Page, state: &UpstreamState) {
    let name = state.name.as_str();
    page.count(&UP, &[name], state.outage.is_none().into());
    page.count(&RETRIES, &[name], state.retries);
    page.count(&RESUMES, &[name], state.resumes);
    page.count(&MISMATCHES, &[name], state.mismatches);
    for it in &state.limits {
        limit(page, name, it);
    }
}

const WINDOW: &[&str] = &["upstream", "host", "window"];
const PAUSE: Family = Family::gauge(
    "tidegate_upstream_pause_seconds",
    WINDOW,
    "How much longer an upstream is left alone after a 429; 0 where it isn't.",
);
const REMAINING: Family = Family::gauge(
    "tidegate_upstream_quota_remaining",
    WINDOW,
    "Requests that an upstream still allows, as it said last.",
);
const QUOTA: Family = Family::gauge(
    "tidegate_upstream_quota_limit",
    WINDOW,
    "Requests that an upstream allows in a window of time, as it said last.",
);
const LENGTH: Family = Family::gauge(
    "tidegate_upstream_quota_window_seconds",
    WINDOW,
    "How long that window of time is.",
);

/// A governor of requests, where there will be one, has its windows here too.
fn limit(page: &mut Page, upstream: &str, limit: &Limit) {
    let labels = [upstream, &*limit.host, &*limit.window];
    let pause = limit.paused.unwrap_or(Duration::ZERO);
    page.show(&PAUSE, &labels, pause.as_secs_f64());
    // What was left of a window that is over would look like little for ever.
    let quota = limit.quota.as_ref();
    let Some(quota) = quota.filter(|quota| !quota.is_over(SystemTime::now())) else {
        return;
    };
    page.count(&REMAINING, &labels, quota.remaining);
    if let Some(most) = quota.limit {
        page.count(&QUOTA, &labels, most);
    }
    if let Some(window) = quota.window {
        page.show(&LENGTH, &labels, window.as_secs_f64());
    }
}

const SIZE: Family = Family::gauge(
    "tidegate_store_size_bytes",
    &[],
    "Length of all blobs and manifests that are stored.",
);
const MAX_SIZE: Family = Family::gauge(
    "tidegate_store_max_size_bytes",
    &[],
    "The most that they may take (store.max_size); absent where there is no limit.",
);
const RESERVED: Family = Family::gauge(
    "tidegate_store_reserved_bytes",
    &[],
    "Room promised to blobs that are being written.",
);
const OBJECTS: Family = Family::gauge(
    "tidegate_store_objects",
    &[],
    "Blobs and manifests that are stored.",
);
const INDEXED: Family = Family::gauge(
    "tidegate_store_indexed",
    &[],
    "1 once all that was stored before the start is counted.",
);
const READY: Family = Family::gauge(
    "tidegate_store_ready",
    &[],
    "Whether the store takes writes.",
);
const EVICTIONS: Family = Family::counter(
    "tidegate_store_evictions_total",
    &[],
    "Blobs and manifests that were evicted to make room.",
);
const EVICTED: Family = Family::counter(
    "tidegate_store_evicted_bytes_total",
    &[],
    "Length of the blobs and manifests that were evicted.",
);

pub(super) fn store(page: &mut Page, store: &Store, is_ready: bool) {
    let (usage, evictions) = (store.usage(), store.evictions());
    page.count(&SIZE, &[], usage.bytes);
    if let Some(most) = store.max_size() {
        page.count(&MAX_SIZE, &[], most);
    }
    page.count(&RESERVED, &[], usage.reserved);
    page.count(&OBJECTS, &[], usage.blobs);
    page.count(&INDEXED, &[], usage.indexed.into());
    page.count(&READY, &[], is_ready.into());
    page.count(&EVICTIONS, &[], evictions.blobs);
    page.count(&EVICTED, &[], evictions.bytes);
}

const WRITTEN: Family = Family::counter(
    "tidegate_journal_records_total",
    &[],
    "Records that were written to the journal, where there is one.",
);
const DROPPED: Family = Family::counter(
    "tidegate_journal_dropped_records_total",
    &[],
    "Records that came faster than the journal could be written, and are missing there.",
);
const WRITING: Family = Family::gauge(
    "tidegate_journal_ready",
    &[],
    "0 while nothing can be written to the journal.",
);

pub(super) fn journal(page: &mut Page, journal: Option<&Journal>) {
    let Some(journal) = journal else { return };
    page.count(&WRITTEN, &[], journal.written());
    page.count(&DROPPED, &[], journal.dropped());
    page.count(&WRITING, &[], journal.problem().is_none().into());
}

const CONNECTIONS: Family = Family::gauge(
    "tidegate_front_connections",
    &[],
    "Connections that clients have open.",
);
const MAX_CONNECTIONS: Family = Family::gauge(
    "tidegate_front_max_connections",
    &[],
    "How many they may have open together (server.max_connections).",
);
const MAX_OF_ONE: Family = Family::gauge(
    "tidegate_front_max_connections_per_client",
    &[],
    "How many one of them may have open (server.max_connections_per_client).",
);
const TURNED_AWAY: Family = Family::counter(
    "tidegate_front_connections_turned_away_total",
    &[],
    "Connections that were closed unserved, for their client had too many that were busy.",
);

pub(super) fn front(page: &mut Page, doors: &Doors) {
    page.count(&CONNECTIONS, &[], doors.connections as u64);
    let (all, of_one) = doors.max_connections;
    page.count(&MAX_CONNECTIONS, &[], all as u64);
    page.count(&MAX_OF_ONE, &[], of_one as u64);
    page.count(&TURNED_AWAY, &[], doors.turned_away);
}

const REFUSED: Family = Family::counter(
    "tidegate_logins_refused_total",
    &["listener", "reason"],
    "Requests that were not let in: no login was sent, it was wrong, or too many had been wrong.",
);

pub(super) fn logins(page: &mut Page, listener: &str, refused: Option<Refused>) {
    let Some(refused) = refused else { return };
    let shown = [
        ("missing", refused.missing),
        ("wrong", refused.wrong),
        ("throttled", refused.throttled),
    ];
    for (reason, count) in shown {
        page.count(&REFUSED, &[listener, reason], count);
    }
}
