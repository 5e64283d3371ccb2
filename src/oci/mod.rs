//! The vocabulary of a registry: names, references, digests, media types.
//!
//! Each type is parsed once, at the edge, and an illegal value can't exist: code behind the edge
//! never checks again.

mod descriptor;
mod digest;
mod endpoint;
mod filter;
mod image;
mod manifest;
pub mod media;
mod name;
mod platform;
mod reference;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use endpoint::{Endpoint, Part, below_v2};
pub use filter::NameFilter;
pub use image::{Image, ImageError};
pub use manifest::Manifest;
pub use name::{Name, NameError, Repository, UpstreamName};
pub use platform::{Index, Platform, PlatformError};
pub use reference::{Reference, ReferenceError, Tag};

#[cfg(test)]
mod fuzz;
