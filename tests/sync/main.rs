//! What a run of a prefetch set asks, brings, and says: scripted registries, a real store.

#[path = "../premises/mod.rs"]
mod premises;

mod changes;
mod command;
mod failures;
mod platforms;
mod prune;
mod requests;
mod rig;
