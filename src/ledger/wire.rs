use std::io;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect;
use hyper_util::client::legacy::connect::Connected;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Connection;
use super::OpenConnection;

/// A socket that counts its bytes into the record of its connection, which is entered when this is
/// dropped.
///
/// Put it below TLS. The figures are the kernel's: `tx` is what the socket took, and `rx` what it
/// received, whether or not anybody read it. So `rx` is `tcpi_bytes_received`, and `tx` is
/// `tcpi_bytes_acked` once the peer has acknowledged all (`tcp(7)`, `TCP_INFO`, which counts the SYN
/// and the FIN as one byte each). Of a connection that broke, `tx` includes what was still to be
/// sent. Counting is an addition to an integer of its own, for each call.
#[derive(Debug)]
pub struct Counted<S: AsFd> {
    stream: S,
    open: OpenConnection,
}

impl<S: AsFd> Counted<S> {
    /// Counts the bytes of `stream` from now on, into the record of `open`.
    pub fn new(stream: S, open: OpenConnection) -> Self {
        Self { stream, open }
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The socket, for what can't be asked through this. Bytes that are moved by it are not counted:
    /// see [`Counted::sent`] and [`Counted::received`].
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The record as it is so far.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.open.connection
    }

    /// Counts `bytes` that the socket took without our help.
    pub fn sent(&mut self, bytes: usize) {
        self.open.connection.tx += bytes as u64;
    }

    /// Counts `bytes` that the socket gave without our help.
    pub fn received(&mut self, bytes: usize) {
        self.open.connection.rx += bytes as u64;
    }
}

impl<S: AsFd> Drop for Counted<S> {
    fn drop(&mut self) {
        // What came and was not read has crossed all the same.
        self.open.connection.rx += rustix::io::ioctl_fionread(&self.stream).unwrap_or(0);
    }
}

impl<S: AsFd + AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.received(buffer.filled().len().saturating_sub(before));
        polled
    }
}

impl<S: AsFd + AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(polled)
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

impl<S: AsFd> Counted<S> {
    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.sent(*bytes);
        }
        written
    }
}

impl<S: AsFd + connect::Connection> connect::Connection for Counted<S> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::net::TcpStream;

    use crate::ledger::Ledger;
    use crate::ledger::Leg;
    use crate::ledger::Receipt;
    use crate::ledger::Sink;

    use super::*;

    #[derive(Debug, Default)]
    struct Entered(Mutex<Vec<Connection>>);

    impl Sink for Entered {
        fn exchange(&self, _: &Receipt) {}

        fn connection(&self, connection: &Connection) {
            self.0.lock().unwrap().push(connection.clone());
        }
    }

    #[tokio::test]
    async fn counts_what_was_read_what_was_not_and_what_was_written_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut peer, _) = listener.accept().await.unwrap();
        let entered = Arc::new(Entered::default());
        let ledger = Ledger::with(vec![entered.clone()]);
        let open = OpenConnection::begin(&ledger, Leg::Tap, "host".into());
        let mut counted = Counted::new(dialled.unwrap(), open);
        peer.write_all(&[7; 100]).await.unwrap();
        counted.read_exact(&mut [0; 60]).await.unwrap();
        counted.write_all(&[7; 30]).await.unwrap();
        let slices = [IoSlice::new(&[7; 5]), IoSlice::new(&[7; 6])];
        assert_eq!(counted.write_vectored(&slices).await.unwrap(), 11);
        assert!(counted.is_write_vectored());
        counted.sent(1000);
        counted.received(2000);
        assert!(entered.0.lock().unwrap().is_empty());
        drop(counted);
        let all = std::mem::take(&mut *entered.0.lock().unwrap());
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].tx, all[0].rx), (1041, 2100));
        assert_eq!((all[0].leg, &*all[0].host), (Leg::Tap, "host"));
    }
}
