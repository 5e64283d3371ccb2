use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::FrameDecoderError;
use ruzstd::decoding::errors::ReadFrameHeaderError;

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all, or in a way that is not known.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// How much more than the compressed size something may become: a bomb is much more, a layer of a
/// file that is mostly zeros is less.
const RATIO: u64 = 100;
/// What any content may become, in bytes, however small it is compressed.
const ALWAYS: u64 = 128 << 20;

impl Packing {
    /// What the name of a tar file says: `.tar`, `.tar.gz` or `.tgz`, `.tar.zst`. `None` where it is
    /// no tar file's.
    pub fn named(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let ends = |end: &str| name.len() > end.len() && name.ends_with(end);
        if ends(".tar") {
            Some(Self::None)
        } else if ends(".tar.gz") || ends(".tgz") {
            Some(Self::Gzip)
        } else if ends(".tar.zst") || ends(".tar.zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// What `start`, the first bytes, say.
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a frame to be skipped, as seekable forms begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What is in `source`, of `size` bytes; it fails where that is implausibly much.
    pub(super) fn reader<'a>(self, source: impl Read + 'a, size: u64) -> Box<dyn Read + 'a> {
        let most = size.saturating_mul(RATIO).saturating_add(ALWAYS);
        match self {
            Self::None => Box::new(source),
            Self::Gzip => Box::new(Limited(MultiGzDecoder::new(source), most)),
            Self::Zstd => Box::new(Limited(Zstd::new(source), most)),
        }
    }
}

/// What is in `source`, a blob of `size` bytes, compressed with gzip, Zstandard or not at all, as its
/// first bytes tell. It fails where that is implausibly much.
///
/// # Errors
/// When `source` fails at once.
pub fn unpacked<'a>(mut source: impl Read + 'a, size: u64) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(START);
    source.by_ref().take(START as u64).read_to_end(&mut start)?;
    let packing = Packing::of(&start);
    Ok(packing.reader(io::Cursor::new(start).chain(source), size))
}

/// As many bytes tell how something is compressed.
const START: usize = 8;

/// Fails after so many bytes.
struct Limited<R>(R, u64);

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        let Some(left) = self.1.checked_sub(read as u64) else {
            let problem = "it becomes more than a hundred times as long when it is decompressed, \
                           which no image does; it was not read to its end";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        };
        self.1 = left;
        Ok(read)
    }
}

/// All frames of a stream, one after the other; those to be skipped are.
struct Zstd<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    within: bool,
}

impl<R: Read> Zstd<R> {
    fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(128 << 10, source),
            decoder: FrameDecoder::new(),
            within: false,
        }
    }

    /// Begins the next frame; whether there is any.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => {
                    self.within = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(length.into());
                    if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.within && !self.begin()? {
                break;
            }
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.source, one);
                decoded.map_err(io::Error::other)?;
                continue;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.within = false;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn unpacked(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let packing = Packing::of(bytes);
        packing
            .reader(bytes, bytes.len() as u64)
            .read_to_end(&mut all)?;
        Ok(all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    #[test]
    fn reads_all_parts_of_what_was_joined() {
        let (one, two) = (vec![7; 300_000], b"the second".to_vec());
        let both = [&one[..], &two].concat();
        assert!(unpacked(&[gzip(&one), gzip(&two)].concat()).unwrap() == both);
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [&skipped[..], &zstd(&one), &skipped, &zstd(&two)].concat();
        assert!(unpacked(&frames).unwrap() == both);
        assert!(unpacked(&both).unwrap() == both);
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let text = b"some text that is long enough ".repeat(100);
        for whole in [gzip(&text), zstd(&text)] {
            for length in [10, whole.len() / 2, whole.len() - 1] {
                assert!(unpacked(&whole[..length]).is_err(), "{length}");
            }
        }
        let skip = [0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0];
        assert!(unpacked(&skip).is_err());
    }

    #[test]
    fn a_bomb_goes_off_nowhere() {
        let mut bomb = Limited(io::repeat(0), 10_000);
        let read = io::copy(&mut bomb, &mut io::sink()).unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::InvalidData);
    }
}
