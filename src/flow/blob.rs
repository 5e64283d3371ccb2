use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::Body;
use super::ByteRange;
use super::Call;
use super::Error;
use super::OnDisconnect;
use super::Passed;
use super::Served;
use super::Tail;
use super::fill::Fill;
use super::flight::Flights;
use super::flight::Follower;
use super::flight::Opened;
use super::growing::Growing;
use crate::ledger::Origin;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::media;
use crate::registry;
use crate::store::Blob;
use crate::store::Store;

/// Blobs: from the store, from a fill under way, by a new fill, or, for a part that would be long
/// in coming, straight from the upstream.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    pub(super) store: Arc<Store>,
    pub(super) flights: Arc<Flights>,
}

/// A blob, or a part of it, as asked for.
#[derive(Clone, Debug)]
pub(super) struct BlobAsk {
    pub(super) digest: Digest,
    pub(super) range: Option<ByteRange>,
    pub(super) head: bool,
    pub(super) on_disconnect: OnDisconnect,
}

/// How often a flight of another repository may fail under us before we take its error.
const BOARDINGS: usize = 3;

impl Blobs {
    /// Serves the blob to a repository that may open it.
    ///
    /// # Errors
    /// When the upstream doesn't have it for this repository, or doesn't give it.
    pub(super) async fn serve(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        if let Some(blob) = self.stored(call, &ask.digest).await {
            return from_store(blob, ask);
        }
        let permitted = self.permit(call, ask).await?;
        if let Some(blob) = self.stored(call, &ask.digest).await {
            return from_store(blob, ask);
        }
        if ask.head {
            return self.head(call, ask, permitted).await;
        }
        if let Some(ByteRange::Within(..) | ByteRange::Suffix(_)) = ask.range {
            return self.part(call, ask).await;
        }
        self.follow(call, ask).await
    }

    async fn stored(&self, call: &Call, digest: &Digest) -> Option<Blob> {
        self.store.blob(&call.repository, digest).await.unwrap_or_else(|error| {
            tracing::error!(repository = %call.repository, %digest, "the blob can't be read: {error}");
            None
        })
    }

    /// What others hold or fetch opens only for a repository of which the upstream says that it
    /// has the blob, too. Returns its size, where the upstream was asked.
    async fn permit(&self, call: &Call, ask: &BlobAsk) -> Result<Option<u64>, Error> {
        let of_others = match self.flights.find(&ask.digest) {
            Some(flight) => *flight.repository() != call.repository,
            None => self
                .store
                .blob_of_any(&ask.digest)
                .await
                .ok()
                .flatten()
                .is_some(),
        };
        if of_others {
            self.prove(call, ask).await
        } else {
            Ok(None)
        }
    }

    /// Sees to it that the repository may open the blob: it is linked, or the upstream says so.
    async fn prove(&self, call: &Call, ask: &BlobAsk) -> Result<Option<u64>, Error> {
        let (repository, digest) = (&call.repository, &ask.digest);
        if self.store.is_linked(repository, digest).await? {
            return Ok(None);
        }
        let size = self.ask_size(call, ask).await?;
        let digests = std::slice::from_ref(digest);
        self.store.link_blobs(repository, digests).await?;
        Ok(size)
    }

    async fn ask_size(&self, call: &Call, ask: &BlobAsk) -> Result<Option<u64>, Error> {
        let name = &call.repository.name;
        let head = call
            .registry()
            .blob_head(call.flow, name, &ask.digest)
            .await;
        call.noted(head).map_err(|error| no_blob(call, ask, error))
    }

    async fn head(&self, call: &Call, ask: &BlobAsk, known: Option<u64>) -> Result<Served, Error> {
        let coming = match self.flights.find(&ask.digest) {
            Some(follower) => follower.opened().await.ok(),
            None => None,
        };
        let (size, origin) = match (coming, known) {
            (Some(Opened::Growing(growing)), _) => (Some(growing.size()), Origin::Joined),
            (Some(Opened::Stored(blob)), _) => (Some(blob.size), Origin::Hit),
            (None, Some(size)) => (Some(size), Origin::Filled),
            (None, None) => (self.ask_size(call, ask).await?, Origin::Filled),
        };
        let Some(size) = size else {
            let error = registry::Error::Wrong("a HEAD without Content-Length".into());
            return Err(no_blob(call, ask, error));
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

    /// A bounded part: from a fill that is near it, else from the upstream, unstored, so that a
    /// lazy puller doesn't cost the whole blob.
    async fn part(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        if let Some(follower) = self.flights.find(&ask.digest)
            && let Ok(Opened::Growing(growing)) = follower.opened().await
            && let Some(part) = part_of(ask, growing.size())?
            && growing.coverage(|coverage| coverage.is_near(part.start))
        {
            let body = Body::Tail(Tail::growing(growing.clone(), follower, part.clone()));
            let descriptor = descriptor(ask, growing.size());
            let (origin, age, part) = (Origin::Joined, None, Some(part));
            return Ok(Served {
                descriptor,
                origin,
                age,
                part,
                body,
            });
        }
        let part = match ask.range {
            Some(ByteRange::Within(start, last)) if start <= last => start..last.saturating_add(1),
            _ => {
                let Some(size) = self.ask_size(call, ask).await? else {
                    return self.follow(call, ask).await;
                };
                part_of(ask, size)?.unwrap_or(0..size)
            }
        };
        let name = &call.repository.name;
        let fetched = call
            .registry()
            .blob_get(call.flow, name, &ask.digest, Some(part.clone()))
            .await;
        let fetched = match call.noted(fetched) {
            Err(registry::Error::Unsatisfiable) => {
                let size = self.ask_size(call, ask).await?.unwrap_or(0);
                return Err(Error::Unsatisfiable { size });
            }
            fetched => fetched.map_err(|error| no_blob(call, ask, error))?,
        };
        match fetched.total {
            Some(size) if fetched.partial => {
                let part = part.start..part.end.min(size);
                let length = part.end - part.start;
                let trouble = call.route.trouble.clone();
                let repository = call.repository.clone();
                let body = Passed::new(fetched.body, repository, length, None, trouble);
                Ok(bypassed(descriptor(ask, size), Some(part), body))
            }
            // It ignores ranges: the whole comes anyway, so it is kept.
            _ => {
                drop(fetched);
                self.follow(call, ask).await
            }
        }
    }

    /// Joins the fill of this blob, starting it where there is none.
    async fn follow(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        for _ in 0..BOARDINGS {
            let (follower, landing) = self.flights.board(&ask.digest, &call.repository);
            let origin = if landing.is_some() {
                Origin::Filled
            } else {
                Origin::Joined
            };
            let others = *follower.repository() != call.repository;
            if let Some(landing) = landing {
                tokio::spawn(self.fill(call, ask, landing).run());
            }
            match follower.opened().await {
                // That it was opened for this repository is the upstream's word.
                Ok(Opened::Growing(growing)) => {
                    if others {
                        self.prove(call, ask).await?;
                    }
                    return from_fill(growing, follower, ask, origin);
                }
                Ok(Opened::Stored(blob)) => {
                    self.prove(call, ask).await?;
                    return from_store(blob, ask);
                }
                Err(Error::Store(error)) => {
                    tracing::error!(digest = %ask.digest, "passing a blob on unstored: {error}");
                    return self.pass(call, ask).await;
                }
                Err(error) if !others => return Err(error),
                Err(_) => {}
            }
        }
        let why = "the blob went away each time it was about to be read";
        Err(Error::GivenUp(why))
    }

    /// The whole, or all from the start of the range on, for the store doesn't take it.
    async fn pass(&self, call: &Call, ask: &BlobAsk) -> Result<Served, Error> {
        let start = match ask.range {
            Some(ByteRange::From(start)) if start > 0 => Some(start),
            _ => None,
        };
        let range = start.map(|start| start..u64::MAX);
        let name = &call.repository.name;
        let fetched = call
            .registry()
            .blob_get(call.flow, name, &ask.digest, range);
        let fetched = call.noted(fetched.await);
        let fetched = fetched.map_err(|error| no_blob(call, ask, error))?;
        let Some(size) = fetched.total else {
            let error = registry::Error::Wrong("a blob without Content-Length".into());
            return Err(no_blob(call, ask, error));
        };
        let part = start.filter(|_| fetched.partial).map(|start| start..size);
        let whole = part.is_none().then(|| ask.digest.clone());
        let length = part.as_ref().map_or(size, |part| part.end - part.start);
        if size == 0 && Hasher::new(ask.digest.algorithm()).finish() != ask.digest {
            // An empty answer would be complete at once.
            let error = registry::Error::Wrong("no bytes, where the digest is of some".into());
            return Err(no_blob(call, ask, error));
        }
        let (repository, trouble) = (call.repository.clone(), call.route.trouble.clone());
        let body = Passed::new(fetched.body, repository, length, whole, trouble);
        Ok(bypassed(descriptor(ask, size), part, body))
    }

    fn fill(&self, call: &Call, ask: &BlobAsk, landing: super::flight::Landing) -> Fill {
        Fill {
            landing,
            registry: call.registry().clone(),
            store: self.store.clone(),
            on_disconnect: ask.on_disconnect,
            flow: call.flow,
            trouble: call.route.trouble.clone(),
        }
    }
}

fn bypassed(descriptor: Descriptor, part: Option<Range<u64>>, body: Passed) -> Served {
    Served {
        descriptor,
        origin: Origin::Bypassed,
        age: None,
        part,
        body: Body::Passed(body),
    }
}

fn from_store(blob: Blob, ask: &BlobAsk) -> Result<Served, Error> {
    let part = part_of(ask, blob.size)?;
    let descriptor = descriptor(ask, blob.size);
    let age = Some(
        SystemTime::now()
            .duration_since(blob.stored)
            .unwrap_or_default(),
    );
    let body = match ask.head {
        true => Body::Empty,
        false => Body::Tail(Tail::stored(
            blob,
            part.clone().unwrap_or(0..descriptor.size),
        )),
    };
    Ok(Served {
        descriptor,
        origin: Origin::Hit,
        age,
        part,
        body,
    })
}

fn from_fill(
    growing: Arc<Growing>,
    follower: Follower,
    ask: &BlobAsk,
    origin: Origin,
) -> Result<Served, Error> {
    let part = part_of(ask, growing.size())?;
    let descriptor = descriptor(ask, growing.size());
    let whole = part.clone().unwrap_or(0..descriptor.size);
    growing.hurry(whole.start);
    let body = Body::Tail(Tail::growing(growing, follower, whole));
    Ok(Served {
        descriptor,
        origin,
        age: None,
        part,
        body,
    })
}

fn part_of(ask: &BlobAsk, size: u64) -> Result<Option<Range<u64>>, Error> {
    let Some(range) = ask.range.filter(|_| !ask.head) else {
        return Ok(None);
    };
    range
        .within(size)
        .map(Some)
        .ok_or(Error::Unsatisfiable { size })
}

fn descriptor(ask: &BlobAsk, size: u64) -> Descriptor {
    Descriptor {
        media_type: media::OCTET_STREAM.into(),
        digest: ask.digest.clone(),
        size,
    }
}

fn no_blob(call: &Call, ask: &BlobAsk, error: registry::Error) -> Error {
    call.mistrust(&ask.digest, &error);
    let repository = call.repository.clone();
    match error {
        registry::Error::NotFound { .. } => Error::NoBlob(repository, ask.digest.to_string()),
        error => Error::Upstream { repository, error },
    }
}
