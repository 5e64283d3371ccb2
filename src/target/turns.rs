use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::sync::OwnedMutexGuard;

use super::lock;
use crate::oci::Name;

/// Lets one at a time put something under a reference of a repository. Whoever waited looks again
/// before it does the same.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

type Key = (Name, String);

/// A turn; its drop ends it.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    key: Key,
    mutex: Option<Arc<tokio::sync::Mutex<()>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for its turn. First come, first served.
    pub(super) async fn take(&self, name: &Name, reference: &str) -> Turn<'_> {
        let key = (name.clone(), reference.to_owned());
        let mutex = lock(&self.taken).entry(key.clone()).or_default().clone();
        // Whoever leaves while waiting clears up after itself, too.
        let mut turn = Turn {
            turns: self,
            key,
            mutex: Some(mutex.clone()),
            guard: None,
        };
        turn.guard = Some(mutex.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        self.mutex = None;
        let mut taken = lock(&self.turns.taken);
        if let Some(mutex) = taken.get(&self.key)
            && Arc::strong_count(mutex) == 1
        {
            taken.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_stays_behind() {
        let turns = Turns::default();
        let name: Name = "a".parse().unwrap();
        let first = turns.take(&name, "x").await;
        assert!(turns.take(&name, "y").now_or_never().is_some());
        let mut second = Box::pin(turns.take(&name, "x"));
        let mut third = Box::pin(turns.take(&name, "x"));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(first);
        drop(third.now_or_never().expect("it is the third's turn"));
        assert!(lock(&turns.taken).is_empty());
    }
}
