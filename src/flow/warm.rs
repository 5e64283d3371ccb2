//! What prefetch has done: a tag is asked about now, and content is brought into the store with no
//! reader. All of it is what clients would ask for: they join it, and it joins them.

use std::sync::Arc;

use super::Ask;
use super::Call;
use super::Caller;
use super::Error;
use super::PullThrough;
use super::Purpose;
use super::Want;
use super::blob::BOARDINGS;
use super::blob::BlobAsk;
use super::blob::Blobs;
use super::flight::Follower;
use super::flight::Opened;
use super::supply::missing;
use super::turns::Place;
use super::turns::Turn;
use crate::ledger::FlowId;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::store::Blob;
use crate::target::Cause;
use crate::target::Missing;
use crate::target::Pace;

/// What a tag points to, by its source's word of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The manifest.
    pub digest: Digest,
    /// Its media type, where the source told it or the manifest is here.
    pub media_type: Option<Arc<str>>,
    /// Its length in bytes, where the source told it or the manifest is here.
    pub size: Option<u64>,
    /// What the tag was known to point to here before.
    pub before: Option<Digest>,
}

/// A blob that the store has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whether it was there before: then nothing was fetched.
    pub was_there: bool,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl PullThrough {
    /// What `tag` points to now: the source is asked, whatever `tag_ttl` says. By a `HEAD` where the
    /// tag is known here, or `known` elsewhere, such as at a target; else by the `GET` that keeps its
    /// manifest. Clients see what was heard as fresh. Dropping the future takes nothing away from
    /// others who ask the same.
    ///
    /// # Errors
    /// When the source has no such tag, or can't say: never an answer of before.
    pub async fn resolve(
        &self,
        repository: &Repository,
        tag: &Tag,
        known: bool,
        cause: Cause,
    ) -> Result<Resolved, Error> {
        let want = Want::Tags {
            query: String::new(),
        };
        let ask = own(repository, want, cause.flow);
        let (call, _) = self.for_others(&ask, (Purpose::Keep, cause.pace))?;
        if call.registry.is_shut() {
            return self.resolved_offline(repository, tag).await;
        }
        call.route
            .breaker
            .patience()
            .map_err(|error| Error::Upstream {
                repository: repository.clone(),
                error,
            })?;
        let (pointer, before) = self.tags.now(&call, tag, known).await?;
        Ok(Resolved {
            digest: pointer.digest,
            media_type: pointer.media_type,
            size: pointer.size,
            before,
        })
    }

    /// Sees to it that the store has the blob, and that clients may open it through `repository`. It
    /// is brought by the same fill that clients and targets follow. Dropping the future does not end
    /// a fill that has begun.
    ///
    /// # Errors
    /// When it can't be had, or can't be kept.
    pub async fn keep_blob(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        cause: Cause,
    ) -> Result<Kept, Missing> {
        let want = Want::Blob {
            digest: blob.digest.clone(),
            range: None,
        };
        let ask = own(repository, want, cause.flow);
        let purpose = (Purpose::Keep, cause.pace);
        let (call, on_disconnect) = self.for_others(&ask, purpose).map_err(missing)?;
        if !self.store.keeps() {
            let why = "nothing is kept here: `store.enabled` is false";
            return Err(Missing::Gone(why.to_owned()));
        }
        if self.store.max_size().is_some_and(|most| blob.size > most) {
            let why = format!("{} is larger than `store.max_size`", blob.digest.short());
            return Err(Missing::Gone(why));
        }
        let ask = BlobAsk {
            digest: blob.digest.clone(),
            range: None,
            head: false,
            on_disconnect,
        };
        if let Some(kept) = self.blobs.kept(&call, &ask).await.map_err(missing)? {
            return Ok(kept);
        }
        let place = match self.turn(cause, || self.flights.has(&ask.digest)).await? {
            Turn::Fetch(place) => Some(place),
            Turn::Join | Turn::Never => None,
        };
        self.blobs.keep(&call, &ask, place).await.map_err(missing)
    }

    /// `tag` of `repository` points to `digest`, by its source's word of now: clients are answered
    /// so, as soon as the manifest is here.
    ///
    /// # Errors
    /// Where nobody may keep anything for others.
    pub async fn keep_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<(), Error> {
        let call = self.own_call(repository, FlowId::next())?;
        self.tags.told(&call, tag, digest).await;
        Ok(())
    }

    /// Forgets `tag` of `repository`. What it pointed to stays until the store is cleaned up.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn drop_tag(&self, repository: &Repository, tag: &Tag) -> Result<(), Error> {
        self.tags.dropped(repository, tag).await
    }

    /// A call for ourselves, that all others go before.
    pub(super) fn own_call(&self, repository: &Repository, flow: FlowId) -> Result<Call, Error> {
        let want = Want::Tags {
            query: String::new(),
        };
        let ask = own(repository, want, flow);
        Ok(self.for_others(&ask, (Purpose::Keep, Pace::Background))?.0)
    }
}

fn own(repository: &Repository, want: Want, flow: FlowId) -> Ask {
    Ask {
        repository: repository.clone(),
        want,
        head: false,
        flow,
        caller: Caller::default(),
    }
}

impl Blobs {
    /// The blob, where the store has it and its repository may open it.
    async fn kept(&self, call: &Call, ask: &BlobAsk) -> Result<Option<Kept>, Error> {
        let kept = |blob: Blob| Kept {
            was_there: true,
            bytes: blob.size,
        };
        Ok(self.opened(call, ask).await?.map(kept))
    }

    /// Brings the blob, as one more follower of its fill, who reads nothing of it. Whoever has the
    /// `place` in the background keeps it until the fill's end.
    async fn keep(
        &self,
        call: &Call,
        ask: &BlobAsk,
        mut place: Option<Place>,
    ) -> Result<Kept, Error> {
        for _ in 0..BOARDINGS {
            let boarded = self.board(call, ask, place.take());
            let (follower, was_there) = (&boarded.follower, !boarded.is_first());
            let is_own = follower.asks_for(call);
            match follower.opened().await {
                Ok(opened) => {
                    self.check(call, ask, (&opened, follower)).await?;
                    let bytes = landed(&opened, follower).await?;
                    return Ok(Kept { was_there, bytes });
                }
                Err(error) if is_own || error.is_local() => return Err(error),
                Err(_) => {}
            }
        }
        Err(Error::GivenUp("others who wanted the same were refused"))
    }
}

/// Waits until the blob is in the store: its length, in bytes.
async fn landed(opened: &Opened, follower: &Follower) -> Result<u64, Error> {
    let growing = match opened {
        Opened::Stored(blob) => return Ok(blob.size),
        Opened::Growing(growing) => growing,
    };
    follower.landed().await;
    if growing.is_stored() {
        return Ok(growing.size());
    }
    match growing.verdict() {
        Some(Err(error)) => Err(error),
        Some(Ok(())) => Err(Error::GivenUp(
            "the store did not take it; the log says why",
        )),
        None => Err(Error::GivenUp("the fill was broken off")),
    }
}
