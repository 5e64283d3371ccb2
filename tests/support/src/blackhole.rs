//! A port that never answers: packets to it seem to get lost.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;

use crate::port::ReservedPort;

/// A listener whose queue is full: a connection to it is neither made nor refused, as to a host
/// behind a firewall that drops packets.
#[derive(Debug)]
pub struct Blackhole {
    port: ReservedPort,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

/// A connection on loopback that takes longer than this is not made at all.
const FULL: Duration = Duration::from_millis(500);
/// More than any queue of a listener that wants none.
const MOST: usize = 16;

impl Blackhole {
    /// Listens, and fills the queue.
    ///
    /// # Panics
    /// Where the queue doesn't get full.
    pub async fn new() -> Self {
        let port = ReservedPort::new();
        let listener = port
            .listen_with(0)
            .expect("our own port can be listened on");
        let mut queue = Vec::new();
        while queue.len() < MOST {
            let connecting = TcpStream::connect(port.address());
            match tokio::time::timeout(FULL, connecting).await {
                Ok(connected) => queue.push(connected.expect("room in the queue")),
                Err(_) => {
                    return Self {
                        port,
                        _listener: listener,
                        _queue: queue,
                    };
                }
            }
        }
        panic!("the queue of a listener takes {MOST} connections, and more");
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}
