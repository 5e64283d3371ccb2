//! What is pulled: any number of distinct blobs that share all but their last 4 KiB.
//!
//! The shared part lies once in memory, can be sent without a copy, and is made and hashed once, as
//! far as the longest blob needs it: a new blob costs one 4 KiB trailer and nothing else.
//!
//! [`images`] are another thing: whole images, as `corpus.toml` describes them, for those who mirror.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use anyhow::Context;
use rustix::fs::MemfdFlags;
use sha2::Digest;
use sha2::Sha256;

pub(crate) mod book;
pub(crate) mod images;
mod layer;
mod maker;
mod size;

/// The length of the part that makes a blob unlike all others, in bytes.
pub(crate) const TRAILER: u64 = 4096;

/// One KiB, in bytes.
pub(crate) const KIB: u64 = 1 << 10;

/// One MiB, in bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// One GiB, in bytes.
pub(crate) const GIB: u64 = 1 << 30;

/// A blob.
#[derive(Debug)]
pub(crate) struct Blob {
    /// `sha256:` and the hex.
    pub(crate) digest: String,
    /// In bytes, the trailer included.
    pub(crate) size: u64,
    /// Its last [`TRAILER`] bytes.
    pub(crate) trailer: Vec<u8>,
}

/// The shared part of all blobs.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// In memory (memfd), as long as the largest blob's shared part so far.
    pub(crate) shared: File,
    made: Mutex<Made>,
}

/// How much of the shared part there is.
#[derive(Debug)]
struct Made {
    /// In bytes, whole MiB.
    length: u64,
    random: Random,
    /// The hash of so many of its first bytes.
    hashes: BTreeMap<u64, Sha256>,
}

impl Corpus {
    /// Makes room for what is to come.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let fd = rustix::fs::memfd_create("bench-corpus", MemfdFlags::CLOEXEC)
            .context("no memory file (memfd_create) for the blobs")?;
        Ok(Self {
            shared: File::from(fd),
            made: Mutex::new(Made {
                length: 0,
                random: Random(0x1234_5678_9abc_def0),
                hashes: BTreeMap::from([(0, Sha256::new())]),
            }),
        })
    }

    /// The blob number `number` of `size` bytes, which are more than [`TRAILER`].
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) fn blob(&self, size: u64, number: u64) -> anyhow::Result<Arc<Blob>> {
        let mut trailer = vec![0; TRAILER as usize];
        Random(number.wrapping_mul(2).wrapping_add(1)).fill(&mut trailer);
        let mut hash = self
            .hash(size.saturating_sub(TRAILER))
            .with_context(|| format!("no {} MiB of memory for the blobs", size.div_ceil(MIB)))?;
        hash.update(&trailer);
        Ok(Arc::new(Blob {
            digest: digest_of(hash),
            size,
            trailer,
        }))
    }

    /// The hash of the shared part's first `end` bytes, which are there from then on.
    fn hash(&self, end: u64) -> std::io::Result<Sha256> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let made = &mut *made;
        let mut buffer = vec![0; MIB as usize];
        while made.length < end {
            made.random.fill(&mut buffer);
            (&self.shared).write_all(&buffer)?;
            made.length += MIB;
        }
        let known = made.hashes.range(..=end).next_back();
        let (mut at, mut hash) = known.map_or((0, Sha256::new()), |(at, hash)| (*at, hash.clone()));
        while at < end {
            let part = &mut buffer[..(end - at).min(MIB) as usize];
            self.shared.read_exact_at(part, at)?;
            hash.update(&*part);
            at += part.len() as u64;
        }
        made.hashes.insert(end, hash.clone());
        Ok(hash)
    }
}

/// `sha256:` and the hex of what was hashed.
pub(crate) fn digest_of(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::from("sha256:"), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// splitmix64: fast, and good enough to be incompressible.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn fill(&mut self, buffer: &mut [u8]) {
        for part in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            part.copy_from_slice(&z.to_le_bytes()[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_what_its_digest_says() {
        let corpus = Corpus::new().unwrap();
        for size in [3 * MIB, 64 * KIB, MIB + 12345, TRAILER + 1] {
            let blob = corpus.blob(size, 7).unwrap();
            let mut bytes = vec![0; (size - TRAILER) as usize];
            corpus.shared.read_exact_at(&mut bytes, 0).unwrap();
            bytes.extend_from_slice(&blob.trailer);
            assert_eq!((bytes.len() as u64, blob.size), (size, size));
            assert_eq!(digest_of(Sha256::new_with_prefix(&bytes)), blob.digest);
        }
    }
}
