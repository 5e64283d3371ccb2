use std::io;
use std::io::Read as _;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::CompressionLevel;
use ruzstd::encoding::compress_to_vec;

use super::packing::Packing;

/// Compresses what is written. `finish` writes the rest; a drop does not.
pub(super) enum Packer<W: Write> {
    None(W),
    Gzip(GzEncoder<W>),
    Zstd(Frames<W>),
}

impl<W: Write> Packer<W> {
    pub(super) fn new(packing: Packing, to: W) -> Self {
        match packing {
            Packing::None => Self::None(to),
            Packing::Gzip => Self::Gzip(GzEncoder::new(to, Compression::fast())),
            Packing::Zstd => Self::Zstd(Frames {
                to,
                frame: Vec::with_capacity(FRAME),
            }),
        }
    }

    /// Writes what is left, and gives back where it went.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::None(to) => Ok(to),
            Self::Gzip(gzip) => gzip.finish(),
            Self::Zstd(mut frames) => {
                frames.end()?;
                Ok(frames.to)
            }
        }
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(to) => to.write(bytes),
            Self::Gzip(gzip) => gzip.write(bytes),
            Self::Zstd(frames) => frames.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How much is in a frame, before compression, in bytes.
const FRAME: usize = 4 << 20;

/// Zstandard, frame after frame: what comes one after the other is one content (RFC 8878, 3.1).
pub(super) struct Frames<W> {
    to: W,
    frame: Vec<u8>,
}

impl<W: Write> Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.frame.len() == FRAME {
            self.end()?;
        }
        let taken = bytes.len().min(FRAME - self.frame.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Writes a frame. It is read back first: who would hear of a mistake is beyond a gap.
    fn end(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut packed = compress_to_vec(&self.frame[..], CompressionLevel::Fastest);
        if !self.holds(&packed) {
            packed = compress_to_vec(&self.frame[..], CompressionLevel::Uncompressed);
        }
        self.frame.clear();
        self.to.write_all(&packed)
    }

    fn holds(&self, packed: &[u8]) -> bool {
        let mut plain = Vec::with_capacity(self.frame.len());
        let mut reader = Packing::Zstd.reader(packed, FRAME as u64);
        reader.read_to_end(&mut plain).is_ok() && plain == self.frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(packing: Packing, bytes: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(packing, Vec::new());
        for part in bytes.chunks(700_001) {
            packer.write_all(part).unwrap();
        }
        packer.finish().unwrap()
    }

    /// Bytes that don't compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect()
    }

    #[test]
    fn what_is_packed_is_read_again() {
        let text = b"some text that is long enough ".repeat(10_000);
        for bytes in [vec![], vec![0; 300_000], text, noise(FRAME + 12_345)] {
            for packing in [Packing::None, Packing::Gzip, Packing::Zstd] {
                let packed = packed(packing, &bytes);
                let mut plain = Vec::new();
                let mut reader = super::super::unpacked(&packed[..], bytes.len() as u64).unwrap();
                reader.read_to_end(&mut plain).unwrap();
                assert!(plain == bytes, "{packing:?}, {} bytes", bytes.len());
                assert!(packed.len() < bytes.len() + bytes.len() / 1000 + 100);
            }
        }
    }
}
