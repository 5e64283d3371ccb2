use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::Mount;
use crate::ledger::Receipt;

use super::describe::Subject;

/// The receipt of an exchange whose request and answer may end in either order: it is entered when
/// both are through.
#[derive(Debug)]
pub(super) struct Entry {
    // Body bytes that the tool sent.
    sent: AtomicU64,
    page: Mutex<Page>,
}

#[derive(Debug)]
struct Page {
    draft: Option<Draft>,
    end: Option<End>,
}

impl Entry {
    pub(super) fn new(mut draft: Draft, subject: &Subject, host: &str) -> Self {
        let receipt = &mut draft.receipt;
        receipt.host = host.into();
        receipt.action = subject.action;
        receipt.repository = subject.repository.clone();
        receipt.reference = subject.reference.clone();
        receipt.mount = subject.mount.clone().map(|from| Mount {
            from,
            accepted: false,
        });
        let page = Page {
            draft: Some(draft),
            end: None,
        };
        Self {
            sent: AtomicU64::new(0),
            page: Mutex::new(page),
        }
    }

    /// Changes the receipt.
    pub(super) fn note(&self, change: impl FnOnce(&mut Receipt)) {
        if let Some(draft) = &mut self.page().draft {
            change(&mut draft.receipt);
        }
    }

    /// Counts `bytes` of the request's body.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts `bytes` of the answer's body; the first ones set the time to the first byte.
    pub(super) fn received(&self, bytes: usize) {
        if let Some(draft) = &mut self.page().draft {
            draft.count(bytes);
        }
    }

    /// How it ended: what is said first, counts.
    pub(super) fn ended(&self, end: End) {
        self.page().end.get_or_insert(end);
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let sent = *self.sent.get_mut();
        let page = self.page.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut draft) = page.draft.take() {
            draft.receipt.request_bytes += sent;
            draft.seal(page.end.unwrap_or(End::Cancelled));
        }
    }
}
