//! How many requests may be in flight at each registry, and are.

use super::family::Family;
use super::family::Page;
use crate::registry::Limit;

const WINDOW: &[&str] = &["registry", "host", "window"];
const ROLE: &[&str] = &["registry", "host", "window", "priority"];
const SIZE: Family = Family::gauge(
    "tidegate_window_size",
    WINDOW,
    "Requests that may be in flight at a registry, bodies included, as far as it has shown.",
);
const IN_FLIGHT: Family = Family::gauge(
    "tidegate_window_in_flight",
    ROLE,
    "Requests that are in flight at a registry.",
);
const WAITING: Family = Family::gauge(
    "tidegate_window_waiting",
    ROLE,
    "Requests that wait to leave.",
);
const RATE: Family = Family::gauge(
    "tidegate_window_rate",
    WINDOW,
    "Requests a second that may leave; 0 where neither the registry nor its documentation limits \
     that.",
);
const DECREASES: Family = Family::counter(
    "tidegate_window_decreases_total",
    WINDOW,
    "Times that it was too much for a registry: a 429, an answer that did not come.",
);

pub(super) fn show(page: &mut Page, registry: &str, limit: &Limit) {
    let labels = [registry, &*limit.host, &*limit.window];
    page.count(&SIZE, &labels, limit.size as u64);
    page.count(&DECREASES, &labels, limit.decreases);
    page.show(&RATE, &labels, limit.rate.unwrap_or(0.0));
    let background = limit.in_flight.saturating_sub(limit.in_flight_foreground);
    let behind = limit.waiting.saturating_sub(limit.waiting_foreground);
    for (priority, in_flight, waiting) in [
        (
            "foreground",
            limit.in_flight_foreground,
            limit.waiting_foreground,
        ),
        ("background", background, behind),
    ] {
        let [registry, host, window] = labels;
        let labels = [registry, host, window, priority];
        page.count(&IN_FLIGHT, &labels, in_flight as u64);
        page.count(&WAITING, &labels, waiting as u64);
    }
}
