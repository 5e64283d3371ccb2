//! What a run of a prefetch set asks, brings, and says: scripted registries, a real store.

#[path = "../premises/mod.rs"]
mod premises;

mod requests;
mod rig;
