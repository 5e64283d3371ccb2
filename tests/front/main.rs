//! The front over real sockets: what clients get, byte for byte and header for header.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod access;
mod admin;
mod answers;
mod certificates;
mod client;
mod crowd;
mod drain;
mod house;
mod http2;
mod lists;
mod login;
mod nuisance;
mod patience;
mod people;
#[path = "../premises/mod.rs"]
mod premises;
mod receipts;
mod routing;
mod tls;
mod upstream;
