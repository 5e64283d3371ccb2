//! Sets across a gap, by the commands that people type: `sync` here, `store export --set`, `store
//! import` and `sync --offline` there.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod broken;
mod increments;
mod rig;
mod sets;
