//! Connections that can be cut from elsewhere.

use std::fmt;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use http::Extensions;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Cuts one connection. All clones cut the same.
#[derive(Clone)]
pub(super) struct Switch(Arc<State>);

struct State {
    is_cut: AtomicBool,
    writer: AtomicWaker,
}

impl Switch {
    /// The switch of a connection that is in use.
    pub(super) fn of(connected: &Connected) -> Option<Self> {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    /// From now on nothing can be written, also by who waits to do so.
    pub(super) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.writer.wake();
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch").field(&self.0.is_cut).finish()
    }
}

/// A stream that has a [`Switch`].
#[derive(Debug)]
pub(super) struct Switched<S> {
    stream: S,
    switch: Switch,
}

impl<S> Switched<S> {
    pub(super) fn new(stream: S) -> Self {
        let state = State {
            is_cut: AtomicBool::new(false),
            writer: AtomicWaker::new(),
        };
        Self {
            stream,
            switch: Switch(Arc::new(state)),
        }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        // Whoever cuts after this look wakes the one who is noted now.
        self.switch.0.writer.register(cx.waker());
        if self.switch.0.is_cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: Connection> Connection for Switched<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.switch.clone())
    }
}

impl<S: Read + Unpin> Read for Switched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Write + Unpin> Write for Switched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
