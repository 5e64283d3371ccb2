//! The flow at the wire: what reaches the upstream, and what the clients get, through a real front
//! over a real store, from a scripted registry.

mod blobs;
mod faults;
mod freshness;
mod isolation;
mod memory;
mod passthrough;
mod ranges;
mod rig;
