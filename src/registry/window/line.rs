use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use crate::registry::Priority;

/// Who waits for a window, in the order of coming: those that somebody waits for apart, and first.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: [VecDeque<Waiter>; 2],
    last: u64,
}

/// One that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    number: u64,
    pub(super) priority: Priority,
    pub(super) since: Instant,
    /// Rings when it may be its turn.
    pub(super) bell: Arc<Notify>,
}

impl Line {
    /// Stands in line from now on.
    pub(super) fn join(&mut self, priority: Priority, since: Instant) -> Waiter {
        self.last += 1;
        let waiter = Waiter {
            number: self.last,
            priority,
            since,
            bell: Arc::default(),
        };
        self.of_mut(priority).push_back(waiter.clone());
        waiter
    }

    /// Stands in line no longer, whether it was its turn or not; who comes after is told.
    pub(super) fn leave(&mut self, waiter: &Waiter) {
        let line = self.of_mut(waiter.priority);
        line.retain(|it| it.number != waiter.number);
        self.ring();
    }

    /// Whether it is the first of its kind.
    pub(super) fn is_first(&self, waiter: &Waiter) -> bool {
        let first = self.waiting[waiter.priority as usize].front();
        first.is_some_and(|first| first.number == waiter.number)
    }

    /// How many wait.
    pub(super) fn len(&self, priority: Priority) -> usize {
        self.waiting[priority as usize].len()
    }

    /// Tells those whose turn it may be.
    pub(super) fn ring(&self) {
        for first in self.waiting.iter().filter_map(VecDeque::front) {
            first.bell.notify_one();
        }
    }

    /// Tells all.
    pub(super) fn ring_all(&self) {
        for waiter in self.waiting.iter().flatten() {
            waiter.bell.notify_one();
        }
    }

    fn of_mut(&mut self, priority: Priority) -> &mut VecDeque<Waiter> {
        &mut self.waiting[priority as usize]
    }
}
