use std::fs::File;
use std::future::Future as _;
use std::io;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use super::Error;
use super::buffer::Buffer;
use super::flight::Follower;
use super::growing::Growing;
use super::growing::Waiting;
use crate::store::Blob;

/// A follower of a stored or growing file: a body of known length.
///
/// It reads at its own pace. It fails, and is never completed, when the bytes that it promised
/// don't come.
#[derive(Debug)]
pub struct Tail {
    source: Source,
    at: u64,
    end: u64,
    waiting: Waiting,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

#[derive(Debug)]
enum Source {
    Stored(Blob),
    Growing(
        Arc<Growing>,
        #[expect(dead_code, reason = "held until the tail ends")] Follower,
    ),
}

/// A part of a file that can be read now.
#[derive(Clone, Debug)]
pub struct Span {
    /// The file.
    pub file: Arc<File>,
    /// Where the part starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; never 0.
    pub len: u64,
}

/// How much is read at a time, in bytes.
const CHUNK: u64 = super::buffer::SIZE as u64;

impl Tail {
    /// A follower of a part of a stored blob.
    pub(super) fn stored(blob: Blob, part: Range<u64>) -> Self {
        Self::new(Source::Stored(blob), part)
    }

    /// A follower of a part of a growing blob.
    pub(super) fn growing(growing: Arc<Growing>, follower: Follower, part: Range<u64>) -> Self {
        Self::new(Source::Growing(growing, follower), part)
    }

    fn new(source: Source, part: Range<u64>) -> Self {
        let waiting = Waiting::default();
        Self {
            source,
            at: part.start,
            end: part.end,
            waiting,
            reading: None,
        }
    }

    /// The bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// The next part that can be read, `at_most` bytes long, which counts as read from then on;
    /// `None` at the end. For senders that move file parts themselves.
    ///
    /// # Errors
    /// When the fill failed.
    pub fn poll_span(
        &mut self,
        cx: &mut Context<'_>,
        at_most: u64,
    ) -> Poll<Option<Result<Span, Error>>> {
        let span = ready!(self.poll_peek(cx, at_most));
        if let Some(Ok(span)) = &span {
            self.at += span.len;
        }
        Poll::Ready(span)
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        at_most: u64,
    ) -> Poll<Option<Result<Span, Error>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        let (file, reach) = match &self.source {
            Source::Stored(blob) => (&blob.file, self.end),
            Source::Growing(growing, _) => {
                let part = (self.at, self.end);
                match ready!(growing.poll_reach(cx, &mut self.waiting, part)) {
                    Ok(reach) => (growing.file(), reach),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
            }
        };
        let len = at_most.min(reach - self.at);
        Poll::Ready(Some(Ok(Span {
            file: file.clone(),
            offset: self.at,
            len,
        })))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                let read = read.map_err(io::Error::other).flatten();
                return Poll::Ready(Some(match read {
                    Ok(bytes) => {
                        self.at += bytes.len() as u64;
                        Ok(bytes)
                    }
                    Err(error) => Err(Error::Read(Arc::new(error))),
                }));
            }
            let span = match ready!(self.poll_peek(cx, CHUNK)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(span)) => span,
            };
            if let Some(bytes) = read_cached(&span) {
                self.at += bytes.len() as u64;
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.reading = Some(tokio::task::spawn_blocking(move || read(&span)));
        }
    }
}

/// Reads what the page cache has of a span, without waiting for a disk; `None` for nothing.
fn read_cached(span: &Span) -> Option<Bytes> {
    let mut buffer = Buffer::take();
    let room = buffer.room(span.len);
    let slices = &mut [IoSliceMut::new(room)];
    let flags = ReadWriteFlags::NOWAIT;
    match rustix::io::preadv2(&span.file, slices, span.offset, flags) {
        Ok(0) | Err(_) => None,
        Ok(read) => Some(buffer.filled(read)),
    }
}

/// Reads a span from the disk, or as much of its start as a buffer holds.
fn read(span: &Span) -> io::Result<Bytes> {
    let mut buffer = Buffer::take();
    let room = buffer.room(span.len);
    let length = room.len();
    span.file.read_exact_at(room, span.offset)?;
    Ok(buffer.filled(length))
}

impl Body for Tail {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let bytes = ready!(self.get_mut().poll_read(cx));
        Poll::Ready(bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0 && self.reading.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}
