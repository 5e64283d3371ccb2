//! What is stored, and what had to go.

use super::family::Family;
use super::family::Page;
use crate::store::Store;

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

pub(super) fn show(page: &mut Page, store: &Store, is_ready: bool) {
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
