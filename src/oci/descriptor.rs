use super::Digest;

/// What a piece of content is, without the content (image spec, descriptor.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The media type, opaque where tidegate doesn't know it.
    pub media_type: std::sync::Arc<str>,
    /// The content's digest.
    pub digest: Digest,
    /// The content's length, in bytes.
    pub size: u64,
}
