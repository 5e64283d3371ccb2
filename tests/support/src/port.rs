//! A port of our own on loopback, that nobody else gets while we hold it.

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::net::TcpSocket;

/// A loopback port, bound but not listened on: connections to it are refused, no other program is
/// given it, and whoever sets `SO_REUSEADDR` (as servers do) can listen on it. So a server can go
/// and come back on its port, and a child process can be told its port without a race.
#[derive(Debug)]
pub struct ReservedPort {
    address: SocketAddr,
    _holder: TcpSocket,
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

    /// Listens on the port.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        self.listen_with(1024)
    }

    /// As [`Self::listen`], with room for so many connections that nobody has accepted.
    pub(crate) fn listen_with(&self, backlog: u32) -> io::Result<TcpListener> {
        bind(self.address)?.listen(backlog)
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
