//! Clients that pull one thing after the other.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use fake_registry::Client;
use fake_registry::Random;
use tokio::sync::watch;

use super::Shared;
use super::body::Pace;
use super::pick;
use super::pull::Asker;
use super::tally::Tally;
use super::world::World;

/// What is to be done at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All pull.
    Run,
    /// Nobody does anything, and nobody holds a connection.
    Pause,
    /// All is over.
    Stop,
}

/// What every client needs.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) world: Shared<World>,
    pub(crate) tally: Shared<Tally>,
    pub(crate) url: String,
    pub(crate) mode: watch::Receiver<Mode>,
    /// How many clients do nothing at present.
    pub(crate) resting: Shared<AtomicUsize>,
}

impl Place {
    /// Rests through a pause. Whether it goes on, for it isn't all over.
    pub(crate) async fn goes_on(&mut self) -> bool {
        if *self.mode.borrow() != Mode::Run {
            self.resting.fetch_add(1, Ordering::SeqCst);
            let _ = self.mode.wait_for(|mode| *mode != Mode::Pause).await;
            if *self.mode.borrow() == Mode::Stop {
                return false;
            }
            self.resting.fetch_sub(1, Ordering::SeqCst);
        }
        true
    }
}

/// Pulls until all is over.
pub(crate) async fn pull(mut place: Place, number: usize, mut random: Random) {
    let fresh = || match number % 3 {
        0 => Client::builder().h1().build(),
        1 => Client::builder().h1().fresh_connections().build(),
        _ => Client::h2c(),
    };
    while place.goes_on().await {
        let asker = Asker {
            client: fresh(),
            url: place.url.clone(),
            tally: place.tally.clone(),
        };
        while *place.mode.borrow() == Mode::Run {
            act(&asker, &place.world, &mut random).await;
        }
    }
}

async fn act(asker: &Asker, world: &World, random: &mut Random) {
    let repository = &world.repositories[pick(random, world.repositories.len())];
    let number = pick(random, repository.versions.len());
    let version = &repository.versions[number];
    let blob = &version.blobs[pick(random, version.blobs.len())];
    let size = blob.content.len();
    match pick(random, 20) {
        0..4 => drop(asker.image(repository, "latest").await),
        4..6 => drop(asker.image(repository, &format!("v{number}")).await),
        6..8 => drop(asker.blob(repository, blob, Pace::Fast).await),
        8 => drop(asker.blob(repository, blob, Pace::Slow(60)).await),
        9..11 => {
            let after = random.next_u64() % size.max(1);
            asker.blob(repository, blob, Pace::Leaves(after)).await;
        }
        11..17 if blob.may_be_flipped() || size < 4 => {
            asker.blob(repository, blob, Pace::Fast).await;
        }
        11..13 => asker.parallel(repository, blob).await,
        13..15 => {
            let start = random.next_u64() % size;
            let end = (start + 1 + random.next_u64() % 200_000).min(size);
            asker.part(repository, blob, (start, Some(end))).await;
        }
        15..17 => {
            let start = random.next_u64() % size;
            asker.part(repository, blob, (start, None)).await;
        }
        17..19 => asker.head(repository, version, random).await,
        _ => asker.tags(repository).await,
    }
}
