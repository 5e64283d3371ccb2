use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::flight::Flights;

/// Whose turn it is to be fetched for: clients', at any time; and those' who can wait, when no
/// client waits for a blob.
#[derive(Debug)]
pub(super) struct Turns {
    /// Clients that wait for a blob, or are passed one on, beside the followers of flights.
    attending: AtomicUsize,
    /// When a client last waited for a blob; `None` where none ever has.
    attended: Mutex<Option<Instant>>,
    places: Arc<Semaphore>,
    is_closed: AtomicBool,
    /// Told when any of it has changed, a flight has begun or one has landed.
    changed: Notify,
}

/// A client that waits for a blob; until its drop.
#[derive(Debug)]
pub(super) struct Attending(Arc<Flights>);

/// What who can wait may do at last.
#[derive(Debug)]
pub(super) enum Turn {
    /// Join: it is here, or being fetched for somebody else.
    Join,
    /// Fetch it, as one of few.
    Fetch(OwnedSemaphorePermit),
    /// Nothing: no more is fetched in the background.
    Never,
}

/// How many fetch in the background at a time.
const PLACES: usize = 2;
/// How long no client must have waited before the background's turn: docker comes back for the
/// next layer within this.
const QUIET: Duration = Duration::from_millis(500);
/// Where clients never stop coming, the background waits no longer than this for each of its turns.
const LONGEST: Duration = Duration::from_secs(10 * 60);

impl Default for Turns {
    fn default() -> Self {
        Self {
            attending: AtomicUsize::new(0),
            attended: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            is_closed: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }
}

impl Turns {
    /// A client waits no more, or has got what it will go on from.
    pub(super) fn left(&self) {
        *self.attended() = Some(Instant::now());
        self.changed();
    }

    /// How long it is till no client has waited for long enough, if none comes.
    fn unrest(&self) -> Duration {
        let since = self.attended().map_or(QUIET, |last| last.elapsed());
        QUIET.saturating_sub(since)
    }

    fn attended(&self) -> MutexGuard<'_, Option<Instant>> {
        self.attended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something has changed that somebody may wait for.
    pub(super) fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Nothing is begun in the background any more.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.changed();
    }
}

impl Flights {
    /// A client waits for a blob, until the drop.
    pub(super) fn attend(self: &Arc<Self>) -> Attending {
        self.turns.attending.fetch_add(1, Ordering::Relaxed);
        Attending(self.clone())
    }

    /// Waits for the turn of somebody who can wait; less long where what is wanted `is_here`, or on
    /// its way, meanwhile.
    pub(super) async fn turn(&self, is_here: impl Fn() -> bool) -> Turn {
        let turns = &self.turns;
        let own = async {
            let place = turns.places.clone().acquire_owned().await;
            let _ = tokio::time::timeout(LONGEST, self.quiet()).await;
            place.map_or(Turn::Never, Turn::Fetch)
        };
        tokio::select! {
            biased;
            () = self.until(is_here) => Turn::Join,
            () = self.until(|| turns.is_closed.load(Ordering::Relaxed)) => Turn::Never,
            turn = own => turn,
        }
    }

    /// Waits until no client has waited for a while.
    async fn quiet(&self) {
        loop {
            self.until(|| !self.is_attended()).await;
            let unrest = self.turns.unrest();
            if unrest.is_zero() {
                return;
            }
            tokio::time::sleep(unrest).await;
        }
    }

    fn is_attended(&self) -> bool {
        self.turns.attending.load(Ordering::Relaxed) > 0 || self.is_followed_by_clients()
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.turns.changed.notified());
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.0.turns.attending.fetch_sub(1, Ordering::Relaxed);
        self.0.turns.left();
    }
}
