//! The registry client against a scripted registry, at the wire.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod auth;
mod books;
mod docker;
mod governor;
mod journal;
mod limits;
mod passthrough;
mod redirect;
mod retry;
mod secrets;
mod setup;
mod strangers;
mod tls;
mod tokens;
mod transfer;
mod unreachable;
mod upload;
mod upload_docker;
mod upload_faults;
mod upload_rig;
mod upload_signin;
