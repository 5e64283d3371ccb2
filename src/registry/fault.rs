use std::time::Duration;

use super::Error;

/// Why one attempt failed, and whether another may fare better.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// What the caller is told when there is no other attempt.
    pub(super) error: Error,
    /// Whether to try again.
    pub(super) again: Again,
}

/// Whether another attempt at the same request makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It would end the same way.
    Never,
    /// After a pause.
    Backoff,
    /// After a pause, but only once: each attempt takes a whole timeout.
    Once,
    /// Not before this has passed, for the registry said so.
    After(Duration),
    /// Not before this has passed, for the registry said so to another request. This one was not
    /// sent.
    Paused(Duration),
}

impl Fault {
    /// A failure that another attempt would only repeat.
    pub(super) fn lasting(error: Error) -> Self {
        Self {
            error,
            again: Again::Never,
        }
    }

    /// A failure that may be over soon.
    pub(super) fn passing(error: Error) -> Self {
        Self {
            error,
            again: Again::Backoff,
        }
    }

    /// An answer that breaks the protocol.
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self::lasting(Error::Wrong(text.into()))
    }
}
