use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use serde::Deserialize;
use serde::Serialize;
use tokio::sync::watch;

use super::Counts;
use super::tally::Meter;

/// One run, as it is watched from outside, and stopped. Each run wants one of its own.
#[derive(Debug)]
pub struct Progress {
    reins: watch::Sender<Reins>,
    state: Mutex<State>,
}

/// What a run may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reins {
    /// Begin nothing for now.
    pub(super) held: bool,
    /// Begin nothing any more.
    pub(super) stopped: bool,
    /// Break off what is under way.
    pub(super) abandoned: bool,
}

#[derive(Debug, Default)]
struct State {
    discovering: bool,
    found: u64,
    images: Counts,
    active: BTreeMap<u64, (Arc<str>, Arc<Meter>)>,
    /// Bytes that came for images that have ended.
    ended: u64,
    next: u64,
}

/// An image that is shown as under way until this is dropped.
#[derive(Debug)]
pub(super) struct Shown {
    progress: Arc<Progress>,
    number: u64,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whether sources are still being asked, so that more images may be found.
    pub discovering: bool,
    /// How many images have been found.
    pub found: u64,
    /// What became of those that are done.
    pub images: Counts,
    /// Bytes of blobs that came, of all images.
    pub bytes: u64,
    /// The images that are under way, in the order in which they were begun.
    pub active: Vec<Active>,
}

/// An image that is under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// As [`Item::image`](super::Item::image).
    pub image: String,
    /// Bytes of its blobs that came.
    pub bytes: u64,
    /// All that its manifests name, as far as they are known; what is there already is not fetched.
    pub total: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            reins: watch::Sender::new(Reins::default()),
            state: Mutex::default(),
        }
    }
}

impl Progress {
    /// The run begins nothing while it is held.
    pub fn hold(&self, held: bool) {
        self.reins.send_modify(|reins| reins.held = held);
    }

    /// The run begins nothing any more, and ends when what is under way has: its report says that
    /// it was interrupted.
    pub fn stop(&self) {
        self.reins.send_modify(|reins| reins.stopped = true);
    }

    /// The run breaks off what is under way, and ends: what was brought stays known.
    pub fn abandon(&self) {
        self.reins.send_modify(|reins| {
            reins.stopped = true;
            reins.abandoned = true;
        });
    }

    /// How far the run is.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let active = state.active.values().map(|(image, meter)| {
            let (bytes, total) = meter.bytes();
            Active {
                image: image.to_string(),
                bytes,
                total,
            }
        });
        let active: Vec<Active> = active.collect();
        Snapshot {
            discovering: state.discovering,
            found: state.found,
            images: state.images,
            bytes: state.ended + active.iter().map(|it| it.bytes).sum::<u64>(),
            active,
        }
    }

    /// What the run may do, and when that changes.
    pub(super) fn reins(&self) -> watch::Receiver<Reins> {
        self.reins.subscribe()
    }

    /// Whether sources are being asked.
    pub(super) fn discovering(&self, is_so: bool) {
        self.state().discovering = is_so;
    }

    /// An image has been found.
    pub(super) fn found(&self) {
        self.state().found += 1;
    }

    /// So it stands with images.
    pub(super) fn counted(&self, images: Counts) {
        self.state().images = images;
    }

    /// An image is under way, until the drop of what this returns.
    pub(super) fn begin(self: &Arc<Self>, image: &Arc<str>, meter: &Arc<Meter>) -> Shown {
        let mut state = self.state();
        state.next += 1;
        let number = state.next;
        state.active.insert(number, (image.clone(), meter.clone()));
        drop(state);
        let progress = self.clone();
        Shown { progress, number }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let mut state = self.progress.state();
        if let Some((_, meter)) = state.active.remove(&self.number) {
            state.ended += meter.bytes().0;
        }
    }
}
