//! Between the embedded store and files, for places that no network reaches.

use std::sync::Arc;

use super::Platform;
use super::Progress;
use super::on_disk;
use super::origin::Origin;
use super::watched::Watched;
use crate::store;

/// Images that are carried out of a store, or into it.
#[derive(Clone, Debug)]
pub struct Carried {
    /// The store.
    pub store: store::Config,
    /// The platforms of an index that are wanted; empty for all that are stored.
    pub platforms: Vec<Platform>,
    /// Whether signatures and whatever else refers to the image come along.
    pub referrers: bool,
}

/// The content of `origin`, counted.
pub(super) fn watched(origin: &Origin, progress: &Arc<Progress>) -> Watched {
    Watched {
        source: origin.supply(),
        repository: on_disk(),
        progress: progress.clone(),
    }
}
