//! Images on disk: OCI image layouts and docker-archives, read and written.
//!
//! An OCI image layout is a folder (image spec, image-layout.md) and keeps every byte. A
//! docker-archive is the tar file of `docker save`: its layers are not compressed and it has one
//! platform for each name, so that an image that becomes one gets another digest. A tar file of newer
//! docker versions has an OCI layout in it as well, which is read in its place.
//!
//! A set of images goes into a layout too, or into a [`Reel`]: a layout in one tar file, which is written
//! and read from its start to its end, and may be compressed as a whole.
//!
//! What is read is not trusted: names that lead out are refused, links in folders are not followed,
//! what is held in memory has a limit, and the last bytes of a blob are given when its digest is
//! right. What is written appears whole or not at all, and the same image gives the same bytes.
//!
//! All of this blocks; it is for threads that may.

mod archive;
mod blob;
mod error;
mod files;
mod index;
mod location;
mod packer;
mod packing;
mod reel;
mod saved;
mod source;
mod tape;
mod writer;

pub use archive::ArchiveWriter;
pub use archive::Layers;
pub use archive::Step;
pub use blob::Blob;
pub use blob::Chunks;
pub use error::Error;
pub use location::Location;
pub use packing::Packing;
pub use packing::unpacked;
pub use reel::Part;
pub use reel::Reel;
pub use reel::ReelWriter;
pub use reel::content;
pub use reel::publish;
pub use source::Image;
pub use source::Manifest;
pub use source::Source;
pub use writer::Added;
pub use writer::BlobWriter;
pub use writer::OciWriter;

/// The longest manifest, config or list of contents that is held in memory, in bytes: twice what the
/// distribution spec makes registries take.
const LONGEST: u64 = 8 << 20;

/// The annotation that names an image of a layout (image spec, annotations.md).
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation with an image's full name, which docker and containerd write as well.
const FULL_NAME: &str = "io.containerd.image.name";

/// Where a layout has the content of a digest (image spec, image-layout.md, "Blobs").
fn place(digest: &crate::oci::Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex())
}
