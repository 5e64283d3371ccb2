//! A plain socket at the other end of one of tidegate's connections.

use std::net::SocketAddr;

use fake_registry::Process;
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::kernel;

/// A socket that stays open as long as this, whatever becomes of the stream that it was made from.
pub(crate) struct Peer {
    socket: std::net::TcpStream,
    dialled: bool,
}

/// What went through tidegate's socket, as the kernel counted it at both ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) tx: u64,
    pub(crate) rx: u64,
}

impl Peer {
    /// Of a stream that we dialled.
    pub(crate) fn dialled(stream: TcpStream) -> (Self, TcpStream) {
        Self::of(stream, true)
    }

    /// Of a stream that we accepted.
    pub(crate) fn accepted(stream: TcpStream) -> (Self, TcpStream) {
        Self::of(stream, false)
    }

    fn of(stream: TcpStream, dialled: bool) -> (Self, TcpStream) {
        let stream = stream.into_std().unwrap();
        let socket = stream.try_clone().unwrap();
        (
            Self { socket, dialled },
            TcpStream::from_std(stream).unwrap(),
        )
    }

    fn ways(&self) -> (SocketAddr, SocketAddr) {
        let (local, remote) = (self.socket.local_addr(), self.socket.peer_addr());
        (local.unwrap(), remote.unwrap())
    }

    /// Stops tidegate, so that nothing more is asked of its socket, and says what went through it
    /// until then, once all of ours has arrived.
    pub(crate) async fn freeze(&self, tidegate: &mut Process) -> Counted {
        tidegate.freeze();
        let (here, there) = self.ways();
        let ours = kernel::settled((here, there), |end| end.queued == 0).await;
        let theirs = kernel::end(there, here).expect("tidegate's end");
        // Who dials counts its SYN.
        let (syn, their_syn) = (u64::from(self.dialled), u64::from(!self.dialled));
        let rx = ours.acked - syn;
        assert_eq!(rx, theirs.received, "{ours:?} {theirs:?}");
        let tx = theirs.acked - their_syn + theirs.queued;
        if theirs.queued == 0 {
            assert_eq!(tx, ours.received, "{ours:?} {theirs:?}");
        }
        Counted { tx, rx }
    }

    /// What went through tidegate's socket, which it has closed, after all that it sent.
    pub(crate) async fn after_the_end(&self) -> Counted {
        let (here, there) = self.ways();
        let ours = kernel::settled((here, there), |end| end.queued == 0).await;
        // The FIN counts as one byte.
        Counted {
            tx: ours.received - 1,
            rx: ours.acked - u64::from(self.dialled),
        }
    }

    /// Breaks the connection, and waits until nothing more can be sent by it. Streams of it must be
    /// gone.
    pub(crate) async fn reset(self) {
        let (here, there) = self.ways();
        let linger = Some(std::time::Duration::ZERO);
        SockRef::from(&self.socket).set_linger(linger).unwrap();
        drop(self);
        // A process that another test starts may hold the socket, until it is another program.
        while kernel::end(there, here).is_some() {
            tokio::task::yield_now().await;
        }
    }
}
