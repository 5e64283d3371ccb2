use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use super::flight::Flights;
use crate::oci::Digest;

/// Whose turn it is to be fetched for: clients', at any time; and those' who can wait, when no
/// client waits for a blob.
#[derive(Debug)]
pub(super) struct Turns {
    /// Clients that wait for a blob, or are passed one on, beside the followers of flights.
    attending: AtomicUsize,
    /// How often a client has come for a blob that was not here.
    arrivals: AtomicU64,
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
    /// Join: it is being fetched for somebody else.
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
            arrivals: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(PLACES)),
            is_closed: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }
}

impl Turns {
    /// A client has come.
    pub(super) fn arrive(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
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
        self.turns.arrive();
        Attending(self.clone())
    }

    /// Waits for the turn of somebody who can wait, and wants `digest` where that is a blob.
    pub(super) async fn turn(&self, digest: Option<&Digest>) -> Turn {
        let turns = &self.turns;
        let own = async {
            let place = turns.places.clone().acquire_owned().await;
            let _ = tokio::time::timeout(LONGEST, self.quiet()).await;
            place.map_or(Turn::Never, Turn::Fetch)
        };
        let is_flying = || digest.is_some_and(|digest| self.has(digest));
        tokio::select! {
            biased;
            () = self.until(|| turns.is_closed.load(Ordering::Relaxed)) => Turn::Never,
            () = self.until(is_flying) => Turn::Join,
            turn = own => turn,
        }
    }

    /// Waits until no client has waited for a while.
    async fn quiet(&self) {
        let arrivals = || self.turns.arrivals.load(Ordering::Relaxed);
        loop {
            self.until(|| !self.is_attended()).await;
            let before = arrivals();
            tokio::time::sleep(QUIET).await;
            if arrivals() == before && !self.is_attended() {
                return;
            }
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
        self.0.turns.changed();
    }
}
