//! The content of a layer: made when it is needed, always the same, and nothing that compresses.
//!
//! It begins as a gzip member (RFC 1952, 2.3) or a zstd frame (RFC 8878, 3.1.1) does, so that whoever
//! looks at the first bytes sees what the media type says. What follows is noise, as compressed
//! data is: nobody who only carries it can tell. It can't be unpacked.

use bytes::Bytes;
use fake_registry::Random;
use serde::Deserialize;
use sha2::Digest as _;
use sha2::Sha256;

use super::digest_of;

/// How many bytes are made at once.
const CHUNK: usize = 1 << 20;
/// No layer is smaller: an empty layer's archive is about as large.
const LEAST: u64 = 64;

/// How layers are compressed, by the looks of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Framing {
    Gzip,
    Zstd,
}

/// A layer that need not be in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layer {
    seed: u64,
    size: u64,
    framing: Framing,
}

impl Framing {
    /// The media type of such a layer (image spec, layer.md).
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    fn magic(self) -> &'static [u8] {
        match self {
            // Deflate, no flags, no time, from Unix.
            Self::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            // A window of 8 MiB, no checksum, no dictionary.
            Self::Zstd => &[0x28, 0xb5, 0x2f, 0xfd, 0, 0x68],
        }
    }
}

impl Layer {
    /// A layer of about `size` bytes.
    pub(crate) fn new(seed: u64, size: u64, framing: Framing) -> Self {
        let size = size.max(LEAST);
        Self {
            seed,
            size,
            framing,
        }
    }

    /// Bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How it is compressed.
    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    /// All of it, in memory.
    pub(crate) fn bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.size as usize);
        self.each(|chunk| all.extend_from_slice(chunk));
        all.into()
    }

    /// Its digest, `sha256:` and the hex. A megabyte of it is in memory at a time.
    pub(crate) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.each(|chunk| hash.update(chunk));
        digest_of(hash)
    }

    fn each(&self, mut take: impl FnMut(&[u8])) {
        let mut random = Random::new(self.seed);
        let mut buffer = vec![0; CHUNK.min(self.size as usize)];
        let mut left = self.size;
        while left > 0 {
            let length = left.min(CHUNK as u64) as usize;
            let chunk = &mut buffer[..length];
            random.fill(chunk);
            if left == self.size {
                let magic = self.framing.magic();
                chunk[..magic.len()].copy_from_slice(magic);
            }
            take(chunk);
            left -= length as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_what_its_digest_says_and_looks_like_what_it_is() {
        for (framing, magic) in [
            (Framing::Gzip, &[0x1f, 0x8b][..]),
            (Framing::Zstd, &[0x28, 0xb5, 0x2f, 0xfd]),
        ] {
            for size in [1, 1000, CHUNK as u64 + 1] {
                let layer = Layer::new(7, size, framing);
                let bytes = layer.bytes();
                assert!(bytes.len() as u64 == size.max(LEAST));
                assert!(bytes.starts_with(magic));
                assert_eq!(fake_registry::digest_of(&bytes), layer.digest());
            }
        }
    }

    #[test]
    fn another_seed_is_another_layer() {
        let digest = |seed| Layer::new(seed, 5000, Framing::Gzip).digest();
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }
}
