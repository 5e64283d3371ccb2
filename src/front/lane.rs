//! The file lane: stored bytes go from the page cache to a clear-text socket by `sendfile(2)`.
//!
//! hyper writes byte slices, not files. So, on such a connection, a body hands hyper a slice of
//! [`stand_in`], of the right length, and the file's span to the connection's [`Lane`]. When hyper
//! writes, the lane knows the stand-in by its address and sends the span instead. Slices are
//! written in the order in which bodies yield them, so the first span belongs to the first
//! stand-in. Nothing of the stand-in itself is ever written, and its memory is never touched.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::io::IoSlice;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use tokio::io::AsyncWrite as _;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::flow::Error;
use crate::flow::Piece;
use crate::flow::Span;
use crate::flow::Tail;
use crate::ledger::Account;
use crate::ledger::Draft;
use crate::ledger::Fate;
use crate::ledger::Source;
use crate::ledger::Transit;

/// The longest span that is handed over at once, in bytes.
const LONGEST: usize = 1 << 20;

/// Memory that is only ever addressed. It is mapped when it is touched, so it costs none.
static STAND_IN: LazyLock<&'static [u8]> =
    LazyLock::new(|| Box::leak(vec![0; LONGEST].into_boxed_slice()));

/// The spans that a connection is to send, in order.
#[derive(Debug, Default)]
pub(super) struct Lane {
    parcels: Mutex<VecDeque<Parcel>>,
    /// Whether the socket holds back what does not fill a segment.
    corked: AtomicBool,
}

/// A span that was handed over, and is not sent yet. What is left of it when it is dropped did not
/// cross.
#[derive(Debug)]
struct Parcel {
    span: Span,
    slip: Slip,
}

/// What is said of a body's bytes, and to whom.
#[derive(Clone, Debug)]
struct Slip {
    source: Source,
    account: Account,
    transit: Transit,
}

/// A [`Tail`] whose bytes take the lane.
#[derive(Debug)]
pub(super) struct LaneBody {
    tail: Tail,
    lane: Arc<Lane>,
    slip: Slip,
    warming: Option<(Span, JoinHandle<io::Result<()>>)>,
}

fn stand_in(len: u64) -> &'static [u8] {
    let len = usize::try_from(len).unwrap_or(LONGEST).min(LONGEST);
    &STAND_IN[..len]
}

fn is_stand_in(slice: &[u8]) -> bool {
    let addresses: Range<*const u8> = STAND_IN.as_ptr_range();
    addresses.contains(&slice.as_ptr())
}

impl Lane {
    /// Writes `slices`, of which stand-ins are replaced by the spans that they stand for. May
    /// write less than all, as any write.
    pub(super) fn poll_write(
        &self,
        tcp: Pin<&mut TcpStream>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let filled = |slice: &&IoSlice<'_>| !slice.is_empty();
        if let Some(first) = slices
            .iter()
            .find(filled)
            .filter(|first| is_stand_in(first))
        {
            self.cork(&tcp, true);
            return self.poll_send(&tcp, cx, first.len());
        }
        let plain = slices
            .iter()
            .take_while(|slice| !is_stand_in(slice))
            .count();
        // A header goes out with the first bytes of its file.
        self.cork(&tcp, plain < slices.len());
        tcp.poll_write_vectored(cx, &slices[..plain])
    }

    /// What was held back is to go out.
    pub(super) fn flush(&self, tcp: &TcpStream) {
        self.cork(tcp, false);
    }

    /// Files go out in full segments (`tcp(7)`, `TCP_CORK`): fewer packets, and fewer wake-ups of
    /// their receiver. A socket that refuses sends them all the same.
    fn cork(&self, tcp: &TcpStream, on: bool) {
        if self.corked.swap(on, Ordering::Relaxed) != on {
            let _ = rustix::net::sockopt::set_tcp_cork(tcp, on);
        }
    }

    /// Sends up to `len` bytes of the first span.
    fn poll_send(
        &self,
        tcp: &TcpStream,
        cx: &mut Context<'_>,
        len: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            let mut parcels = self.parcels();
            let Some(Parcel { span, slip }) = parcels.front_mut() else {
                return Poll::Ready(Err(io::Error::other("a stand-in without a span")));
            };
            let len = len.min(usize::try_from(span.len).unwrap_or(len));
            let mut offset = span.offset;
            let send = || {
                Ok(rustix::fs::sendfile(
                    tcp,
                    &span.file,
                    Some(&mut offset),
                    len,
                )?)
            };
            match tcp.try_io(Interest::WRITABLE, send) {
                // The file is shorter than it was: the client must not take this for the end.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    span.offset += sent as u64;
                    span.len -= sent as u64;
                    slip.given(sent as u64);
                    let done = (span.len == 0).then(|| parcels.pop_front());
                    drop(parcels);
                    // It may be the last word of its exchange, which others are told of.
                    drop(done);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn parcels(&self) -> MutexGuard<'_, VecDeque<Parcel>> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slip {
    /// So many bytes went out.
    fn given(&self, bytes: u64) {
        self.account.enter(Fate::Given(self.source), bytes);
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.slip.transit.lose(self.span.len);
    }
}

impl LaneBody {
    /// `tail`, over the lane of the connection that it is sent on, for the exchange of `draft`.
    pub(super) fn new(tail: Tail, lane: Arc<Lane>, draft: &mut Draft) -> Self {
        let slip = Slip {
            source: tail.source(),
            account: draft.account(),
            transit: draft.transit(),
        };
        Self {
            tail,
            lane,
            slip,
            warming: None,
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Error>>> {
        loop {
            if let Some((span, warming)) = &mut self.warming {
                let warmed = ready!(Pin::new(warming).poll(cx));
                let span = span.clone();
                self.warming = None;
                match warmed.map_err(io::Error::other).flatten() {
                    Ok(()) => return Poll::Ready(Some(Ok(Piece::Span(span)))),
                    Err(error) => match self.tail.unread(&span, error) {
                        Ok(()) => {}
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    },
                }
            }
            let span = match ready!(self.tail.poll_piece(cx, LONGEST as u64)) {
                Some(Ok(Piece::Span(span))) => span,
                other => return Poll::Ready(other),
            };
            if is_cached(&span) {
                return Poll::Ready(Some(Ok(Piece::Span(span))));
            }
            let cold = span.clone();
            self.warming = Some((span, tokio::task::spawn_blocking(move || warm(&cold))));
        }
    }
}

/// Whether the page cache has the span, as far as its two ends tell.
fn is_cached(span: &Span) -> bool {
    let mut byte = [0];
    [span.offset, span.offset + span.len - 1]
        .into_iter()
        .all(|at| {
            let slices = &mut [io::IoSliceMut::new(&mut byte)];
            rustix::io::preadv2(&span.file, slices, at, ReadWriteFlags::NOWAIT) == Ok(1)
        })
}

/// Reads a span into the page cache, so that `sendfile` doesn't wait for the disk on a thread that
/// serves others.
fn warm(span: &Span) -> io::Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut at = span.offset;
    let end = span.offset + span.len;
    while at < end {
        let room = buffer
            .len()
            .min(usize::try_from(end - at).unwrap_or(usize::MAX));
        match span.file.read_at(&mut buffer[..room], at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => at += read as u64,
        }
    }
    Ok(())
}

impl Body for LaneBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        Poll::Ready(ready!(this.poll_piece(cx)).map(|piece| {
            Ok(Frame::data(match piece? {
                Piece::Bytes(bytes) => {
                    this.slip.given(bytes.len() as u64);
                    bytes
                }
                Piece::Span(span) => {
                    let bytes = Bytes::from_static(stand_in(span.len));
                    let slip = this.slip.clone();
                    this.lane.parcels().push_back(Parcel { span, slip });
                    bytes
                }
            }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.remaining() == 0 && self.warming.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let warming = self.warming.as_ref().map_or(0, |(span, _)| span.len);
        SizeHint::with_exact(self.tail.remaining() + warming)
    }
}
