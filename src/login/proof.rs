use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::register::Proven;

/// How many may wait for their turn.
const WAITING: usize = 256;
/// When to come again where there is no place to wait.
const LATER: Duration = Duration::from_secs(1);

/// Checks passwords on the blocking pool: at half of the processors at most, so that whoever has
/// logged in is served meanwhile.
#[derive(Debug)]
pub(super) struct Prover {
    workers: Arc<Semaphore>,
    places: Semaphore,
}

/// The right to check one password.
#[derive(Debug)]
pub(super) struct Turn {
    _worker: OwnedSemaphorePermit,
}

impl Default for Prover {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            workers: Arc::new(Semaphore::new((processors / 2).max(1))),
            places: Semaphore::new(WAITING),
        }
    }
}

impl Prover {
    /// Waits for a turn; where too many wait already, says when to come again.
    pub(super) async fn turn(&self) -> Result<Turn, Duration> {
        let _place = self.places.try_acquire().map_err(|_| LATER)?;
        let worker = self.workers.clone().acquire_owned().await;
        let _worker = worker.map_err(|_| LATER)?;
        Ok(Turn { _worker })
    }
}

impl Turn {
    /// Does the work, to its end even if nobody waits for it any more.
    pub(super) async fn prove(
        self,
        work: impl FnOnce() -> Option<Proven> + Send + 'static,
    ) -> Option<Proven> {
        let proof = tokio::task::spawn_blocking(move || {
            let proven = work();
            drop(self);
            proven
        });
        proof.await.ok().flatten()
    }
}
