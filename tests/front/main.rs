//! The front over real sockets: what clients get, byte for byte and header for header.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod admin;
mod answers;
mod client;
mod drain;
mod house;
mod lists;
mod patience;
mod receipts;
mod routing;
mod tls;
mod upstream;
