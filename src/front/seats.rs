use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::login::one_client;

use super::activity::Activity;

/// Who holds a connection: so many in all, and so many of one client.
///
/// Where all seats are taken, connections that have nothing to do are asked to leave, those idle
/// the longest first; a client that has all of its own makes room among its own. So idle
/// connections, however many, keep nobody out.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    most: u32,
    most_of_one: usize,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    guests: HashMap<u64, Guest>,
    clients: HashMap<IpAddr, Client>,
}

#[derive(Debug, Default)]
struct Client {
    count: usize,
    // When none of its connections was found idle.
    busy: Option<Instant>,
}

#[derive(Debug)]
struct Guest {
    client: IpAddr,
    activity: Activity,
    leave: Arc<Notify>,
    // Whoever was asked to leave counts no more.
    is_leaving: bool,
}

/// A connection's place, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    activity: Activity,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

/// Who has been idle for less may be about to ask.
const SETTLED: Duration = Duration::from_secs(1);
/// How often to look for idle connections while somebody waits.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The part of all seats that is cleared at once: looking for idle connections costs time.
const CLEARED: usize = 20;
/// What a semaphore can count, and more than a process has files.
const MOST: usize = 1 << 24;

impl Seats {
    /// `most` in all, `most_of_one` for a client; one at least.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        let most = u32::try_from(most.clamp(1, MOST)).unwrap_or(u32::MAX);
        Self {
            free: Arc::new(Semaphore::new(most as usize)),
            most,
            most_of_one: most_of_one.max(1),
            taken: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// A seat for a connection of `address`: waits until there is one. `None` where this client
    /// has too many that are all busy.
    pub(super) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let client = one_client(address);
        if !self.taken().has_room(client, self.most_of_one) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let permit = self.permit().await?;
        let (activity, leave) = (Activity::new(), Arc::new(Notify::new()));
        let mut taken = self.taken();
        let number = taken.next;
        taken.next += 1;
        taken.clients.entry(client).or_default().count += 1;
        let guest = Guest {
            client,
            activity: activity.clone(),
            leave: leave.clone(),
            is_leaving: false,
        };
        taken.guests.insert(number, guest);
        Some(Seat {
            seats: self.clone(),
            number,
            activity,
            leave,
            _permit: permit,
        })
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = self.free.clone().try_acquire_owned() {
                return Some(permit);
            }
            let batch = (self.most as usize / CLEARED).max(1);
            self.taken().clear(batch, |_| true);
            let waiting = self.free.clone().acquire_owned();
            if let Ok(permit) = tokio::time::timeout(LOOK_EVERY, waiting).await {
                return permit.ok();
            }
        }
    }

    /// Ends when nobody has a seat. None is to be had as long as this is waited for.
    pub(super) async fn all_left(&self) {
        let _all = self.free.acquire_many(self.most).await;
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        self.most as usize - self.free.available_permits()
    }

    /// How many there are: in all, and for one client.
    pub(super) fn most(&self) -> (usize, usize) {
        (self.most as usize, self.most_of_one)
    }

    /// How many found no seat, since the start: their client had too many that were all busy.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Whether `client` has less than `most`, after asking one that is idle to leave.
    fn has_room(&mut self, client: IpAddr, most: usize) -> bool {
        let Some(state) = self.clients.get(&client) else {
            return true;
        };
        if state.count < most {
            return true;
        }
        // Whoever keeps knocking doesn't make us look each time.
        if state.busy.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return false;
        }
        let has_room = self.clear(1, |guest| guest.client == client) > 0;
        if let Some(state) = self.clients.get_mut(&client) {
            state.busy = (!has_room).then(Instant::now);
        }
        has_room
    }

    /// Asks up to `batch` to leave, those idle the longest first; says how many.
    fn clear(&mut self, batch: usize, concerned: impl Fn(&Guest) -> bool) -> usize {
        let mut idle: Vec<_> = self
            .guests
            .iter()
            .filter(|(_, guest)| !guest.is_leaving && concerned(guest))
            .filter_map(|(number, guest)| Some((guest.activity.idle()?, *number)))
            .filter(|(idle, _)| *idle >= SETTLED)
            .collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        idle.truncate(batch);
        for (_, number) in &idle {
            if let Some(guest) = self.guests.get_mut(number) {
                guest.is_leaving = true;
                guest.leave.notify_one();
                let client = guest.client;
                self.count_down(client);
            }
        }
        idle.len()
    }

    fn count_down(&mut self, client: IpAddr) {
        if let Some(state) = self.clients.get_mut(&client) {
            state.count -= 1;
            if state.count == 0 {
                self.clients.remove(&client);
            }
        }
    }
}

impl Seat {
    /// What goes on in the connection.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Ends when the connection is to leave. Only one may wait at a time.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(guest) = taken.guests.remove(&self.number)
            && !guest.is_leaving
        {
            taken.count_down(guest.client);
        }
    }
}
