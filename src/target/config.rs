use std::time::Duration;

use super::Place;
use crate::oci::NameFilter;
use crate::registry;

/// What one target is.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Its registry. Its name is the target's; its leg is [`Target`](crate::ledger::Leg::Target).
    pub registry: registry::Config,
    /// Which repository there is whose.
    pub place: Place,
    /// What is mirrored, matched against `<upstream>/<name>`.
    pub only: NameFilter,
    /// How much of an index.
    pub complete: Complete,
    /// Whether clients are served from it before the upstream is asked.
    pub read: bool,
    /// How long it is believed to have what it had.
    pub catalog_ttl: Duration,
}

/// How much of an index is mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Complete {
    /// All its manifests: what nobody has pulled is fetched in the background.
    #[default]
    All,
    /// The manifests that were pulled; the index itself where the target takes one whose manifests
    /// are not all there, else when they are.
    Requested,
}
