//! tidegate: a transparent pull-through mirroring proxy for OCI registries.
//!
//! The rooms, from the top floor to the ground: imports go down only.

pub mod cli;

pub mod app;

pub mod config;

pub mod admin;
pub mod front;
pub mod prefetch;
pub mod report;
pub mod tap;

pub mod flow;
pub mod login;

pub mod target;

pub mod layout;
pub mod registry;
pub mod store;

pub mod ledger;

pub mod authority;
pub mod files;
pub mod oci;
