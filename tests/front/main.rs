//! The front over real sockets: what clients get, byte for byte and header for header.

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
