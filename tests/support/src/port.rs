//! A port of our own on loopback, that nobody else gets while we hold it.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::net::TcpSocket;

/// The receive buffer of a connection that is to hold little, in bytes.
const NARROW: u32 = 8 * 1024;

/// A loopback port, bound but not listened on: connections to it are refused, no other program is
/// given it, and whoever sets `SO_REUSEADDR` (as servers do) can listen on it. So a server can go
/// and come back on its port, and a child process can be told its port without a race.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _holder: TcpSocket,
    narrow: bool,
}

impl ReservedPort {
    /// Reserves a free port on 127.0.0.1.
    ///
    /// # Panics
    /// Where no port is free.
    pub fn new() -> Self {
        let holder = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port on 127.0.0.1");
        let address = holder.local_addr().expect("a bound socket has an address");
        Self {
            address,
            _holder: holder,
            narrow: false,
        }
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.address.port()
    }

    /// Connections that are accepted later have small receive buffers.
    pub(crate) fn narrow(&mut self) {
        self.narrow = true;
    }

    /// Listens on the port.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        self.listen_with(1024)
    }

    /// As [`Self::listen`], with room for so many connections that nobody has accepted.
    pub(crate) fn listen_with(&self, backlog: u32) -> io::Result<TcpListener> {
        let socket = bind(self.address)?;
        if self.narrow {
            socket.set_recv_buffer_size(NARROW)?;
        }
        socket.listen(backlog)
    }
}

impl Default for ReservedPort {
    fn default() -> Self {
        Self::new()
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
