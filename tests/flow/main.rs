//! The flow at the wire: what reaches the upstream, and what the clients get, through a real front
//! over a real store, from a scripted registry.

mod blobs;
mod books;
mod cuts;
mod faults;
mod freshness;
mod isolation;
mod lies;
mod log;
mod memory;
mod parallel;
mod passthrough;
#[path = "../premises/mod.rs"]
mod premises;
mod process;
mod ranges;
mod reading;
mod rig;
mod stalls;
mod stateless;
mod supply;
mod targets;
mod throttled;
mod warm;
