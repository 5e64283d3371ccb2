//! No secret is told: not in logs, however verbose, not in errors, not on the admin listener, not
//! in the store, not on a command line, and not by `{:?}`.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod commands;
mod debug;
mod echo;
mod known;
mod scene;
mod serving;
