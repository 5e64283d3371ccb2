use crate::ledger::Receipt;

/// Some of the exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::report) struct Share {
    /// How many.
    pub(in crate::report) requests: u64,
    /// Body bytes of requests.
    pub(in crate::report) request_bytes: u64,
    /// Body bytes of answers.
    pub(in crate::report) response_bytes: u64,
}

impl Share {
    pub(super) fn add(&mut self, receipt: &Receipt) {
        *self = self.and(Self {
            requests: 1,
            request_bytes: receipt.request_bytes,
            response_bytes: receipt.response_bytes,
        });
    }

    pub(in crate::report) fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            request_bytes: self.request_bytes.saturating_add(other.request_bytes),
            response_bytes: self.response_bytes.saturating_add(other.response_bytes),
        }
    }
}
