//! The test support's own tests: a fault that doesn't strike would make other tests pass for
//! nothing.

mod auth;
mod docker_registry;
mod faults;
mod image;
mod process;
mod serve;
