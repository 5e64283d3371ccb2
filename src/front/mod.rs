//! The front: what clients talk to. HTTP/1.1 and HTTP/2, in clear text or over TLS.
//!
//! `route` turns a request into an [`Ask`](crate::flow::Ask), `answer` turns what was served into
//! a response, `fault` turns what went wrong into a status and an OCI error code; `exchange` is
//! their order. `connection` bounds how long a client may take for what, so that none can hold up
//! the others, and `payload` promises that a body is exactly what its header said, or breaks off.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::flow::PullThrough;
use crate::ledger::Ledger;
use crate::oci::UpstreamName;

mod activity;
mod answer;
mod catalog;
mod condition;
mod connection;
mod exchange;
mod fault;
mod lane;
mod path;
mod payload;
mod route;
mod tls;
mod upstream;
mod wire;

pub use tls::Tls;

use connection::Connections;
use connection::Phase;
use exchange::Exchanges;
use tls::Certificate;

/// Where to listen, and how long to wait for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The certificate to show; `None` for clear text.
    pub tls: Option<Tls>,
    /// Whose repositories are meant where a request names no upstream.
    pub default_upstream: Option<UpstreamName>,
    /// How long a client may take for a request's header. An HTTP/1 connection may be idle as
    /// long.
    pub header_timeout: Duration,
    /// How long an HTTP/2 connection may be idle, and how long a client may take nothing of an
    /// answer.
    pub idle_timeout: Duration,
    /// The most connections at a time. Further ones wait until one ends.
    pub max_connections: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 5000))],
            tls: None,
            default_upstream: None,
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(120),
            max_connections: 10_000,
        }
    }
}

/// The listening front.
#[derive(Debug)]
pub struct Front {
    listeners: Vec<TcpListener>,
    connections: Arc<Connections>,
    handle: Handle,
    slots: Arc<Semaphore>,
    max_connections: u32,
}

/// Changes a front that is running. All clones change the same one.
#[derive(Clone, Debug, Default)]
pub struct Handle {
    default_upstream: Arc<ArcSwapOption<UpstreamName>>,
}

impl Handle {
    /// From now on, `default_upstream` is meant where a request names none.
    pub fn reconfigure(&self, default_upstream: Option<UpstreamName>) {
        self.default_upstream.store(default_upstream.map(Arc::new));
    }
}

/// How long to pause when the system can't give another connection: out of files or of memory.
const BREATHER: Duration = Duration::from_millis(100);

impl Front {
    /// Listens, and answers nobody yet.
    ///
    /// # Errors
    /// When an address can't be listened on, or the certificate can't be used; the address or the
    /// file is named.
    pub async fn bind(config: Config, flow: Arc<PullThrough>, ledger: Ledger) -> io::Result<Self> {
        let certificate = config.tls.map(Certificate::load).transpose()?;
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in config.listen {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.map_err(|error| cannot_listen(address, &error))?);
        }
        let handle = Handle::default();
        handle.reconfigure(config.default_upstream);
        let exchanges = Exchanges::new(flow, ledger, handle.default_upstream.clone());
        let max_connections = u32::try_from(config.max_connections.clamp(1, MOST_CONNECTIONS));
        let max_connections = max_connections.unwrap_or(u32::MAX);
        Ok(Self {
            listeners,
            connections: Arc::new(Connections::new(
                exchanges,
                certificate,
                config.header_timeout,
                config.idle_timeout,
            )),
            handle,
            slots: Arc::new(Semaphore::new(max_connections as usize)),
            max_connections,
        })
    }

    /// The addresses that it listens on, in the order of the configuration.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(TcpListener::local_addr);
        addresses.filter_map(Result::ok).collect()
    }

    /// What changes this front while it runs.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
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
        // Every connection holds a slot.
        let all_ended = || self.slots.acquire_many(self.max_connections);
        if tokio::time::timeout(drain, all_ended()).await.is_ok() {
            return 0;
        }
        let cut = self.max_connections as usize - self.slots.available_permits();
        phase.send_replace(Phase::Cut);
        let _ = tokio::time::timeout(BREATHER, all_ended()).await;
        cut
    }

    async fn accept(&self, listener: &TcpListener, phase: &watch::Sender<Phase>) {
        loop {
            let Ok(slot) = self.slots.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connections = self.connections.clone();
                    let phase = phase.subscribe();
                    tokio::spawn(async move {
                        connections.serve(stream, peer, phase).await;
                        drop(slot);
                    });
                }
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

/// What a semaphore can count, and more than a process has files.
const MOST_CONNECTIONS: usize = 1 << 24;

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
