use std::sync::Arc;

use super::Index;

/// Room that was promised to a writer: given back by a drop.
#[derive(Debug)]
pub(in crate::store) struct Reservation {
    index: Arc<Index>,
    bytes: u64,
    /// Beyond the limit.
    extra: u64,
}

impl Index {
    /// Promises room, where evictions can make it. One writer at a time may go beyond the limit:
    /// otherwise a few slow readers could keep everybody else from writing. So all that is stored
    /// and promised is never beyond it by more than what that one writes.
    ///
    /// Until the index is complete nobody knows what is stored, but that it is no more than
    /// `on_disk`, in bytes.
    pub(in crate::store) fn reserve(
        self: &Arc<Self>,
        bytes: u64,
        on_disk: u64,
    ) -> Option<Reservation> {
        let mut state = self.state();
        let (within, extra) = if state.fits(self.max_size, bytes, on_disk) {
            (bytes, 0)
        } else if state.extra == 0 && state.may_exceed(self.max_size) {
            (0, bytes)
        } else {
            return None;
        };
        state.reserved += within;
        state.extra += extra;
        drop(state);
        Some(self.reservation(within, extra))
    }

    /// Promises nothing.
    pub(in crate::store) fn reserve_nothing(self: &Arc<Self>) -> Reservation {
        self.reservation(0, 0)
    }

    fn reservation(self: &Arc<Self>, bytes: u64, extra: u64) -> Reservation {
        Reservation {
            index: Arc::clone(self),
            bytes,
            extra,
        }
    }
}

impl Reservation {
    /// What was promised, in bytes.
    pub(in crate::store) fn bytes(&self) -> u64 {
        self.bytes + self.extra
    }

    /// Promises more, where this is the writer that may go beyond the limit. Whether it is.
    pub(in crate::store) fn stretch(&mut self, bytes: u64) -> bool {
        if self.extra == 0 {
            return false;
        }
        self.index.state().extra += bytes;
        self.extra += bytes;
        true
    }

    /// Takes over what was promised by another one.
    pub(in crate::store) fn absorb(&mut self, mut other: Self) {
        let (bytes, extra) = other.take();
        self.bytes += bytes;
        self.extra += extra;
    }

    /// What was promised within the limit and beyond it, which is not given back any more.
    pub(super) fn take(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.bytes),
            std::mem::take(&mut self.extra),
        )
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let (bytes, extra) = self.take();
        let mut state = self.index.state();
        state.reserved -= bytes;
        state.extra -= extra;
        drop(state);
        self.index.changed.notify_waiters();
    }
}
