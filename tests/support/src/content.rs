//! What a scripted server serves: bytes in memory, or bytes that are generated as they are read.

use std::sync::Arc;

use bytes::Bytes;

use crate::digest::DigestSink;
use crate::digest::digest_of;
use crate::random::Random;

/// Bytes handed over at once, at most: as much as a body frame holds.
const BLOCK: usize = 128 * 1024;

/// Some content of a known length, readable from any offset. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes held in memory.
    Memory(Bytes),
    /// Pseudo-random bytes, made when they are read.
    Generated(Generated),
}

/// Pseudo-random content that costs one block of memory, whatever its size: a random block that
/// is repeated, with its own number written into each repetition so that no two are alike.
#[derive(Clone, Debug)]
pub struct Generated {
    size: u64,
    seed: u64,
    block: Arc<[u8]>,
}

impl Content {
    /// Generated content of `size` bytes; the same `seed` always gives the same bytes.
    pub fn generated(size: u64, seed: u64) -> Self {
        let mut block = vec![0; BLOCK];
        Random::new(seed).fill(&mut block);
        Self::Generated(Generated {
            size,
            seed,
            block: block.into(),
        })
    }

    /// The length, in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Generated(generated) => generated.size,
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `max` bytes from `offset` on: at least one where there is one, empty at the end.
    pub fn read(&self, offset: u64, max: u64) -> Bytes {
        let max = max.min(self.len().saturating_sub(offset)).min(BLOCK as u64) as usize;
        match self {
            _ if max == 0 => Bytes::new(),
            Self::Memory(bytes) => bytes.slice(offset as usize..offset as usize + max),
            Self::Generated(generated) => generated.read(offset, max),
        }
    }

    /// The SHA-256 digest of the whole content.
    pub fn digest(&self) -> String {
        if let Self::Memory(bytes) = self {
            return digest_of(bytes);
        }
        let (mut sink, mut offset) = (DigestSink::default(), 0);
        while offset < self.len() {
            let chunk = self.read(offset, u64::MAX);
            sink.update(&chunk);
            offset += chunk.len() as u64;
        }
        sink.finish()
    }
}

impl Generated {
    fn read(&self, offset: u64, max: usize) -> Bytes {
        let (number, within) = (offset / BLOCK as u64, (offset % BLOCK as u64) as usize);
        let end = BLOCK.min(within + max);
        let mut chunk = self.block[within..end].to_vec();
        let stamp = (self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes();
        for (at, byte) in stamp.iter().enumerate().skip(within).take(end - within) {
            chunk[at - within] ^= byte;
        }
        chunk.into()
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Memory(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(content: &Content, step: u64) -> Vec<u8> {
        let mut all = Vec::new();
        while (all.len() as u64) < content.len() {
            all.extend_from_slice(&content.read(all.len() as u64, step));
        }
        all
    }

    #[test]
    fn generated_content_is_the_same_however_it_is_read() {
        let content = Content::generated(3 * BLOCK as u64 + 5, 7);
        let whole = collect(&content, u64::MAX);
        assert_eq!(whole, collect(&content, 4099));
        assert_eq!(digest_of(&whole), content.digest());
        assert_ne!(whole[..BLOCK], whole[BLOCK..2 * BLOCK]);
        assert_ne!(
            content.digest(),
            Content::generated(content.len(), 8).digest()
        );
    }

    #[test]
    fn reads_nothing_beyond_the_end() {
        let content = Content::from(Bytes::from_static(b"abc"));
        assert_eq!(content.read(1, 9), "bc");
        assert_eq!(content.read(3, 9), "");
        assert_eq!(content.read(9, 9), "");
    }
}
