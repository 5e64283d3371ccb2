//! Fills and upstreams, as they are now.

use std::time::Duration;
use std::time::SystemTime;

use super::family::Family;
use super::family::Page;
use super::windows;
use crate::flow::PullThrough;
use crate::flow::UpstreamState;
use crate::registry::Limit;

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

pub(super) fn show(page: &mut Page, flow: &PullThrough) {
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
        windows::show(page, name, it);
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
