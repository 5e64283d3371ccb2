use std::num::NonZeroU32;
use std::time::Duration;

/// Who goes first where a registry takes no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for it: a client's pull.
    #[default]
    Foreground,
    /// Nobody does: a prefetch. It takes what is left.
    Background,
}

impl Priority {
    /// All of them, in the order of their declaration.
    pub(super) const ALL: [Self; 2] = [Self::Foreground, Self::Background];
}

/// How many requests may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many requests,
    pub requests: NonZeroU32,
    /// in this time.
    pub per: Duration,
}

impl Rate {
    /// Requests a second.
    pub fn per_second(self) -> f64 {
        f64::from(self.requests.get()) / self.per.as_secs_f64().max(0.001)
    }
}
