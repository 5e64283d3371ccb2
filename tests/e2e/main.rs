//! End to end: real clients pull a private image of several platforms from a real registry through
//! tidegate, over TLS on both sides.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod archive;
mod clients;
mod container;
mod containerd;
mod dockerd;
#[cfg(feature = "ecr")]
mod ecr;
mod faulty_targets;
mod fleet;
mod intercept;
mod layout;
mod login;
mod mirror;
#[cfg(feature = "ecr")]
mod moto;
mod need;
mod passthrough;
mod podman;
mod release;
mod sandbox;
mod scene;
mod skopeo;
mod sync;
mod tap;
mod targets;
mod upstream;
