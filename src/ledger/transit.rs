use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use super::End;
use super::draft::Entry;

/// The last stretch of a body's way, on which bytes that were counted may still be lost: the end of
/// the exchange has to wait for them. All clones are the same stretch.
///
/// Where a body's last bytes are handed over before they are sent, its [`super::Draft`] is given
/// one, and so is each piece that is handed over. The receipt is entered when the draft is sealed
/// and all pieces are dropped, without the bytes that were lost.
#[derive(Clone, Debug, Default)]
pub struct Transit(Arc<Stretch>);

#[derive(Debug, Default)]
struct Stretch {
    lost: AtomicU64,
    sealed: Mutex<Option<Entry>>,
}

impl Transit {
    /// Bytes that were counted did not cross.
    pub fn lose(&self, bytes: u64) {
        self.0.lost.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The draft is sealed.
    pub(super) fn seal(&self, entry: Entry) {
        let mut sealed = self.0.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        *sealed = Some(entry);
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        let sealed = self.sealed.get_mut();
        let Some(mut entry) = sealed.unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        let lost = *self.lost.get_mut();
        let receipt = &mut entry.receipt;
        receipt.response_bytes = receipt.response_bytes.saturating_sub(lost);
        if lost > 0 && receipt.end == End::Complete {
            receipt.end = End::Cancelled;
        }
        entry.enter();
    }
}
