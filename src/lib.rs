//! tidegate: a transparent pull-through mirroring proxy for OCI registries.

pub mod admin;
pub mod flow;
pub mod front;
pub mod ledger;
pub mod oci;
pub mod registry;
pub mod store;
