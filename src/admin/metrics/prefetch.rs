//! How the sets that are kept warm do.

use super::family::Family;
use super::family::Page;
use crate::admin::prefetch::PrefetchFigures;

const SET: &[&str] = &["set"];
const RUNNING: Family = Family::gauge(
    "tidegate_prefetch_running",
    SET,
    "1 while a run of the set is under way.",
);
const NEXT: Family = Family::gauge(
    "tidegate_prefetch_next_run_timestamp_seconds",
    SET,
    "When the set is run next by itself, since 1970; 0 where only on request.",
);
const LAST: Family = Family::gauge(
    "tidegate_prefetch_last_run_timestamp_seconds",
    SET,
    "When the last run ended, since 1970, also one before the start; 0 for never.",
);
const SUCCESS: Family = Family::gauge(
    "tidegate_prefetch_last_success_timestamp_seconds",
    SET,
    "When the last run that did all ended, since 1970, also one before the start; 0 for never.",
);
const DURATION: Family = Family::gauge(
    "tidegate_prefetch_last_duration_seconds",
    SET,
    "How long the last run that has ended took.",
);
const RUNS: Family = Family::counter(
    "tidegate_prefetch_runs_total",
    &["set", "outcome"],
    "Runs of the set, by how they ended.",
);
const MISSED: Family = Family::counter(
    "tidegate_prefetch_missed_total",
    SET,
    "Runs that were due while one was under way, and left out.",
);
const TAGS: Family = Family::counter(
    "tidegate_prefetch_tags_total",
    &["set", "outcome"],
    "Tags of the set, by what became of them; each once in each run.",
);
const BYTES: Family = Family::counter(
    "tidegate_prefetch_bytes_total",
    &["set", "direction"],
    "Bytes that sources sent for the set, and that targets were sent.",
);

pub(super) fn show(page: &mut Page, sets: &[PrefetchFigures]) {
    for figures in sets {
        one(page, figures);
    }
}

fn one(page: &mut Page, figures: &PrefetchFigures) {
    let set = &*figures.set;
    page.count(&RUNNING, &[set], figures.is_running.into());
    page.show(&NEXT, &[set], figures.next.unwrap_or_default());
    page.show(&LAST, &[set], figures.last_run.unwrap_or_default());
    page.show(&SUCCESS, &[set], figures.last_success.unwrap_or_default());
    page.count(&MISSED, &[set], figures.missed);
    if let Some(seconds) = figures.last_duration {
        page.show(&DURATION, &[set], seconds);
    }
    for (family, rows) in [
        (&RUNS, &figures.runs),
        (&TAGS, &figures.images),
        (&BYTES, &figures.bytes),
    ] {
        for (label, count) in rows {
            page.count(family, &[set, label], *count);
        }
    }
}
