//! Random bytes on real sockets: from clients, and from upstreams.
//!
//! What can be fuzzed without a socket is fuzzed beside its code. A few hundred inputs are sent
//! here each time; `TIDEGATE_FUZZ_CASES` makes it more.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod answers;
#[path = "../premises/mod.rs"]
mod premises;
mod raw;
mod requests;
