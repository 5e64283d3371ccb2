//! The books: that connections are counted as the kernel counts them, and that the journal holds
//! every record.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod clients;
mod exchanges;
mod journal;
mod kernel;
mod peer;
mod refused;
mod scene;
mod shutdown;
mod upstreams;
