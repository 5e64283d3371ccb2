//! The tap: a forward proxy that measures what passes through it, and changes nothing.
//!
//! A tool is pointed at it by `HTTP_PROXY` and `HTTPS_PROXY`, or started by it. It gets what it
//! would have got without it: the origin's answers, in the version of HTTP that the origin speaks
//! with who offers what the tool offers, over a certificate that is as good or as bad as the
//! origin's. Each exchange is a receipt, each connection a record, both of leg `tap`; connections
//! from the tool are of leg `client`.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::authority::Authority;
use crate::ledger::Counted;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::OpenConnection;

mod body;
mod command;
mod describe;
mod entry;
mod environment;
mod exchange;
mod footprint;
mod hello;
mod judge;
mod origin;
mod serve;
mod stream;
mod target;
mod tasks;
mod tls;
mod words;

pub use command::{NotRun, run};
pub use environment::Environment;

use describe::Memory;
use judge::Judge;
use target::Target;

/// How a tap is to be.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// A PEM file of authorities that vouch for origins, besides the system's.
    pub upstream_ca: Option<PathBuf>,
}

/// A listening tap.
#[derive(Debug)]
pub struct Tap {
    listener: TcpListener,
    upstream_ca: Option<PathBuf>,
    shared: Arc<Shared>,
}

/// What all connections share.
struct Shared {
    ledger: Ledger,
    authority: Authority,
    judge: Judge,
    memory: Memory,
    provider: Arc<CryptoProvider>,
    // Who asks for client certificates.
    mutual: Cache<Target, ()>,
}

/// How many origins are remembered that ask for client certificates.
const MUTUAL: u64 = 1000;
/// How long to wait when the system can't give another connection.
const BREATHER: Duration = Duration::from_millis(100);

impl Tap {
    /// Listens, and answers nobody yet.
    ///
    /// # Errors
    /// When the address can't be listened on, or the file of authorities can't be used; the address
    /// or the file is named.
    pub async fn bind(config: &Config, authority: Authority, ledger: Ledger) -> io::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shared = Shared {
            ledger,
            judge: Judge::new(&provider, config.upstream_ca.as_deref())?,
            authority,
            memory: Memory::new(),
            provider,
            mutual: Cache::new(MUTUAL),
        };
        let listener = TcpListener::bind(config.listen).await;
        Ok(Self {
            listener: listener.map_err(|error| cannot_listen(config.listen, &error))?,
            upstream_ca: config.upstream_ca.clone(),
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not know.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The authority that tools are to trust.
    pub fn authority(&self) -> &Authority {
        &self.shared.authority
    }

    /// Passes on until `stop`; then listens no more, lets what is under way end for `patience`, and
    /// cuts the rest. All that passed through is in the ledger when this returns. Says how many
    /// connections were cut.
    pub async fn run(self, stop: impl Future<Output = ()>, patience: Duration) -> usize {
        let mut connections = JoinSet::new();
        tokio::select! {
            never = self.accept(&mut connections) => match never {},
            () = stop => {}
        }
        drop(self.listener);
        let all_left = async { while connections.join_next().await.is_some() {} };
        let left = tokio::time::timeout(patience, all_left).await;
        let cut = connections.len();
        if left.is_err() {
            connections.shutdown().await;
        }
        cut
    }

    async fn accept(&self, connections: &mut JoinSet<()>) -> Infallible {
        loop {
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    let _ = socket.set_nodelay(true);
                    let host = peer.ip().to_canonical().to_string().into();
                    let open = OpenConnection::begin(&self.shared.ledger, Leg::Client, host);
                    let socket = Counted::new(socket, open);
                    connections.spawn(serve::tool(self.shared.clone(), socket));
                }
                Err(error) => {
                    tracing::error!("can't accept connections for now: {error}");
                    tokio::time::sleep(BREATHER).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "; choose another port with --listen, or 0 for any",
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("can't listen on {address}: {error}{advice}"),
    )
}
