use std::fs::File;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Buf as _;
use bytes::Bytes;

use super::Error;
use super::error::At as _;
use super::packing::Packing;
use crate::oci::Digest;
use crate::oci::Hasher;

/// A part of a file.
#[derive(Clone, Debug)]
pub(super) struct Span {
    file: Arc<File>,
    start: u64,
    /// In bytes.
    pub(super) size: u64,
}

impl Span {
    pub(super) fn new(file: &Arc<File>, start: u64, size: u64) -> Self {
        let file = Arc::clone(file);
        Self { file, start, size }
    }

    /// All of it, if it is no longer than `most` bytes.
    pub(super) fn whole(&self, most: u64, path: &Path) -> Result<Vec<u8>, Error> {
        if self.size > most {
            let why = format!("{} bytes where {most} are the most", self.size);
            return Err(Error::wrong(path, why));
        }
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, self.start).at(path)?;
        Ok(bytes)
    }

    /// How it is compressed.
    pub(super) fn packing(&self, path: &Path) -> Result<Packing, Error> {
        let mut bytes = vec![0; self.size.min(8) as usize];
        self.file.read_exact_at(&mut bytes, self.start).at(path)?;
        Ok(Packing::of(&bytes))
    }

    /// The digest of its bytes.
    pub(super) fn digest(&self, path: &Path) -> Result<Digest, Error> {
        let mut hasher = Hasher::new(crate::oci::Algorithm::Sha256);
        let mut reader = self.reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            match reader.read(&mut buffer).at(path)? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    pub(super) fn reader(&self) -> Reader {
        Reader {
            span: self.clone(),
            at: 0,
        }
    }
}

/// Reads a [`Span`] from its start.
pub(super) struct Reader {
    span: Span,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.span.size - self.at;
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let place = self.span.start + self.at;
        let read = self.span.file.read_at(&mut buffer[..most], place)?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// A blob on disk.
#[derive(Clone, Debug)]
pub struct Blob {
    span: Span,
    digest: Digest,
}

impl Blob {
    pub(super) fn new(span: Span, digest: &Digest) -> Self {
        let digest = digest.clone();
        Self { span, digest }
    }

    /// Any file of `size` bytes that is said to hold `digest`.
    pub fn of(file: File, size: u64, digest: &Digest) -> Self {
        Self::new(Span::new(&Arc::new(file), 0, size), digest)
    }

    /// Its length, in bytes.
    pub fn size(&self) -> u64 {
        self.span.size
    }

    /// Its bytes, from the start, as [`Self::chunks`]: reading fails where they are not right.
    pub fn reader(self) -> impl Read {
        Pieces {
            chunks: self.chunks(),
            current: Bytes::new(),
        }
    }

    /// Its bytes, from the start.
    pub fn chunks(self) -> Chunks {
        Chunks {
            hasher: Some(Hasher::new(self.digest.algorithm())),
            reader: self.span.reader(),
            digest: self.digest,
        }
    }
}

/// How much is read at a time, in bytes.
const CHUNK: usize = 512 << 10;

/// The bytes of a [`Blob`], hashed as they are read: the last chunk comes only where the whole has
/// its digest. Reading blocks.
#[derive(Debug)]
pub struct Chunks {
    reader: Reader,
    digest: Digest,
    /// Taken at the end.
    hasher: Option<Hasher>,
}

impl Iterator for Chunks {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        let mut hasher = self.hasher.take()?;
        let left = self.reader.span.size - self.reader.at;
        let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        if let Err(error) = self.reader.read_exact(&mut chunk) {
            return Some(Err(error));
        }
        hasher.update(&chunk);
        if self.reader.at < self.reader.span.size {
            self.hasher = Some(hasher);
            return Some(Ok(chunk.into()));
        }
        let found = hasher.finish();
        if found != self.digest {
            let problem = format!("{} holds other bytes than its digest says", self.digest);
            return Some(Err(io::Error::new(io::ErrorKind::InvalidData, problem)));
        }
        (!chunk.is_empty()).then(|| Ok(chunk.into()))
    }
}

/// The chunks of a blob, read piece by piece.
struct Pieces {
    chunks: Chunks,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.chunks.next() {
                Some(chunk) => self.current = chunk?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("at", &self.at).finish()
    }
}
