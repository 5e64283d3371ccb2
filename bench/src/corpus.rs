//! What is pulled: any number of distinct blobs that share all but their last 4 KiB.
//!
//! The shared part lies once in memory, can be sent without a copy, and is hashed once: a new
//! blob costs one 4 KiB trailer and nothing else.
//!
//! [`images`] are another thing: whole images, as `corpus.toml` describes them, for those who mirror.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

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

/// One MiB, in bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// One GiB, in bytes.
pub(crate) const GIB: u64 = 1 << 30;

/// The sizes that blobs may have, in bytes.
pub(crate) const SIZES: [u64; 8] = [
    64 * 1024,
    MIB,
    8 * MIB,
    64 * MIB,
    128 * MIB,
    256 * MIB,
    512 * MIB,
    GIB,
];

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
    /// In memory (memfd), as long as the largest blob's shared part.
    pub(crate) shared: File,
    /// The hash of the shared part of each size.
    states: HashMap<u64, Sha256>,
}

impl Corpus {
    /// Fills the memory with incompressible bytes and hashes them.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let fd = rustix::fs::memfd_create("bench-corpus", MemfdFlags::CLOEXEC)
            .context("no memory file (memfd_create) for the blobs")?;
        let mut shared = File::from(fd);
        let mut hash = Sha256::new();
        let mut states = HashMap::new();
        let mut random = Random(0x1234_5678_9abc_def0);
        let mut written = 0;
        let mut ends = SIZES.map(|size| size - TRAILER);
        ends.sort_unstable();
        let mut buffer = vec![0; MIB as usize];
        for end in ends {
            while written < end {
                let length = (end - written).min(MIB) as usize;
                random.fill(&mut buffer[..length]);
                hash.update(&buffer[..length]);
                shared
                    .write_all(&buffer[..length])
                    .context("no 1 GiB of memory for the blobs")?;
                written += length as u64;
            }
            states.insert(end + TRAILER, hash.clone());
        }
        Ok(Self { shared, states })
    }

    /// The blob number `number` of `size` bytes (one of [`SIZES`]).
    pub(crate) fn blob(&self, size: u64, number: u64) -> Arc<Blob> {
        let mut trailer = vec![0; TRAILER as usize];
        Random(number.wrapping_mul(2).wrapping_add(1)).fill(&mut trailer);
        let mut hash = self.states.get(&size).cloned().unwrap_or_default();
        hash.update(&trailer);
        Arc::new(Blob {
            digest: digest_of(hash),
            size,
            trailer,
        })
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
