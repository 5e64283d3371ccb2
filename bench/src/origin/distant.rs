//! The origin as it is reached over a link: the same content and counts, in a network far away.

use std::fmt;
use std::net::Shutdown;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use fake_registry::Far;
use fake_registry::Link;

use super::Origin;
use super::State;
use super::front;
use super::front::Front;
use crate::peers::Upstream;

/// The way to the origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// What lies between.
    pub(crate) link: Link,
    /// Whether the origin speaks HTTP/2 over TLS there, in place of plain HTTP/1.1.
    pub(crate) tls: bool,
}

/// How the way was made, for whoever reads the figures.
impl fmt::Display for Route {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sysctl = |name: &str| {
            let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}"));
            text.unwrap_or_default()
        };
        let congestion = match sysctl("tcp_available_congestion_control").contains("bbr") {
            true => String::from("bbr"),
            false => sysctl("tcp_congestion_control").trim().to_owned(),
        };
        let window = sysctl("tcp_rmem");
        let window = window.split_whitespace().nth(2).unwrap_or("unknown");
        write!(
            to,
            "The link: {}; a relay of IP packets between two TUN devices in two network namespaces, \
             for the kernel's netem is not everywhere. The origin's TCP uses {congestion} and may \
             send 64 MiB ahead; receivers take in {window} bytes at most (net.ipv4.tcp_rmem).",
            self.link
        )?;
        match self.tls {
            true => to.write_str(" nginx speaks TLS and HTTP/2 for the origin."),
            false => Ok(()),
        }
    }
}

/// The origin behind a link. A drop ends its connections, then the link: what asks it is to be
/// ended before.
#[derive(Debug)]
pub(crate) struct Distant {
    /// Where it listens there.
    addr: SocketAddr,
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    front: Option<Front>,
    _far: Far,
}

impl Origin {
    /// Makes a far network, and listens there, too.
    ///
    /// # Errors
    /// Where there can be none; says why.
    pub(crate) fn behind(&self, Route { link, tls }: Route) -> anyhow::Result<Distant> {
        let far = Far::new(link).with_context(|| format!("no link ({link}) can be made"))?;
        let listener = far
            .inside(|| TcpListener::bind((far.address(), 0)))?
            .context("the origin can't listen behind the link")?;
        let addr = listener.local_addr()?;
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let front = match tls {
            true => Some(front::start(&far, addr)?),
            false => None,
        };
        let accepting = (listener.try_clone()?, Arc::clone(&streams));
        let state = Arc::clone(&self.state);
        let thread = std::thread::spawn(move || accept(&state, &accepting));
        Ok(Distant {
            addr,
            listener,
            thread: Some(thread),
            streams,
            front,
            _far: far,
        })
    }
}

/// Takes connections until the listener is shut down.
fn accept(state: &Arc<State>, (listener, known): &(TcpListener, Arc<Mutex<Vec<TcpStream>>>)) {
    for stream in listener.incoming() {
        let Ok((stream, copy)) = stream.and_then(|one| Ok((one.try_clone()?, one))) else {
            return;
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(copy);
        drop(known);
        let state = Arc::clone(state);
        std::thread::spawn(move || {
            // The copy would keep the connection.
            let ended = stream.try_clone();
            let _ = state.connection(stream);
            let _ = ended.map(|stream| stream.shutdown(Shutdown::Both));
        });
    }
}

impl Distant {
    /// How systems ask it.
    pub(crate) fn upstream(&self) -> Upstream {
        match &self.front {
            Some(front) => front.upstream.clone(),
            None => Upstream {
                addr: self.addr,
                ca: None,
            },
        }
    }

    /// What speaks TLS for it.
    pub(crate) fn front(&self) -> Option<&Front> {
        self.front.as_ref()
    }
}

impl Drop for Distant {
    fn drop(&mut self) {
        self.front.take();
        // What waits for a connection is woken by this.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams.drain(..) {
            // Nobody is left to wait for the rest.
            let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
