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
    /// How many places are taken by those whose turn has come.
    taken: AtomicUsize,
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
    /// Fetch it, with a place in the background.
    Fetch(Place),
    /// Nothing: no more is fetched in the background.
    Never,
}

/// A place in the background, until its drop.
#[derive(Debug)]
pub(super) struct Place {
    flights: Arc<Flights>,
    _permit: OwnedSemaphorePermit,
}

/// How many fetch in the background at a time, where the upstreams' windows let them: more would
/// only take memory.
const PLACES: usize = 32;
/// How many do while clients are served.
const FEW: usize = 2;
/// How long no client must have waited before the background's turn: docker comes back for the
/// next layer within this.
const QUIET: Duration = Duration::from_millis(500);
/// Where clients never stop coming, the background waits no longer than this for each of its turns,
/// if it is one of few.
const LONGEST: Duration = Duration::from_secs(10);

impl Default for Turns {
    fn default() -> Self {
        Self {
            attending: AtomicUsize::new(0),
            attended: Mutex::default(),
            places: Arc::new(Semaphore::new(PLACES)),
            taken: AtomicUsize::new(0),
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
    pub(super) async fn turn(self: &Arc<Self>, is_here: impl Fn() -> bool) -> Turn {
        let turns = &self.turns;
        let own = async {
            let Ok(permit) = turns.places.clone().acquire_owned().await else {
                return Turn::Never;
            };
            tokio::select! {
                biased;
                () = self.quiet() => drop(turns.taken.fetch_add(1, Ordering::Relaxed)),
                () = self.one_of_few() => {}
            }
            Turn::Fetch(Place {
                flights: self.clone(),
                _permit: permit,
            })
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

    /// Waits for long, then until few are at work in the background, and is one of them.
    async fn one_of_few(&self) {
        tokio::time::sleep(LONGEST).await;
        let taken = &self.turns.taken;
        let take = |taken: usize| (taken < FEW).then_some(taken + 1);
        let is_taken = || {
            let order = Ordering::Relaxed;
            taken.fetch_update(order, order, take).is_ok()
        };
        self.until(is_taken).await;
    }

    /// Whether clients wait for blobs, or did a moment ago: what nobody waits for is in their way.
    pub(super) fn is_serving(&self) -> bool {
        self.is_attended() || !self.turns.unrest().is_zero()
    }

    /// Waits until no client waits for a blob or `is_wanted`, but no longer than `most`.
    pub(super) async fn give_way(&self, most: Duration, is_wanted: impl Fn() -> bool) {
        let enough = self.until(|| !self.is_attended() || is_wanted());
        let _ = tokio::time::timeout(most, enough).await;
    }

    fn is_attended(&self) -> bool {
        self.turns.attending.load(Ordering::Relaxed) > 0 || self.is_followed_by_clients()
    }

    /// Waits until it is so; told when a flight has begun or landed, or a client has come or gone.
    pub(super) async fn until(&self, is_so: impl Fn() -> bool) {
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

impl Drop for Place {
    fn drop(&mut self) {
        self.flights.turns.taken.fetch_sub(1, Ordering::Relaxed);
        self.flights.turns.changed();
    }
}
