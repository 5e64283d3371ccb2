//! SHA-256 digests, as registries write them.

use std::fmt::Write as _;

use sha2::Digest as _;
use sha2::Sha256;

/// The digest of `bytes`: `sha256:<hex>`.
pub fn digest_of(bytes: &[u8]) -> String {
    let mut sink = DigestSink::default();
    sink.update(bytes);
    sink.finish()
}

/// A running digest, for content that isn't kept in memory.
#[derive(Clone, Debug, Default)]
pub struct DigestSink(Sha256);

impl DigestSink {
    /// Adds `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all that was added: `sha256:<hex>`.
    pub fn finish(self) -> String {
        let mut text = String::from("sha256:");
        for byte in self.0.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
