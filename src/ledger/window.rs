use std::sync::Arc;
use std::time::SystemTime;

use serde::Deserialize;
use serde::Serialize;

use super::format;
use super::names::Leg;
use super::names::Move;

/// How many requests of some actions may be in flight at a registry, from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// When it became so. In a journal: RFC 3339, UTC, to the microsecond.
    #[serde(with = "format::time")]
    pub ts: SystemTime,
    /// Whether the registry is an upstream or a target.
    pub leg: Leg,
    /// The upstream's or target's name.
    pub registry: Arc<str>,
    /// Its host and port.
    pub host: Arc<str>,
    /// The actions that share the limit: `manifest-get`, `reads`, `all`, ...
    pub window: Arc<str>,
    /// Whether it became larger or smaller.
    #[serde(rename = "move")]
    pub moved: Move,
    /// How many requests may be in flight, bodies included.
    pub size: usize,
    /// How many are.
    pub in_flight: usize,
    /// How many wait to leave.
    pub waiting: usize,
    /// How many requests a second may leave, where that is limited too.
    pub rate: Option<f64>,
    /// How often it became smaller until now.
    pub decreases: u64,
}
