//! Mirroring into targets, against a scripted registry and Debian's.

#![allow(clippy::unwrap_used)]

mod committed;
mod docker;
mod election;
mod faults;
mod many;
mod order;
mod platforms;
mod referrers;
mod requests;
mod restart;
mod rig;
mod shelf;
mod wishes;
