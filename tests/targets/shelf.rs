use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use fake_registry::Gate;
use fake_registry::Image;
use fake_registry::PATIENCE;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tidegate::oci::Digest;
use tidegate::oci::Repository;
use tidegate::registry::Content;
use tidegate::target::Cause;
use tidegate::target::Manifest;
use tidegate::target::Missing;
use tidegate::target::Pace;
use tidegate::target::Supply;
use tokio::sync::watch;

/// Images in memory, and what was asked of them. What is `quiet` waits for its gate when it is asked
/// for in the background.
#[derive(Default)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    /// The blobs that were asked for, and how much of a hurry they were in.
    asked: watch::Sender<Vec<(String, Pace)>>,
    /// How many blobs are being read, and the most there ever were.
    reading: watch::Sender<(usize, usize)>,
}

#[derive(Default)]
struct State {
    manifests: HashMap<String, (String, Bytes)>,
    blobs: HashMap<String, Bytes>,
    gone: HashSet<String>,
    later: HashSet<String>,
    broken: HashMap<String, usize>,
    held: HashMap<String, Gate>,
    quiet: Option<Gate>,
}

const CHUNK: usize = 8 << 10;

impl Shelf {
    pub(crate) fn add(&self, image: &Image) {
        let mut state = self.state();
        for part in image.manifests.iter().chain([&image.root]) {
            let content = (part.media_type.clone(), part.bytes.clone());
            state.manifests.insert(part.digest.clone(), content);
        }
        for part in &image.blobs {
            state.blobs.insert(part.digest.clone(), part.bytes.clone());
        }
    }

    /// It is not there, and won't be.
    pub(crate) fn lose(&self, digest: &str) {
        self.state().gone.insert(digest.to_owned());
    }

    /// It can't be had now, or it can again.
    pub(crate) fn withhold(&self, digest: &str, withhold: bool) {
        let mut state = self.state();
        match withhold {
            true => state.later.insert(digest.to_owned()),
            false => state.later.remove(digest),
        };
    }

    /// The next so many times, its bytes end too early.
    pub(crate) fn cut(&self, digest: &str, times: usize) {
        self.state().broken.insert(digest.to_owned(), times);
    }

    /// Its second chunk comes when the gate is open.
    pub(crate) fn hold(&self, digest: &str, gate: &Gate) {
        self.state().held.insert(digest.to_owned(), gate.clone());
    }

    /// In the background no blob comes before the gate is open.
    pub(crate) fn keep_quiet(&self, gate: &Gate) {
        self.state().quiet = Some(gate.clone());
    }

    /// Waits until so many blobs were asked for at this pace.
    pub(crate) async fn wait_for(&self, many: usize, pace: Pace) {
        let mut asked = self.asked.subscribe();
        let enough = asked
            .wait_for(|asked| asked.iter().filter(|(_, asked)| *asked == pace).count() >= many);
        let enough = tokio::time::timeout(PATIENCE, enough).await;
        enough.expect("so many blobs are asked for").unwrap();
    }

    /// The most blobs that were read at a time.
    pub(crate) fn most_read(&self) -> usize {
        self.reading.borrow().1
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, digest: &str) -> Result<(), Missing> {
        let state = self.state();
        if state.gone.contains(digest) {
            return Err(Missing::Gone(format!("{digest} is gone")));
        }
        if state.later.contains(digest) {
            return Err(Missing::Later(format!("{digest} is not to be had now")));
        }
        Ok(())
    }

    async fn wait(&self, digest: &str, cause: Cause) {
        let asked = (digest.to_owned(), cause.pace);
        self.asked.send_modify(|all| all.push(asked));
        let quiet = self.state().quiet.clone();
        if let (Some(quiet), Pace::Background) = (quiet, cause.pace) {
            quiet.opened().await;
        }
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

impl Supply for Shelf {
    fn manifest<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        _: Cause,
    ) -> BoxFuture<'a, Result<Manifest, Missing>> {
        async move {
            self.look(digest.as_str())?;
            let (media_type, bytes) = self.state().manifests[digest.as_str()].clone();
            Ok(Manifest {
                media_type: media_type.into(),
                bytes,
            })
        }
        .boxed()
    }

    fn blob<'a>(
        &'a self,
        _: &'a Repository,
        digest: &'a Digest,
        cause: Cause,
    ) -> BoxFuture<'a, Result<Content, Missing>> {
        async move {
            self.wait(digest.as_str(), cause).await;
            self.look(digest.as_str())?;
            let mut state = self.state();
            let bytes = state.blobs[digest.as_str()].clone();
            let held = state.held.get(digest.as_str()).cloned();
            let mut is_broken = false;
            if let Some(times) = state.broken.get_mut(digest.as_str()) {
                is_broken = *times > 0;
                *times = times.saturating_sub(1);
            }
            drop(state);
            let reading = Reading::begin(&self.reading);
            let size = bytes.len() as u64;
            Ok(Content {
                size,
                chunks: chunks(bytes, held, is_broken, reading).boxed(),
            })
        }
        .boxed()
    }
}

/// A blob's bytes, piece by piece.
fn chunks(
    bytes: Bytes,
    held: Option<Gate>,
    is_broken: bool,
    reading: Reading,
) -> impl stream::Stream<Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>> {
    stream::unfold(
        (bytes, 0, held, reading),
        move |(bytes, at, held, reading)| async move {
            if at > 0
                && let Some(gate) = &held
            {
                gate.opened().await;
            }
            if at > 0 && is_broken {
                return Some((
                    Err("the supply broke".into()),
                    (Bytes::new(), 0, None, reading),
                ));
            }
            let end = (at + CHUNK).min(bytes.len());
            let chunk = bytes.slice(at..end);
            (!chunk.is_empty()).then_some((Ok(chunk), (bytes, end, held, reading)))
        },
    )
}

/// A blob that is being read.
struct Reading(watch::Sender<(usize, usize)>);

impl Reading {
    fn begin(all: &watch::Sender<(usize, usize)>) -> Self {
        all.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        Self(all.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.send_modify(|(now, _)| *now -= 1);
    }
}

/// A shelf with `images`.
pub(crate) fn shelf<'a>(images: impl IntoIterator<Item = &'a Image>) -> Arc<Shelf> {
    let shelf = Shelf::default();
    for image in images {
        shelf.add(image);
    }
    Arc::new(shelf)
}
