//! What runs, how full its front is, and whom it refused.

use super::family::Family;
use super::family::Page;
use crate::login::Refused;

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
pub(super) fn build(page: &mut Page, is_draining: bool) {
    page.count(&BUILD, &[env!("CARGO_PKG_VERSION")], 1);
    page.count(&DRAINING, &[], is_draining.into());
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

pub(super) fn show(page: &mut Page, doors: &Doors) {
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
