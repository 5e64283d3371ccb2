//! tidegate: a transparent pull-through mirroring proxy for OCI registries.

pub mod flow;
pub mod ledger;
pub mod oci;
pub mod registry;
pub mod store;
