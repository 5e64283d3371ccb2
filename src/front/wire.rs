use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::ledger::Counted;

use super::activity::Activity;
use super::lane::Lane;

/// How much must be written, in bytes, to count as something that moved: pings and the like don't.
const MORSEL: usize = 4 << 10;

/// A client's socket, counted. A write that makes no progress for `patience` fails: a client that vanished,
/// or that reads no more, does not hold what it was being sent for ever.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Counted<TcpStream>,
    lane: Arc<Lane>,
    patience: Duration,
    activity: Activity,
    // What was written since something moved.
    written: usize,
    stalled: Option<Pin<Box<Sleep>>>,
    is_stalled: bool,
}

impl Wire {
    pub(super) fn new(stream: Counted<TcpStream>, patience: Duration, activity: Activity) -> Self {
        Self {
            stream,
            lane: Arc::default(),
            patience,
            activity,
            written: 0,
            stalled: None,
            is_stalled: false,
        }
    }

    /// It speaks TLS.
    pub(super) fn set_tls(&mut self) {
        self.stream.connection_mut().tls = true;
    }

    /// The lane by which bodies may send files, where the socket is all there is to the connection.
    pub(super) fn lane(&self) -> Arc<Lane> {
        self.lane.clone()
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(self.stream.get_mut()), cx);
        if let Poll::Ready(written) = &written {
            self.is_stalled = false;
            let bytes = written.as_ref().map_or(0, |bytes| *bytes);
            self.stream.sent(bytes);
            self.written += bytes;
            if self.written >= MORSEL {
                self.written = 0;
                self.activity.wrote();
            }
        }
        if written.is_ready() {
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if !self.is_stalled {
            self.is_stalled = true;
            stalled.as_mut().reset(Instant::now() + patience);
        }
        stalled.as_mut().poll(cx).map(|()| {
            let text = format!("the client took nothing for {patience:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let lane = self.lane.clone();
        self.watch(cx, |stream, cx| lane.poll_write(stream, cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lane.flush(self.stream.get_ref());
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
