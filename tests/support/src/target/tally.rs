//! What a target was asked, by kind.

use http::Method;

use crate::record::Recorded;
use crate::target::route::Route;
use crate::upstream::route::Route as Pull;

/// How many requests there were of each kind, whatever they were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// POSTs that begin an upload.
    pub starts: usize,
    /// POSTs that ask for a mount, granted or not.
    pub mounts: usize,
    /// PATCHes.
    pub chunks: usize,
    /// PUTs that end an upload.
    pub finishes: usize,
    /// PUTs of manifests.
    pub manifests: usize,
    /// HEADs of blobs and manifests.
    pub heads: usize,
    /// GETs of blobs and manifests.
    pub gets: usize,
    /// DELETEs of upload sessions.
    pub cancels: usize,
    /// `/v2/`, lists, projects, and whatever else there is.
    pub others: usize,
}

impl Tally {
    /// The sum of all.
    pub fn total(&self) -> usize {
        let pushes = self.starts + self.mounts + self.chunks + self.finishes + self.manifests;
        pushes + self.heads + self.gets + self.cancels + self.others
    }

    pub(super) fn of(log: &[Recorded]) -> Self {
        let mut tally = Self::default();
        for recorded in log {
            *tally.place(recorded) += 1;
        }
        tally
    }

    fn place(&mut self, recorded: &Recorded) -> &mut usize {
        let mount = recorded.query.split('&').any(|it| it.starts_with("mount="));
        match (Route::of(&recorded.path), &recorded.method) {
            (Route::Uploads(_), &Method::POST) if mount => &mut self.mounts,
            (Route::Uploads(_), &Method::POST) => &mut self.starts,
            (Route::Session(_), &Method::PATCH) => &mut self.chunks,
            (Route::Session(_), &Method::PUT) => &mut self.finishes,
            (Route::Session(_), &Method::DELETE) => &mut self.cancels,
            (Route::Pull(Pull::Manifest(..)), &Method::PUT) => &mut self.manifests,
            (Route::Pull(Pull::Manifest(..) | Pull::Blob(..)), &Method::HEAD) => &mut self.heads,
            (Route::Pull(Pull::Manifest(..) | Pull::Blob(..)), &Method::GET) => &mut self.gets,
            _ => &mut self.others,
        }
    }
}
