//! What is owed to each target, and what was done for it.

use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use super::family::Family;
use super::family::Page;
use super::windows;
use crate::target::TargetState;

const TARGET: &[&str] = &["target"];
const UP: Family = Family::gauge(
    "tidegate_target_up",
    TARGET,
    "0 while a target can't be reached, or takes nothing.",
);
const OWED: Family = Family::gauge(
    "tidegate_target_owed",
    TARGET,
    "Manifests that were pulled and are not at the target yet.",
);
const UNDER_WAY: Family = Family::gauge(
    "tidegate_target_under_way",
    TARGET,
    "Those of them that are being brought there now.",
);
const SUCCESS: Family = Family::gauge(
    "tidegate_target_last_success_timestamp_seconds",
    TARGET,
    "When a manifest came to the target last, since 1970; 0 where none has since the start.",
);
const MIRRORED: Family = Family::counter(
    "tidegate_target_mirrored_total",
    TARGET,
    "What was owed and is there, each with all that its manifest names.",
);
const FAILURES: Family = Family::counter(
    "tidegate_target_failures_total",
    TARGET,
    "Times that something owed could not be brought, and was put off.",
);
const GIVEN_UP: Family = Family::counter(
    "tidegate_target_given_up_total",
    TARGET,
    "What was owed and never will be there: it is gone where it came from.",
);
const MANIFESTS: Family = Family::counter(
    "tidegate_target_manifests_total",
    TARGET,
    "Manifests that were put.",
);
const UPLOADS: Family = Family::counter(
    "tidegate_target_uploads_total",
    TARGET,
    "Blobs that were uploaded.",
);
const UPLOADED: Family = Family::counter(
    "tidegate_target_upload_bytes_total",
    TARGET,
    "Length of the blobs that were uploaded.",
);
const MOUNTS: Family = Family::counter(
    "tidegate_target_mounts_total",
    &["target", "accepted"],
    "Blobs that were to be mounted from another repository, and whether the target did.",
);
const KNOWN: Family = Family::counter(
    "tidegate_target_known_blobs_total",
    TARGET,
    "Blobs that were known to be there, and cost no request.",
);
const HEADS: Family = Family::counter(
    "tidegate_target_heads_total",
    TARGET,
    "Requests to make sure that something is there.",
);
const RETRIES: Family = Family::counter(
    "tidegate_target_retries_total",
    TARGET,
    "Uploads and manifests that had to be begun again.",
);
const ENTRIES: Family = Family::gauge(
    "tidegate_target_catalog_entries",
    TARGET,
    "Blobs, manifests and tags that the target is known to have, one for each repository.",
);
const WITHDRAWALS: Family = Family::counter(
    "tidegate_target_catalog_withdrawals_total",
    TARGET,
    "What the target was thought to have, and had not.",
);

pub(super) fn show(page: &mut Page, targets: &[TargetState]) {
    for target in targets {
        one(page, target);
    }
}

fn one(page: &mut Page, target: &TargetState) {
    let name = &[&*target.name];
    for limit in &target.limits {
        windows::show(page, &target.name, limit);
    }
    let figures = &target.figures;
    let success = target.last_success.map_or(0.0, seconds);
    page.show(&SUCCESS, name, success);
    for (family, value) in [
        (&UP, u64::from(target.outage.is_none())),
        (&OWED, target.owed as u64),
        (&UNDER_WAY, target.under_way as u64),
        (&MIRRORED, figures.errands),
        (&FAILURES, figures.failures),
        (&GIVEN_UP, figures.given_up),
        (&MANIFESTS, figures.manifests),
        (&UPLOADS, figures.uploads),
        (&UPLOADED, figures.upload_bytes),
        (&KNOWN, figures.known),
        (&HEADS, figures.heads),
        (&RETRIES, figures.retries),
        (&ENTRIES, target.catalog.entries),
        (&WITHDRAWALS, target.catalog.withdrawals),
    ] {
        page.count(family, name, value);
    }
    for (accepted, count) in [("true", figures.mounts), ("false", figures.mounts_refused)] {
        page.count(&MOUNTS, &[&target.name, accepted], count);
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
