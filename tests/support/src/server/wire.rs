//! A connection's socket, which can be cut from within.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::fault::Cut;

/// How long a cut waits for what was sent before it to leave for the kernel. It takes that long
/// only where the client doesn't read.
const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// Ends a connection from within: armed by a body, carried out by the connection's task.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    armed: AtomicBool,
    reset: AtomicBool,
    arming: Notify,
    flushed: Notify,
}

impl Kill {
    /// Cuts the connection as soon as everything sent until now has left.
    pub(crate) fn arm(&self, cut: Cut) {
        self.reset.store(cut == Cut::Reset, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
        self.arming.notify_one();
    }

    /// Returns when the connection is to be dropped.
    pub(crate) async fn fired(&self) {
        self.arming.notified().await;
        let _ = tokio::time::timeout(FLUSH_LIMIT, self.flushed.notified()).await;
    }
}

/// The socket below TLS and HTTP.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    kill: Arc<Kill>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, kill: Arc<Kill>) -> Self {
        Self { stream, kill }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.kill.reset.load(Ordering::SeqCst) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.kill.armed.load(Ordering::SeqCst) {
            self.kill.flushed.notify_one();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
