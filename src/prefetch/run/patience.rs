//! What is refused only for now is asked for again.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::flow;
use crate::registry;
use crate::target;

/// How often the same is asked for, at most: a registry that throttles is not out.
const ATTEMPTS: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whose fault may be over soon.
pub(super) trait Passing {
    /// Where a registry has had too many requests: how long it wants none, where it says so.
    fn throttled(&self) -> Option<Option<Duration>>;
}

impl Passing for flow::Error {
    fn throttled(&self) -> Option<Option<Duration>> {
        match self {
            Self::Upstream { error, .. } => throttled(error),
            _ => None,
        }
    }
}

impl Passing for target::Error {
    fn throttled(&self) -> Option<Option<Duration>> {
        match self {
            Self::Registry { error, .. } => throttled(error),
            _ => None,
        }
    }
}

fn throttled(error: &registry::Error) -> Option<Option<Duration>> {
    match error {
        registry::Error::Throttled { retry_after } => Some(*retry_after),
        _ => None,
    }
}

/// Asks, and asks again where that was too much for a registry.
pub(super) async fn patiently<'a, T, E: Passing>(
    ask: impl Fn() -> BoxFuture<'a, Result<T, E>>,
) -> Result<T, E> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        let error = match ask().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let Some(told) = error.throttled() else {
            return Err(error);
        };
        let wait = told.unwrap_or(pause).min(LONGEST_PAUSE);
        tokio::time::sleep(wait.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
        pause *= 2;
    }
    ask().await
}
