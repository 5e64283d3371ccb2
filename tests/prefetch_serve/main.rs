//! The prefetcher of `tidegate serve`: the built program, its admin listener, a scripted registry.

#![allow(clippy::unwrap_used)]

mod bandwidth;
mod door;
mod ending;
mod quiet;
mod reload;
mod rig;
mod schedules;
mod triggers;
