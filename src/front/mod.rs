//! The front: what clients talk to. HTTP/1.1 and HTTP/2, in clear text or over TLS.
//!
//! `route` turns a request into an [`Ask`](crate::flow::Ask), `answer` turns what was served into
//! a response, `fault` turns what went wrong into a status and an OCI error code; `exchange` is
//! their order. `door` knows who may come in and what they may have, `seats` who holds how many
//! connections. `connection` bounds how long a client may take for what, so that none can hold up
//! the others, and `payload` promises that a body is exactly what its header said, or breaks off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::sync::watch;

use crate::flow::PullThrough;
use crate::ledger::Ledger;
use crate::login;
use crate::login::Access;
use crate::login::Login;
use crate::oci::UpstreamName;

mod activity;
mod answer;
mod catalog;
mod condition;
mod connection;
mod door;
mod exchange;
mod fault;
mod intercept;
mod lane;
mod occupancy;
mod payload;
mod proxy;
mod route;
mod seats;
mod tls;
mod upstream;
mod wire;

pub use intercept::{Hosts, Intercept};
pub use occupancy::Occupancy;
pub use tls::Tls;

use connection::Connections;
use connection::Entrance;
use connection::Limits;
use connection::Phase;
use door::Door;
use exchange::Exchanges;
use intercept::Interception;
use seats::Seats;
use tls::Certificate;
use tls::Insistence;

/// Where to listen, and how long to wait for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The certificate to show; `None` for clear text.
    pub tls: Option<Tls>,
    /// Whose repositories are meant where a request names no upstream.
    pub default_upstream: Option<UpstreamName>,
    /// Where to be a proxy as well; `None` for nowhere.
    pub intercept: Option<Intercept>,
    /// Which hosts' requests are answered there in the place of which upstream.
    pub intercepted: Hosts,
    /// How long a client may take for a request's header. An HTTP/1 connection may be idle as
    /// long.
    pub header_timeout: Duration,
    /// How long an HTTP/2 connection may be idle, and how long a client may take nothing of an
    /// answer.
    pub idle_timeout: Duration,
    /// The most connections at a time. Further ones wait until one ends; idle ones make room.
    pub max_connections: usize,
    /// The most connections at a time of one client (IPv6: of one /64). Further ones are closed,
    /// unless one of its own is idle and makes room.
    pub max_connections_per_client: usize,
    /// The most requests at a time on an HTTP/2 connection. Further ones are refused, to be sent
    /// again.
    pub max_streams: u32,
    /// Who may come in; `None` lets everybody in.
    pub login: Option<login::Config>,
    /// What each of them may pull.
    pub access: Access,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
            tls: None,
            default_upstream: None,
            intercept: None,
            intercepted: Hosts::new(),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            max_connections: 10_000,
            max_connections_per_client: 2_000,
            max_streams: 100,
            login: None,
            access: Access::default(),
        }
    }
}

/// The listening front.
#[derive(Debug)]
pub struct Front {
    listeners: Vec<(Entrance, TcpListener)>,
    connections: Arc<Connections>,
    handle: Handle,
    seats: Arc<Seats>,
    login: Option<Arc<Login>>,
}

/// Changes a front that is running. All clones change the same one.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    default_upstream: Arc<ArcSwapOption<UpstreamName>>,
    access: Arc<ArcSwap<Access>>,
    intercepted: Arc<ArcSwap<Hosts>>,
    hurry: Arc<Notify>,
}

impl Handle {
    /// Where the front is told to end, it waits for nobody any more.
    pub fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// From now on, these hosts' requests are answered where we are a proxy.
    pub fn intercept(&self, hosts: Hosts) {
        self.intercepted.store(Arc::new(hosts));
    }

    /// From now on, `default_upstream` is meant where a request names none.
    pub fn reconfigure(&self, default_upstream: Option<UpstreamName>) {
        self.default_upstream.store(default_upstream.map(Arc::new));
    }

    /// From now on, people may pull what `access` gives them.
    pub fn give_access(&self, access: Access) {
        self.access.store(Arc::new(access));
    }
}

/// How long to pause when the system can't give another connection: out of files or of memory.
const BREATHER: Duration = Duration::from_millis(100);

impl Front {
    /// Listens, and answers nobody yet.
    ///
    /// # Errors
    /// When an address can't be listened on, or the certificate or the files of users can't be
    /// used; the address or the file is named.
    pub async fn bind(config: Config, flow: Arc<PullThrough>, ledger: Ledger) -> io::Result<Self> {
        let clients = match &config.login {
            Some(login) if login.certificates && login.by_header() => Insistence::May,
            _ => Insistence::Must,
        };
        let handle = Handle::default();
        let needs_login = config.login.is_some()
            || config
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some());
        let interception = config
            .intercept
            .as_ref()
            .map(|intercept| Interception::new(intercept, handle.intercepted.clone(), needs_login));
        let interception = interception.transpose()?;
        let certificate = config.tls.map(|tls| Certificate::load(tls, clients));
        let certificate = certificate.transpose()?;
        let login = config.login.map(Login::load).transpose()?.map(Arc::new);
        let mut listeners = Vec::with_capacity(config.listen.len());
        let front = config
            .listen
            .iter()
            .map(|address| (Entrance::Front, *address));
        let proxy = config.intercept.map(|one| (Entrance::Proxy, one.listen));
        for (entrance, address) in front.chain(proxy) {
            let listener = listen(address).map_err(|error| cannot_listen(address, &error))?;
            listeners.push((entrance, listener));
        }
        handle.intercept(config.intercepted);
        handle.reconfigure(config.default_upstream);
        handle.give_access(config.access);
        let door = Door::new(login.clone(), handle.access.clone());
        let exchanges = Exchanges::new(flow, ledger.clone(), handle.default_upstream.clone(), door);
        let limits = Limits {
            header_timeout: config.header_timeout,
            idle_timeout: config.idle_timeout,
            max_streams: config.max_streams,
        };
        let seats = Seats::new(config.max_connections, config.max_connections_per_client);
        let connections = Connections::new(exchanges, ledger, certificate, limits);
        let connections = connections.intercepting(interception);
        Ok(Self {
            listeners,
            connections: Arc::new(connections),
            handle,
            seats: Arc::new(seats),
            login,
        })
    }

    /// The addresses that it listens on, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.addresses(Entrance::Front)
    }

    /// The address where it is a proxy.
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.addresses(Entrance::Proxy).pop()
    }

    fn addresses(&self, wanted: Entrance) -> Vec<SocketAddr> {
        let all = self
            .listeners
            .iter()
            .filter(|(entrance, _)| *entrance == wanted);
        all.filter_map(|(_, one)| one.local_addr().ok()).collect()
    }

    /// What changes this front while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What shows how full it is.
    pub fn occupancy(&self) -> Occupancy {
        Occupancy::new(self.seats.clone(), self.login.clone())
    }

    /// Answers until `shutdown`, then listens no more and lets what is under way finish, for
    /// `drain` at most. Says how many connections had to be cut.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>, drain: Duration) -> usize {
        let (phase, _) = watch::channel(Phase::Open);
        let accepting = self.listeners.iter().map(|l| self.accept(l, &phase));
        tokio::select! {
            () = shutdown => {}
            _ = futures_util::future::join_all(accepting) => {}
        }
        self.listeners.clear();
        phase.send_replace(Phase::Draining);
        tokio::select! {
            () = self.seats.all_left() => return 0,
            () = tokio::time::sleep(drain) => {}
            () = self.handle.hurry.notified() => {}
        }
        let cut = self.seats.count();
        phase.send_replace(Phase::Cut);
        let _ = tokio::time::timeout(BREATHER, self.seats.all_left()).await;
        cut
    }

    async fn accept(
        &self,
        (entrance, listener): &(Entrance, TcpListener),
        phase: &watch::Sender<Phase>,
    ) {
        let entrance = *entrance;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => match self.seats.take(peer.ip()).await {
                    Some(seat) => {
                        let connections = self.connections.clone();
                        let phase = phase.subscribe();
                        tokio::spawn(connections.serve(entrance, (stream, peer), seat, phase));
                    }
                    None => {
                        tracing::warn!(%peer, "closed a connection: this client has too many");
                        drop(self.connections.enter(entrance, stream, peer));
                    }
                },
                Err(error) if concerns_one(&error) => {
                    tracing::debug!("a connection was gone before it was accepted: {error}");
                }
                Err(error) => {
                    tracing::error!("can't accept connections for now: {error}");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }
}

/// Whether only the one connection that was being accepted is lost.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

/// How many connections may wait to be accepted: all machines of a site may come at once, and who
/// finds no room tries again after a second. The system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A port whose old connections linger can be listened on again.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; is another tidegate running? Else choose another port",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("can't listen on {address}: {error}{advice}"),
    )
}

#[cfg(test)]
mod fuzz;
