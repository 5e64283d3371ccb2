use std::sync::Arc;
use std::sync::Weak;

use super::Accept;
use super::Ask;
use super::Call;
use super::Caller;
use super::Error;
use super::OnDisconnect;
use super::PullThrough;
use super::Purpose;
use super::Tail;
use super::Want;
use super::blob::BOARDINGS;
use super::blob::BlobAsk;
use super::blob::Blobs;
use super::flight::Opened;
use super::turns::Place;
use super::turns::Turn;
use crate::oci::Digest;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::registry::Content;
use crate::store::Blob;
use crate::target::Cause;
use crate::target::Manifest;
use crate::target::Missing;
use crate::target::Pace;
use crate::target::Supply;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;

/// The engine as the targets see it: whoever mirrors is one more client, which never falls back on
/// the upstream by itself, for no byte is fetched a second time for a target.
#[derive(Debug)]
struct Supplying(Weak<PullThrough>);

impl PullThrough {
    /// The engine as the supply of its targets. It does not keep the engine alive.
    pub fn supply(self: &Arc<Self>) -> Arc<dyn Supply> {
        Arc::new(Supplying(Arc::downgrade(self)))
    }

    /// Fetches nothing in the background any more, for a shutdown: who wants something has to come
    /// again.
    pub fn drain(&self) {
        self.flights.turns.close();
    }

    fn errand(
        &self,
        repository: &Repository,
        want: Want,
        cause: Cause,
    ) -> Result<(Call, OnDisconnect), Missing> {
        let ask = Ask {
            repository: repository.clone(),
            want,
            head: false,
            flow: cause.flow,
            caller: Caller::default(),
        };
        let purpose = match cause.ours {
            true => Purpose::Wish,
            false => Purpose::Errand,
        };
        self.for_others(&ask, (purpose, cause.pace))
            .map_err(missing)
    }

    /// A call of nobody's, which the credentials that are configured are for.
    pub(super) fn for_others(
        &self,
        ask: &Ask,
        (purpose, pace): (Purpose, Pace),
    ) -> Result<(Call, OnDisconnect), Error> {
        let (mut call, config) = self.call(ask)?;
        if call.who.is_some() {
            return Err(Error::Passthrough(ask.repository.to_string()));
        }
        call.purpose = purpose;
        if pace == Pace::Background {
            call.registry = call.route.in_background().clone();
        }
        Ok((call, config.on_disconnect))
    }

    /// Waits for the turn of who can wait: less long where what is wanted `is_here` meanwhile.
    pub(super) async fn turn(
        &self,
        cause: Cause,
        is_here: impl Fn() -> bool,
    ) -> Result<Turn, Missing> {
        match cause.pace {
            Pace::Client => Ok(Turn::Join),
            Pace::Background => match self.flights.turn(is_here).await {
                Turn::Never => Err(Missing::Later("the proxy is shutting down".into())),
                turn => Ok(turn),
            },
        }
    }

    async fn manifest_for(
        &self,
        repository: &Repository,
        digest: &Digest,
        cause: Cause,
    ) -> Result<Manifest, Missing> {
        let want = Want::Manifest {
            reference: Reference::Digest(digest.clone()),
            accept: Accept::Native,
        };
        let (call, _) = self.errand(repository, want, cause)?;
        let manifest = match self.manifests.held(repository, digest).await {
            Some(manifest) => manifest,
            None => {
                let is_here = || self.manifests.remembers(repository, digest);
                let _turn = self.turn(cause, is_here).await?;
                let got = self.manifests.get(&call, digest).await;
                got.map_err(missing)?.0
            }
        };
        Ok(Manifest {
            media_type: manifest.media_type,
            bytes: manifest.bytes,
        })
    }

    async fn blob_for(
        &self,
        repository: &Repository,
        digest: &Digest,
        cause: Cause,
    ) -> Result<Content, Missing> {
        let want = Want::Blob {
            digest: digest.clone(),
            range: None,
        };
        let (call, on_disconnect) = self.errand(repository, want, cause)?;
        let place = match self.blobs.is_at_hand(&call, digest).await {
            true => None,
            false => match self.turn(cause, || self.flights.has(digest)).await {
                Ok(Turn::Fetch(place)) => Some(place),
                Ok(Turn::Join | Turn::Never) => None,
                Err(_) if self.blobs.is_at_hand(&call, digest).await => None,
                Err(late) => return Err(late),
            },
        };
        let ask = BlobAsk {
            digest: digest.clone(),
            range: None,
            head: false,
            on_disconnect,
        };
        let tail = self.blobs.content(&call, &ask, place).await;
        Ok(content(tail.map_err(missing)?))
    }
}

impl Blobs {
    /// Whether the blob is stored for this repository, or being fetched for anybody.
    async fn is_at_hand(&self, call: &Call, digest: &Digest) -> bool {
        self.flights.has(digest) || self.stored(call, digest).await.is_some()
    }

    /// All of the blob, from byte 0, for an errand: it follows the flight of those who want the same
    /// and keeps it up, also where all clients leave, for it would fetch the same bytes later.
    async fn content(
        &self,
        call: &Call,
        ask: &BlobAsk,
        mut place: Option<Place>,
    ) -> Result<Tail, Error> {
        let stored = |blob: Blob| Tail::stored(blob.clone(), 0..blob.size);
        if let Some(blob) = self.opened(call, ask).await? {
            return Ok(stored(blob));
        }
        for _ in 0..BOARDINGS {
            let follower = self.board(call, ask, place.take()).follower;
            let is_own = follower.asks_for(call);
            match follower.opened().await {
                Ok(opened) => {
                    self.check(call, ask, (&opened, &follower)).await?;
                    return Ok(match opened {
                        Opened::Growing(growing) => {
                            let all = 0..growing.size();
                            growing.hurry(0);
                            Tail::growing(growing, follower, None, all)
                        }
                        Opened::Stored(blob) => stored(blob),
                    });
                }
                Err(error) if is_own || error.is_local() => return Err(error),
                Err(_) => {}
            }
        }
        Err(Error::GivenUp("others who wanted the same were refused"))
    }
}

impl Supply for Supplying {
    fn manifest<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        async move {
            let flow = self.flow()?;
            flow.manifest_for(repository, digest, cause).await
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        repository: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            let flow = self.flow()?;
            flow.blob_for(repository, digest, cause).await
        }
        .boxed()
    }
}

impl Supplying {
    fn flow(&self) -> Result<Arc<PullThrough>, Missing> {
        let flow = self.0.upgrade();
        flow.ok_or_else(|| Missing::Later("the proxy has ended".into()))
    }
}

/// What keeps an errand from its content. Where the configuration lets nobody have it, it is as if
/// it were gone.
pub(super) fn missing(error: Error) -> Missing {
    match error {
        Error::UnknownUpstream(_)
        | Error::Denied(_)
        | Error::Passthrough(_)
        | Error::NoManifest(..)
        | Error::NoBlob(..)
        | Error::NoRepository(..) => Missing::Gone(error.to_string()),
        error => Missing::Later(error.to_string()),
    }
}

fn content(mut tail: Tail) -> Content {
    let size = tail.remaining();
    let chunks = stream::poll_fn(move |cx| tail.poll_read(cx));
    Content {
        size,
        chunks: chunks.map(|chunk| chunk.map_err(Into::into)).boxed(),
    }
}
