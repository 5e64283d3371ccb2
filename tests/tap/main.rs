//! The tap, between real tools and real origins: what it counts is what they did, and they see what
//! they would have seen without it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod broken;
mod certificates;
mod command;
mod need;
mod nginx;
mod raw;
mod registry;
mod rig;
mod wire;
