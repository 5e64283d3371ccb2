//! `tidegate copy`: what skopeo and docker read of what it writes, and it of what they write.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod archives;
mod carry;
mod hostile;
mod layouts;
mod properties;
mod registries;
mod rig;
