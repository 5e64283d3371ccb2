use std::sync::Arc;
use std::sync::PoisonError;

use super::Body;
use super::ByteRange;
use super::Call;
use super::Error;
use super::OnDisconnect;
use super::Purpose;
use super::Served;
use super::askers::Askers;
use super::fan_out::FanOut;
use super::fill::Fill;
use super::fill::Leftover;
use super::flight::Flights;
use super::flight::Follower;
use super::flight::Landing;
use super::flight::Opened;
use super::mirrors::Mirrors;
use super::origins::Origins;
use super::supplier::Supplier;
use super::turns::Place;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::registry;
use crate::store::Blob;
use crate::store::Lookup;
use crate::store::Store;
use answer::from_fill;
use answer::from_store;

mod answer;

pub(super) use answer::descriptor;
pub(super) use answer::part_of;

/// Blobs: from the store, from a fill under way, by a new fill, or, for a part that would be long
/// in coming, straight from the upstream.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    pub(super) store: Arc<Store>,
    pub(super) flights: Arc<Flights>,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) fan_out: Arc<FanOut>,
    pub(super) origins: Origins,
}

/// A blob, or a part of it, as asked for.
#[derive(Clone, Debug)]
pub(super) struct BlobAsk {
    pub(super) digest: Digest,
    pub(super) range: Option<ByteRange>,
    pub(super) head: bool,
    pub(super) on_disconnect: OnDisconnect,
}

/// How often a flight of another repository or caller may fail under us before we ask alone.
pub(super) const BOARDINGS: usize = 3;

impl Blobs {
    /// Serves the blob to a repository that may open it.
    ///
    /// # Errors
    /// When the upstream doesn't have it for this repository, or doesn't give it.
    pub(super) async fn serve(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        let is_held = match self.look_up(call, &ask.digest).await {
            Lookup::Open(blob) => return from_store(blob, ask),
            Lookup::Held => true,
            Lookup::Absent => false,
        };
        let attending = self.flights.attend();
        let size = match self.permit(call, ask, is_held).await? {
            Permitted::Stored(blob) => return from_store(blob, ask),
            Permitted::Sized(size) => size,
        };
        let mut served = match ask.range {
            _ if ask.head => self.head(call, ask, size).await,
            Some(ByteRange::Within(..) | ByteRange::Suffix(_)) => self.part(call, ask).await,
            _ => self.follow(call, ask).await,
        }?;
        if let Body::Passed(passed) = &mut served.body {
            passed.attended(attending);
        }
        Ok(served)
    }

    pub(super) async fn stored(&self, call: &Call, digest: &Digest) -> Option<Blob> {
        self.store.blob(&call.repository, digest).await.unwrap_or_else(|error| {
            tracing::error!(repository = %call.repository, %digest, "the blob can't be read: {error}");
            None
        })
    }

    /// The same, and whether others have it where this repository may not open it.
    async fn look_up(&self, call: &Call, digest: &Digest) -> Lookup {
        let found = self.store.look_up(&call.repository, digest).await;
        found.unwrap_or_else(|error| {
            tracing::error!(repository = %call.repository, %digest, "the blob can't be read: {error}");
            Lookup::Absent
        })
    }

    /// The blob, where the store has it and its repository may open it, now or as soon as the
    /// upstream has said so.
    ///
    /// # Errors
    /// When the upstream says that the repository doesn't have it.
    pub(super) async fn opened(&self, call: &Call, ask: &BlobAsk) -> Result<Option<Blob>, Error> {
        let is_held = match self.look_up(call, &ask.digest).await {
            Lookup::Open(blob) => return Ok(Some(blob)),
            Lookup::Held => true,
            Lookup::Absent => false,
        };
        Ok(match self.permit(call, ask, is_held).await? {
            Permitted::Stored(blob) => Some(blob),
            Permitted::Sized(_) => None,
        })
    }

    /// What others hold (`is_held`) or fetch, or what a target has because a manifest names it, opens
    /// only for a repository of which the upstream says that it has the blob, too.
    async fn permit(&self, call: &Call, ask: &BlobAsk, is_held: bool) -> Result<Permitted, Error> {
        let of_others = match self.flights.find(&ask.digest, call) {
            Some(flight) => *flight.repository() != call.repository,
            None => is_held,
        };
        if !of_others && !self.mirrors.holds(call, &ask.digest) {
            // Should it have come just now, the fill finds it.
            return Ok(Permitted::Sized(None));
        }
        let size = self.prove(call, &ask.digest).await?;
        Ok(match self.stored(call, &ask.digest).await {
            Some(blob) => Permitted::Stored(blob),
            None => Permitted::Sized(size),
        })
    }

    /// Sees to it that the repository may open the blob: it is linked, was given to a target through
    /// this repository, or the upstream says so.
    async fn prove(&self, call: &Call, digest: &Digest) -> Result<Option<u64>, Error> {
        let repository = &call.repository;
        let linked = self.store.is_linked(repository, digest).await;
        if linked.unwrap_or_else(|error| {
            tracing::error!(%repository, %digest, "the link can't be read: {error}");
            false
        }) || self.mirrors.opens(call, digest)
        {
            return Ok(None);
        }
        if call.purpose.is_ours() && self.may_have(call, digest).await {
            return Ok(None);
        }
        self.vouch(call, digest).await
    }

    /// Whether the operator may have the blob for this repository without a word of the upstream: it
    /// has given it already, by the same credentials, through another of its repositories. Clients are
    /// let to it where each of them may pull that other one.
    async fn may_have(&self, call: &Call, digest: &Digest) -> bool {
        let opens = !call.has_access_rules;
        if call.purpose == Purpose::Keep && !opens {
            return false;
        }
        let flight = self.flights.find(digest, call);
        let is_coming = flight.is_some_and(|flight| flight.is_of_upstream(call));
        if !is_coming && !self.origins.has_given(call, digest, &self.store).await {
            return false;
        }
        if opens {
            self.open(call, digest).await;
        }
        true
    }

    /// From now on the blob opens through this call's repository.
    async fn open(&self, call: &Call, digest: &Digest) {
        let digests = std::slice::from_ref(digest);
        let linked = self.store.link_blobs(&call.repository, digests).await;
        if let Err(error) = linked {
            tracing::error!(repository = %call.repository, %digest, "the link can't be stored: {error}");
        }
    }

    /// Asks the upstream, as this caller alone, whether it may have the blob: its size.
    ///
    /// # Errors
    /// What the upstream said to this caller, or that it can't say.
    pub(super) async fn vouch(&self, call: &Call, digest: &Digest) -> Result<Option<u64>, Error> {
        let size = self.ask_size(call, digest).await?;
        self.open(call, digest).await;
        self.mirrors.prove(call, digest);
        Ok(size)
    }

    /// What a fill under way has opened, where this repository may open it as well.
    pub(super) async fn coming(
        &self,
        call: &Call,
        ask: &BlobAsk,
    ) -> Result<Option<(Opened, Follower)>, Error> {
        let Some(follower) = self.flights.find(&ask.digest, call) else {
            return Ok(None);
        };
        let Ok(opened) = follower.opened().await else {
            return Ok(None);
        };
        self.check(call, ask, (&opened, &follower)).await?;
        Ok(Some((opened, follower)))
    }

    /// That a fill was opened for this repository is the upstream's word; that the blob is there,
    /// or was opened for another one, is not.
    pub(super) async fn check(
        &self,
        call: &Call,
        ask: &BlobAsk,
        (opened, follower): (&Opened, &Follower),
    ) -> Result<(), Error> {
        let is_word = matches!(opened, Opened::Growing(_));
        if !is_word || *follower.repository() != call.repository {
            self.prove(call, &ask.digest).await?;
        }
        follower.lend(call);
        Ok(())
    }

    pub(super) async fn ask_size(
        &self,
        call: &Call,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let name = &call.repository.name;
        let head = call.registry().blob_head(call.flow, name, digest).await;
        call.noted(head)
            .map_err(|error| no_blob(call, digest, error))
    }

    /// The blob's size as a target or the upstream tells it.
    async fn any_size(&self, call: &Call, digest: &Digest) -> Result<Option<u64>, Error> {
        for mirror in &*self.mirrors.holding(call, digest) {
            if let Ok(Some(size)) = mirror.size(call.flow, digest).await {
                return Ok(Some(size));
            }
        }
        self.ask_size(call, digest).await
    }

    async fn head(&self, call: &Call, ask: &BlobAsk, known: Option<u64>) -> Result<Served, Error> {
        let (size, origin) = match (self.coming(call, ask).await?, known) {
            (Some((Opened::Growing(growing), _)), _) => (Some(growing.size()), Origin::Joined),
            (Some((Opened::Stored(blob), _)), _) => (Some(blob.size), Origin::Hit),
            (None, Some(size)) => (Some(size), Origin::Filled),
            (None, None) => (self.any_size(call, &ask.digest).await?, Origin::Filled),
        };
        let Some(size) = size else {
            let error = registry::Error::Wrong("a HEAD without Content-Length".into());
            return Err(no_blob(call, &ask.digest, error));
        };
        let descriptor = descriptor(ask, size);
        Ok(Served {
            descriptor,
            origin,
            age: None,
            part: None,
            body: Body::Empty,
        })
    }

    /// Joins the fill of this blob, starting it where there is none. What another caller or
    /// repository is refused is no answer to this one, which boards anew, and at last asks alone.
    pub(super) async fn follow(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        for _ in 0..BOARDINGS {
            let Boarded {
                follower,
                origin,
                leftover,
            } = self.board(call, ask, None);
            let is_own = follower.asks_for(call);
            match follower.opened().await {
                Ok(opened) => {
                    self.check(call, ask, (&opened, &follower)).await?;
                    return match opened {
                        Opened::Growing(growing) => {
                            from_fill(growing, follower, (call, ask), origin)
                        }
                        Opened::Stored(blob) => from_store(blob, ask),
                    };
                }
                Err(error) if error.is_local() => {
                    tracing::error!(digest = %ask.digest, "passing a blob on unstored: {error}");
                    let leftover = leftover
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take();
                    return self.pass(call, ask, leftover).await;
                }
                Err(error) if is_own => return Err(error),
                Err(_) => {}
            }
        }
        self.pass(call, ask, None).await
    }

    /// Takes a seat on the flight of the blob. Where there is none, one is begun; `place` is the
    /// place in the background that it has until its end.
    pub(super) fn board(&self, call: &Call, ask: &BlobAsk, place: Option<Place>) -> Boarded {
        let (follower, landing) = self.flights.board(&ask.digest, call);
        let leftover = Leftover::default();
        let origin = match landing {
            Some(_) => Origin::Filled,
            None => Origin::Joined,
        };
        if let Some(landing) = landing {
            let fill = self.fill(call, ask, landing, leftover.clone());
            tokio::spawn(async move {
                fill.run().await;
                drop(place);
            });
        }
        Boarded {
            follower,
            origin,
            leftover,
        }
    }

    fn fill(&self, call: &Call, ask: &BlobAsk, landing: Landing, leftover: Leftover) -> Fill {
        Fill {
            landing,
            registry: call.registry().clone(),
            hurried: call.is_at_leisure().then(|| call.route.registry().clone()),
            mirrors: self.mirrors.holding(call, &ask.digest),
            store: self.store.clone(),
            fan_out: self.fan_out.clone(),
            on_disconnect: ask.on_disconnect,
            flow: call.flow,
            trouble: call.route.trouble.clone(),
            ranges: call.route.ranges(),
            origins: call.who.is_none().then(|| self.origins.clone()),
            leftover,
        }
    }
}

/// A blob that a repository may have.
enum Permitted {
    /// The store has it.
    Stored(Blob),
    /// It is still to be fetched; its size, where the upstream was asked.
    Sized(Option<u64>),
}

/// A seat on a flight.
#[derive(Debug)]
pub(super) struct Boarded {
    pub(super) follower: Follower,
    /// Whether the flight was begun for it.
    origin: Origin,
    leftover: Leftover,
}

impl Boarded {
    /// Whether the flight was begun for it.
    pub(super) fn is_first(&self) -> bool {
        self.origin == Origin::Filled
    }
}

pub(super) fn supplier(call: &Call, digest: &Digest) -> Supplier {
    Supplier {
        askers: Arc::new(Askers::new(call)),
        mirrors: Arc::default(),
        repository: call.repository.clone(),
        digest: digest.clone(),
        flow: call.flow,
        trouble: call.route.trouble.clone(),
    }
}

pub(super) fn no_blob(call: &Call, digest: &Digest, error: registry::Error) -> Error {
    call.mistrust(digest, &error);
    supplier(call, digest).error(error)
}
