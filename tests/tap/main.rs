//! The tap, between real tools and real origins: what it counts is what they did, and they see what
//! they would have seen without it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod broken;
mod certificates;
mod command;
#[path = "../ledger/kernel.rs"]
mod kernel;
mod nginx;
#[allow(
    dead_code,
    reason = "it is that of the ledger's tests, which need more of it"
)]
#[path = "../ledger/peer.rs"]
mod peer;
mod raw;
mod registry;
mod rig;
mod wire;
