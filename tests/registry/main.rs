//! The registry client against a scripted registry, at the wire.

mod auth;
mod books;
mod docker;
mod redirect;
mod retry;
mod setup;
mod tls;
mod transfer;
mod unreachable;
