//! What sets select, asked of scripted registries and of real ones: repositories, catalogs, dates,
//! files of references.

mod catalog;
mod dates;
mod docker;
#[path = "../premises/mod.rs"]
mod premises;
mod references;
mod repository;
mod rig;
