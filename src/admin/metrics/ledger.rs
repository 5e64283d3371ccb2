//! The books, whose two sides must agree, and the journal.

use super::family::Family;
use super::family::Page;
use super::label;
use crate::ledger::Books;
use crate::ledger::Journal;

const IMBALANCE: Family = Family::gauge(
    "tidegate_ledger_imbalance_bytes",
    &[],
    "Bytes whose two sides in the books differ. Anything but 0 is a bug of tidegate's.",
);
const OPEN: Family = Family::gauge(
    "tidegate_ledger_open_accounts",
    &[],
    "Transfers that are under way, and not in the books yet.",
);
const RECEIVED: Family = Family::counter(
    "tidegate_ledger_upstream_received_bytes_total",
    &[],
    "Body bytes that came from upstreams.",
);
const FROM_TARGETS: Family = Family::counter(
    "tidegate_ledger_target_received_bytes_total",
    &[],
    "Body bytes that came from targets.",
);
const USED: Family = Family::counter(
    "tidegate_ledger_upstream_bytes_total",
    &["use", "reason"],
    "What became of both: committed to the store, passed to clients unstored, or discarded, and why.",
);
const HELD: Family = Family::gauge(
    "tidegate_ledger_held_bytes",
    &[],
    "Body bytes that came from upstreams or targets, of which it isn't said yet what becomes of them.",
);
const SENT: Family = Family::counter(
    "tidegate_ledger_client_sent_bytes_total",
    &[],
    "Body bytes that clients were sent.",
);
const GIVEN: Family = Family::counter(
    "tidegate_ledger_client_bytes_total",
    &["source"],
    "Where they came from: the store, a flow from an upstream, or our own words.",
);

const TO_TARGETS: Family = Family::counter(
    "tidegate_ledger_target_sent_bytes_total",
    &[],
    "Body bytes that targets were sent.",
);
const UPLOADED: Family = Family::counter(
    "tidegate_ledger_target_bytes_total",
    &["use", "reason"],
    "What became of them: committed, as the target said, or discarded, and why.",
);

pub(super) fn books(page: &mut Page, books: &Books) {
    page.count(&IMBALANCE, &[], books.imbalance);
    page.count(&OPEN, &[], books.open);
    page.count(&RECEIVED, &[], books.upstream_received);
    page.count(&FROM_TARGETS, &[], books.target_received);
    page.count(&USED, &["committed", label::NONE], books.committed);
    page.count(&USED, &["passed", label::NONE], books.passed);
    for (reason, bytes) in &books.discarded {
        page.count(&USED, &["discarded", reason.as_str()], *bytes);
    }
    page.count(&HELD, &[], books.held);
    page.count(&SENT, &[], books.client_sent);
    for (source, bytes) in &books.client_given {
        page.count(&GIVEN, &[source.as_str()], *bytes);
    }
    page.count(&TO_TARGETS, &[], books.target_sent);
    page.count(
        &UPLOADED,
        &["committed", label::NONE],
        books.target_committed,
    );
    for (reason, bytes) in &books.target_discarded {
        page.count(&UPLOADED, &["discarded", reason.as_str()], *bytes);
    }
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
