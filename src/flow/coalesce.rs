use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::watch;

use super::Error;

/// Runs one piece of work for all who want it at the same time. The work is a task of its own:
/// nobody's leaving breaks it off.
#[derive(Debug)]
pub(super) struct Coalesce<K, V> {
    running: Arc<Mutex<Running<K, V>>>,
}

type Running<K, V> = HashMap<K, watch::Receiver<Option<Result<V, Error>>>>;

/// How long who is in a hurry waits for who can wait: longer than an answer takes that is on its way.
pub(super) const A_MOMENT: Duration = Duration::from_millis(500);

/// Whether the work was started for this caller or for an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// This caller's request started it.
    First,
    /// It was under way.
    Later,
}

impl<K, V> Default for Coalesce<K, V> {
    fn default() -> Self {
        Self {
            running: Arc::default(),
        }
    }
}

impl<K, V> Coalesce<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The outcome of the work for `key`, which is started unless it is under way.
    ///
    /// # Errors
    /// What the work fails with; `GivenUp` where it panicked.
    pub(super) async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> (Result<V, Error>, Seat)
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let (mut outcome, seat) = self.start(key, work);
        let outcome = outcome.wait_for(Option::is_some).await;
        let outcome = match outcome.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(Error::GivenUp("the request was broken off")),
        };
        (outcome, seat)
    }

    /// The same for work that may be done in a hurry or at leisure, where `leisure` says for which of
    /// both this caller is; the other one's key is `other`. Who can wait joins who is in a hurry. Who is
    /// in a hurry joins who can wait only for a moment: that one may stand behind many others.
    pub(super) async fn run_or_join<F>(
        &self,
        (key, other, leisure): (K, K, bool),
        work: impl FnOnce() -> F,
    ) -> (Result<V, Error>, Seat)
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let running = lock(&self.running).get(&other).cloned();
        if let Some(mut outcome) = running {
            let outcome = outcome.wait_for(Option::is_some);
            let outcome = match leisure {
                true => Some(outcome.await),
                false => tokio::time::timeout(A_MOMENT, outcome).await.ok(),
            };
            if let Some(Ok(outcome)) = outcome
                && let Some(outcome) = outcome.clone()
            {
                return (outcome, Seat::Later);
            }
        }
        self.run(key, work).await
    }

    /// Starts the work for `key`, unless it is under way, without waiting for it.
    pub(super) fn spawn<F>(&self, key: K, work: impl FnOnce() -> F)
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        self.start(key, work);
    }

    fn start<F>(
        &self,
        key: K,
        work: impl FnOnce() -> F,
    ) -> (watch::Receiver<Option<Result<V, Error>>>, Seat)
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let mut running = lock(&self.running);
        if let Some(receiver) = running.get(&key) {
            return (receiver.clone(), Seat::Later);
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(key.clone(), receiver.clone());
        drop(running);
        let entry = Entry {
            running: self.running.clone(),
            key,
        };
        let work = work();
        tokio::spawn(async move {
            let outcome = work.await;
            // Off the list first: whoever comes from now on sees what the work left behind.
            drop(entry);
            let _ = sender.send(Some(outcome));
        });
        (receiver, Seat::First)
    }
}

/// Takes its key off the list when dropped, also by a panic of the work.
struct Entry<K: Eq + Hash, V> {
    running: Arc<Mutex<Running<K, V>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Entry<K, V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

fn lock<K, V>(running: &Mutex<Running<K, V>>) -> MutexGuard<'_, Running<K, V>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn one_piece_of_work_for_all_and_nobody_breaks_it_off() {
        let coalesce = Coalesce::<&str, u32>::default();
        let (go, gate) = oneshot::channel::<()>();
        let work = || async move {
            let _ = gate.await;
            Ok(7)
        };
        let mut first = Box::pin(coalesce.run("a", work));
        assert!((&mut first).now_or_never().is_none());
        drop(first);
        let mut second = Box::pin(coalesce.run("a", || async { Ok(8) }));
        assert!((&mut second).now_or_never().is_none());
        go.send(()).unwrap();
        let (outcome, seat) = second.await;
        assert_eq!((outcome.unwrap(), seat), (7, Seat::Later));
        let (outcome, seat) = coalesce.run("a", || async { Ok(9) }).await;
        assert_eq!((outcome.unwrap(), seat), (9, Seat::First));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_for_all() {
        let coalesce = Coalesce::<(), ()>::default();
        let (outcome, _) = coalesce.run((), || async { panic!("as expected") }).await;
        assert!(matches!(outcome, Err(Error::GivenUp(_))));
        assert!(coalesce.run((), || async { Ok(()) }).await.0.is_ok());
    }
}
