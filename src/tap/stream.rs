//! Streams of bytes, and what is put between them and who reads them.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::BufReader;
use tokio::io::ReadBuf;

/// Bytes both ways.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Bytes both ways, over a socket or over TLS.
pub(super) type Stream = Box<dyn Duplex>;

/// How much is read at once from a socket below TLS, in bytes. rustls itself would read 4 KiB.
const BELOW_TLS: usize = 256 << 10;

/// A stream that gives much at once to the TLS that stands on it.
pub(super) fn below_tls<S: Duplex>(stream: S) -> BufReader<S> {
    BufReader::with_capacity(BELOW_TLS, stream)
}

/// A stream of which some bytes were read already: they come again.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    first: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    pub(super) fn new(first: Bytes, stream: S) -> Self {
        Self { first, stream }
    }
}

/// A stream that is read until there is no more, or no more room: TLS gives a record at a time,
/// which is little.
#[derive(Debug)]
pub(super) struct Greedy<S>(pub(super) S);

impl<S: Duplex> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let length = self.first.len().min(buffer.remaining());
        buffer.put_slice(&self.first[..length]);
        self.first.advance(length);
        if self.first.is_empty() {
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Duplex> AsyncRead for Greedy<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            let had = buffer.filled().len();
            match Pin::new(&mut self.0).poll_read(cx, buffer) {
                Poll::Ready(Ok(())) if buffer.remaining() == 0 || buffer.filled().len() == had => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => {}
                // What there is comes first. An error, too, will come again.
                Poll::Pending | Poll::Ready(Err(_)) if had > before => return Poll::Ready(Ok(())),
                other => return other,
            }
        }
    }
}

/// Writes go to the stream as they are.
macro_rules! writes_through {
    ($type:ident, $inner:tt) => {
        impl<S: Duplex> AsyncWrite for $type<S> {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write(cx, bytes)
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                slices: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.$inner).poll_write_vectored(cx, slices)
            }

            fn is_write_vectored(&self) -> bool {
                self.$inner.is_write_vectored()
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                ready!(Pin::new(&mut self.$inner).poll_flush(cx))?;
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                Pin::new(&mut self.$inner).poll_shutdown(cx)
            }
        }
    };
}

writes_through!(Rewound, stream);
writes_through!(Greedy, 0);
