//! Power cuts, and disks that are full, read-only, gone or altered by hand: the real program, on
//! real files, in front of a scripted upstream.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod beside;
mod crash;
mod disk;
mod hand;
mod need;
mod rig;
mod size;
mod sync;
mod volume;
mod writes;
