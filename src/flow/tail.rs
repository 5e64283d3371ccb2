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
use super::Passed;
use super::buffer::Buffer;
use super::flight::Follower;
use super::growing::Growing;
use super::growing::Waiting;
use super::supplier::Supplier;
use crate::ledger;
use crate::store::Blob;

/// A follower of a stored or growing file: a body of known length.
///
/// It reads at its own pace. It fails, and is never completed, when the bytes that it promised
/// don't come. Where it is the disk that fails a fill, it goes on from the upstream by itself.
#[derive(Debug)]
pub struct Tail {
    source: Source,
    at: u64,
    end: u64,
    waiting: Waiting,
    reading: Option<(Span, JoinHandle<io::Result<Bytes>>)>,
}

#[derive(Debug)]
enum Source {
    Stored(Blob),
    Growing(
        Arc<Growing>,
        Option<Supplier>,
        #[expect(dead_code, reason = "held until the tail ends")] Follower,
    ),
    Upstream(Passed),
}

/// What comes next.
#[derive(Clone, Debug)]
pub enum Piece {
    /// A part of a file.
    Span(Span),
    /// Bytes from elsewhere; never none.
    Bytes(Bytes),
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

    /// A follower of a part of a growing blob. The supplier is who is asked for the rest, on the
    /// follower's behalf, where the disk fails; without one, the tail fails as well.
    pub(super) fn growing(
        growing: Arc<Growing>,
        follower: Follower,
        supplier: Option<Supplier>,
        part: Range<u64>,
    ) -> Self {
        Self::new(Source::Growing(growing, supplier, follower), part)
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

    /// Where its bytes come from, for the books.
    pub fn source(&self) -> ledger::Source {
        match self.source {
            Source::Stored(_) => ledger::Source::Store,
            Source::Growing(..) | Source::Upstream(_) => ledger::Source::Flow,
        }
    }

    /// The bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.at
    }

    /// What comes next, `at_most` bytes of it where it is a span; it counts as read from then on.
    /// `None` at the end. For senders that move file parts themselves.
    ///
    /// # Errors
    /// When the bytes don't come.
    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        at_most: u64,
    ) -> Poll<Option<Result<Piece, Error>>> {
        let piece = ready!(self.poll_peek(cx, at_most));
        if let Some(Ok(piece)) = &piece {
            self.at += match piece {
                Piece::Span(span) => span.len,
                Piece::Bytes(bytes) => bytes.len() as u64,
            };
        }
        Poll::Ready(piece)
    }

    /// The last span that was given can't be read. The tail goes on from the upstream instead.
    ///
    /// # Errors
    /// When it can't.
    pub fn unread(&mut self, span: &Span, error: io::Error) -> Result<(), Error> {
        self.at = span.offset;
        self.leave(Error::Read(Arc::new(error)))
    }

    /// Leaves a growing file that is wrong for the right one, where there is one, and one that the
    /// disk has failed for the upstream.
    fn leave(&mut self, error: Error) -> Result<(), Error> {
        if let Source::Growing(growing, ..) = &self.source
            && let Some(blob) = growing.replacement(self.at)
        {
            self.source = Source::Stored(blob);
            return Ok(());
        }
        let (growing, supplier) = match &self.source {
            Source::Growing(growing, Some(supplier), _) if error.is_local() => (growing, supplier),
            // It is looked into before it is served again; what was sent of it may be wrong.
            Source::Stored(blob) => {
                blob.doubt();
                return Err(error);
            }
            _ => return Err(error),
        };
        let (repository, digest, at) = (&supplier.repository, &supplier.digest, self.at);
        tracing::warn!(%repository, %digest, at, "a client goes on from the upstream: {error}");
        let part = self.at..self.end;
        let rest = Passed::rest(supplier.clone(), growing.clone(), part);
        self.source = Source::Upstream(rest);
        Ok(())
    }

    fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        at_most: u64,
    ) -> Poll<Option<Result<Piece, Error>>> {
        if self.at == self.end {
            return Poll::Ready(None);
        }
        let (file, reach) = loop {
            match &mut self.source {
                Source::Stored(blob) => break (&blob.file, self.end),
                Source::Growing(growing, ..) => {
                    let part = (self.at, self.end);
                    match ready!(growing.poll_reach(cx, &mut self.waiting, part)) {
                        Ok(reach) => break (growing.file(), reach),
                        Err(error) => {
                            if let Err(error) = self.leave(error) {
                                return Poll::Ready(Some(Err(error)));
                            }
                        }
                    }
                }
                Source::Upstream(rest) => {
                    let bytes = ready!(rest.poll_chunk(cx));
                    return Poll::Ready(bytes.map(|bytes| bytes.map(Piece::Bytes)));
                }
            }
        };
        let len = at_most.min(reach - self.at);
        let span = Span {
            file: file.clone(),
            offset: self.at,
            len,
        };
        if self.at + len == self.end && !self.is_unaltered() {
            return Poll::Ready(Some(Err(Error::Read(Arc::new(io::Error::other(ALTERED))))));
        }
        Poll::Ready(Some(Ok(Piece::Span(span))))
    }

    fn is_unaltered(&self) -> bool {
        match &self.source {
            Source::Stored(blob) => blob.is_unaltered(),
            Source::Growing(growing, ..) => growing.is_unaltered(),
            Source::Upstream(_) => true,
        }
    }

    /// The next bytes, as long as a buffer is; `None` at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            if let Some((span, reading)) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                let span = span.clone();
                self.reading = None;
                match read.map_err(io::Error::other).flatten() {
                    Ok(bytes) => {
                        self.at += bytes.len() as u64;
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    Err(error) => match self.unread(&span, error) {
                        Ok(()) => {}
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    },
                }
            }
            let span = match ready!(self.poll_peek(cx, CHUNK)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Piece::Bytes(bytes))) => {
                    self.at += bytes.len() as u64;
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Some(Ok(Piece::Span(span))) => span,
            };
            if let Some(bytes) = read_cached(&span) {
                self.at += bytes.len() as u64;
                return Poll::Ready(Some(Ok(bytes)));
            }
            let cold = span.clone();
            self.reading = Some((span, tokio::task::spawn_blocking(move || read(&cold))));
        }
    }
}

/// Why a stored blob is broken off.
const ALTERED: &str = "the file was altered while it was read";

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
