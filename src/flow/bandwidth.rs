use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::ledger::FlowId;

/// How many bytes of blobs a second may be fetched for some flows, all together and on average. A
/// blob that a client wants as well comes as fast as it can.
#[derive(Debug)]
pub struct Bandwidth {
    bytes_per_second: NonZeroU64,
    /// When all that was fetched will have been paid for.
    paid: Mutex<Instant>,
}

/// A flow that is held to a bandwidth until this is dropped; fills that it has begun stay so.
#[derive(Debug)]
pub struct Limited {
    limits: Arc<Limits>,
    flow: FlowId,
}

/// The flows that are held to a bandwidth.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<HashMap<FlowId, Arc<Bandwidth>>>);

impl Bandwidth {
    /// So many from now on.
    pub fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            paid: Mutex::new(Instant::now()),
        }
    }

    /// So many have come: after how long the next ones may.
    pub(super) fn spend(&self, bytes: usize) -> Duration {
        self.spend_at(Instant::now(), bytes)
    }

    #[expect(clippy::cast_precision_loss, reason = "it is an average")]
    fn spend_at(&self, now: Instant, bytes: usize) -> Duration {
        let price = bytes as f64 / self.bytes_per_second.get() as f64;
        let price = Duration::try_from_secs_f64(price).unwrap_or(Duration::MAX);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not used before is gone.
        *paid = (*paid).max(now).checked_add(price).unwrap_or(*paid);
        paid.saturating_duration_since(now)
    }
}

impl Limits {
    /// What `flow` is held to.
    pub(super) fn of(&self, flow: FlowId) -> Option<Arc<Bandwidth>> {
        self.flows(|flows| flows.get(&flow).cloned())
    }

    /// Holds `flow` to a bandwidth.
    pub(super) fn hold(self: &Arc<Self>, flow: FlowId, to: &Arc<Bandwidth>) -> Limited {
        self.flows(|flows| flows.insert(flow, to.clone()));
        Limited {
            limits: self.clone(),
            flow,
        }
    }

    fn flows<T>(&self, work: impl FnOnce(&mut HashMap<FlowId, Arc<Bandwidth>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        self.limits.flows(|flows| flows.remove(&self.flow));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_paid_for_and_what_is_not_used_is_gone() {
        let limit = Bandwidth::new(NonZeroU64::new(1000).unwrap());
        let begun = Instant::now() + Duration::from_secs(1);
        let at = |seconds| begun + Duration::from_secs(seconds);
        let spend = |seconds, bytes| limit.spend_at(at(seconds), bytes).as_secs_f64();
        assert_eq!(spend(0, 500), 0.5);
        assert_eq!(spend(0, 1500), 2.0);
        assert_eq!(spend(1, 1000), 2.0);
        // Nobody fetches for a while: no more at once than before.
        assert_eq!(spend(60, 1000), 1.0);
        assert_eq!(spend(60, 1000), 2.0);
    }

    #[test]
    fn a_flow_is_held_until_the_drop() {
        let limits = Arc::<Limits>::default();
        let limit = Arc::new(Bandwidth::new(NonZeroU64::MIN));
        let (one, other) = (FlowId::next(), FlowId::next());
        let held = limits.hold(one, &limit);
        assert!(limits.of(one).is_some() && limits.of(other).is_none());
        drop(held);
        assert!(limits.of(one).is_none());
    }
}
