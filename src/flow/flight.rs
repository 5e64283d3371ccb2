use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::watch;

use super::Call;
use super::Error;
use super::Purpose;
use super::access::Who;
use super::askers::Askers;
use super::bandwidth::Bandwidth;
use super::bandwidth::Limits;
use super::growing::Growing;
use super::turns::Turns;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::store::Blob;

/// The fills that are under way: one a digest, whoever asks.
#[derive(Debug, Default)]
pub(super) struct Flights {
    map: Mutex<HashMap<Digest, Arc<Flight>>>,
    landed: Notify,
    /// Whose turn it is to be fetched for.
    pub(super) turns: Turns,
    pub(super) limits: Arc<Limits>,
}

/// One fill, from its first request to its commit.
#[derive(Debug)]
pub(super) struct Flight {
    /// The repository through which the upstream is asked.
    pub(super) repository: Repository,
    /// With whose credentials, where these are the client's own who started it.
    who: Option<Who>,
    askers: Arc<Askers>,
    opened: watch::Sender<Option<Result<Opened, Error>>>,
    followers: AtomicUsize,
    /// How many of these are clients.
    clients: AtomicUsize,
    /// Whether a client was ever among them.
    had_client: AtomicBool,
    /// Whether it is for more than targets by the operator's wish: the store is to have it, too.
    is_kept: AtomicBool,
    /// What it is held to while no client wants it.
    limit: Option<Arc<Bandwidth>>,
    left: Notify,
}

/// What there is to read once the upstream has answered.
#[derive(Clone, Debug)]
pub(super) enum Opened {
    /// A file that grows.
    Growing(Arc<Growing>),
    /// The whole, for it had been stored meanwhile.
    Stored(Blob),
}

/// Somebody who waits for, or reads, a flight's blob.
#[derive(Debug)]
pub(super) struct Follower {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    is_client: bool,
}

/// The fill's own side of a flight: its drop takes the flight off the board.
#[derive(Debug)]
pub(super) struct Landing {
    flights: Arc<Flights>,
    digest: Digest,
    flight: Arc<Flight>,
}

impl Flights {
    /// A seat on the flight for `digest`; with the landing, for whoever must start the fill,
    /// where there was none, or one that has just failed.
    pub(super) fn board(
        self: &Arc<Self>,
        digest: &Digest,
        call: &Call,
    ) -> (Follower, Option<Landing>) {
        let mut map = self.map();
        if let Some(flight) = map.get(digest).filter(|flight| !flight.has_failed()) {
            let follower = self.follower(flight, call);
            drop(map);
            self.turns.changed();
            return (follower, None);
        }
        let flight = Arc::new(Flight {
            repository: call.repository.clone(),
            who: call.who,
            askers: Arc::new(Askers::new(call)),
            opened: watch::Sender::new(None),
            followers: AtomicUsize::new(0),
            clients: AtomicUsize::new(0),
            is_kept: AtomicBool::new(false),
            had_client: AtomicBool::new(false),
            limit: self.limits.of(call.flow),
            left: Notify::new(),
        });
        let follower = self.follower(&flight, call);
        map.insert(digest.clone(), flight.clone());
        drop(map);
        self.turns.changed();
        (
            follower,
            Some(Landing {
                flights: self.clone(),
                digest: digest.clone(),
                flight,
            }),
        )
    }

    /// A seat on the flight for `digest`, where there is one.
    pub(super) fn find(self: &Arc<Self>, digest: &Digest, call: &Call) -> Option<Follower> {
        let map = self.map();
        map.get(digest).map(|flight| self.follower(flight, call))
    }

    /// Whether there is a flight for `digest`.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.map().contains_key(digest)
    }

    /// Whether a client waits for what is fetched.
    pub(super) fn is_followed_by_clients(&self) -> bool {
        let map = self.map();
        map.values()
            .any(|it| it.clients.load(Ordering::Relaxed) > 0)
    }

    fn follower(self: &Arc<Self>, flight: &Arc<Flight>, call: &Call) -> Follower {
        flight.followers.fetch_add(1, Ordering::Relaxed);
        let is_client = call.purpose == Purpose::Pull;
        if is_client {
            flight.clients.fetch_add(1, Ordering::Relaxed);
            flight.had_client.store(true, Ordering::Relaxed);
        }
        if call.purpose != Purpose::Wish {
            flight.is_kept.store(true, Ordering::Relaxed);
        }
        Follower {
            flights: self.clone(),
            flight: flight.clone(),
            is_client,
        }
    }

    /// How many fills are under way.
    pub(super) fn count(&self) -> usize {
        self.map().len()
    }

    /// How many wait for, or read, what is fetched.
    pub(super) fn followers(&self) -> usize {
        let map = self.map();
        let each = map.values().map(|it| it.followers.load(Ordering::Relaxed));
        each.sum()
    }

    /// Waits until no fill is under way.
    pub(super) async fn all_landed(&self) {
        loop {
            let landed = self.landed.notified();
            if self.count() == 0 {
                return;
            }
            landed.await;
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Flight>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn has_failed(&self) -> bool {
        matches!(&*self.opened.borrow(), Some(Err(_)))
    }
}

impl Follower {
    /// The repository through which the fill asks.
    pub(super) fn repository(&self) -> &Repository {
        &self.flight.repository
    }

    /// Whether the fill asks this call's upstream, with the credentials that are configured for it.
    pub(super) fn is_of_upstream(&self, call: &Call) -> bool {
        self.flight.who.is_none() && self.flight.repository.upstream == call.repository.upstream
    }

    /// Whether the fill asks through this call's repository, with this call's credentials: only
    /// then is what it is told an answer to this call.
    pub(super) fn asks_for(&self, call: &Call) -> bool {
        self.flight.repository == call.repository && self.flight.who == call.who
    }

    /// Lets the fill go on with this call's credentials where others are refused. For a call that
    /// the upstream has let in.
    pub(super) fn lend(&self, call: &Call) {
        self.flight.askers.join(call);
    }

    /// Waits until the fill has ended.
    pub(super) async fn landed(&self) {
        loop {
            let mut landed = std::pin::pin!(self.flights.landed.notified());
            landed.as_mut().enable();
            if !self.is_under_way() {
                return;
            }
            landed.await;
        }
    }

    fn is_under_way(&self) -> bool {
        let map = self.flights.map();
        map.values().any(|flight| Arc::ptr_eq(flight, &self.flight))
    }

    /// Waits until the upstream has answered.
    pub(super) async fn opened(&self) -> Result<Opened, Error> {
        let mut opened = self.flight.opened.subscribe();
        let opened = opened.wait_for(Option::is_some).await;
        match opened.as_deref() {
            Ok(Some(opened)) => opened.clone(),
            Ok(None) | Err(_) => Err(Error::GivenUp("the fill ended without a word")),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if self.is_client {
            self.flight.clients.fetch_sub(1, Ordering::Relaxed);
            self.flights.turns.left();
        }
        if self.flight.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.flight.left.notify_one();
        }
    }
}

impl Landing {
    /// Tells all followers what there is to read.
    pub(super) fn open(&self, opened: Result<Opened, Error>) {
        self.flight.opened.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(opened);
            }
            first
        });
    }

    /// The repository through which to ask.
    pub(super) fn repository(&self) -> &Repository {
        &self.flight.repository
    }

    /// With whose credentials to ask for the rest.
    pub(super) fn askers(&self) -> Arc<Askers> {
        self.flight.askers.clone()
    }

    /// What is fetched.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Whether a client has ever followed.
    pub(super) fn had_client(&self) -> bool {
        self.flight.had_client.load(Ordering::Relaxed)
    }

    /// Waits until a client follows.
    pub(super) async fn wanted(&self) {
        let turns = &self.flights;
        turns
            .until(|| self.flight.clients.load(Ordering::Relaxed) > 0)
            .await;
    }

    /// Whether anybody but targets, by the operator's wish, has wanted it.
    pub(super) fn is_kept(&self) -> bool {
        self.flight.is_kept.load(Ordering::Relaxed)
    }

    /// This fill's share of what all fills may hold in memory.
    pub(super) fn share(&self) -> Share {
        Share {
            flights: self.flights.clone(),
            flight: self.flight.clone(),
        }
    }

    /// Waits until nobody follows any more.
    pub(super) async fn deserted(&self) {
        while self.flight.followers.load(Ordering::Relaxed) > 0 {
            self.flight.left.notified().await;
        }
    }
}

/// A fill's part of the memory that all fills share.
#[derive(Debug)]
pub(super) struct Share {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
}

/// What all fills may gather before it is written, in bytes.
const GATHERED: usize = 2 << 20;
/// How long a fill waits after each batch while clients wait for others: together, fills that nobody
/// waits for then take no more than what all may gather in that time.
const A_MOMENT: Duration = Duration::from_millis(250);
/// The least and the most that one may, in bytes.
const LEAST: usize = 32 << 10;
const MOST: usize = 1 << 20;

impl Share {
    /// How many bytes this fill may gather now.
    pub(super) fn bytes(&self) -> usize {
        (GATHERED / self.flights.count().max(1)).clamp(LEAST, MOST)
    }

    /// How many fills there are, this one too.
    pub(super) fn fills(&self) -> usize {
        self.flights.count().max(1)
    }

    /// Whether it comes more slowly than it could, because we have it so.
    pub(super) fn is_held(&self) -> bool {
        self.is_in_the_way() || (self.flight.limit.is_some() && !self.is_wanted())
    }

    /// Whether clients wait for other blobs, and none for this one.
    pub(super) fn is_in_the_way(&self) -> bool {
        !self.is_wanted() && self.flights.is_serving()
    }

    /// So many bytes have come: waits until they are paid for, where the fill is held to a
    /// bandwidth, or until a client wants them.
    pub(super) async fn pay(&self, bytes: usize) {
        if let Some(limit) = &self.flight.limit
            && !self.is_wanted()
        {
            let pause = limit.spend(bytes);
            let wanted = self.flights.until(|| self.is_wanted());
            let _ = tokio::time::timeout(pause, wanted).await;
        }
    }

    /// Lets clients' blobs go first, for a moment.
    pub(super) async fn give_way(&self) {
        self.flights.give_way(A_MOMENT, || self.is_wanted()).await;
    }

    fn is_wanted(&self) -> bool {
        self.flight.clients.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut map = self.flights.map();
        let is_own = |flight: &Arc<Flight>| Arc::ptr_eq(flight, &self.flight);
        if map.get(&self.digest).is_some_and(is_own) {
            map.remove(&self.digest);
        }
        drop(map);
        self.open(Err(Error::GivenUp("the fill was broken off")));
        self.flights.landed.notify_waiters();
        match self.flight.clients.load(Ordering::Relaxed) {
            0 => self.flights.turns.changed(),
            _ => self.flights.turns.left(),
        }
    }
}
