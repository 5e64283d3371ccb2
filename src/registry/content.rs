use std::error::Error;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// A blob to be uploaded: so many bytes, in chunks of any size, as they come.
///
/// It fails rather than falls short. An upload whose content fails is broken off, and the registry
/// keeps nothing of it.
pub struct Content {
    /// How long it is, in bytes.
    pub size: u64,
    /// The bytes.
    pub chunks: BoxStream<'static, Result<Bytes, Box<dyn Error + Send + Sync>>>,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
