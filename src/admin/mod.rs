//! The admin listener: whether the proxy is alive, whether it can serve, how it does, and what it
//! has done.
//!
//! It has its own listener, so that it answers however busy the front is, and never where clients
//! are. It may have a login of its own.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::login;
use crate::login::Login;

mod answer;
mod metrics;
mod prefetch;
mod readiness;
mod targets;

pub use metrics::{Doors, Metrics};
pub use prefetch::{Prefetch, PrefetchFigures, Triggered};
pub use readiness::Readiness;

use answer::Desk;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address; `None` for no admin listener.
    pub listen: Option<SocketAddr>,
    /// Who may look; `None` lets everybody who gets there. `/healthz` is for everybody.
    pub login: Option<login::Config>,
}

/// The listening admin listener, or none.
#[derive(Debug)]
pub struct Admin {
    listener: Option<TcpListener>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    login: Option<Arc<Login>>,
}

/// How long a client may take for a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The most connections at a time: those who ask are few.
const CONNECTIONS: usize = 256;
/// How long to pause when the system can't give another connection.
const BREATHER: Duration = Duration::from_millis(100);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 5001))),
            login: None,
        }
    }
}

impl Admin {
    /// Listens, and answers nobody yet.
    ///
    /// # Errors
    /// When the address can't be listened on, or the files of users can't be used; it is named.
    pub async fn bind(
        config: Config,
        readiness: Readiness,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let login = config.login.map(Login::load).transpose()?;
        let listener = match config.listen {
            None => None,
            Some(address) => {
                let listener = TcpListener::bind(address).await;
                Some(listener.map_err(|error| cannot_listen(address, &error))?)
            }
        };
        Ok(Self {
            listener,
            readiness,
            metrics,
            login: login.map(Arc::new),
        })
    }

    /// The address that it listens on, if any.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Answers until `shutdown`. End it after the front, so that what is being drained can be
    /// watched.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let Some(listener) = self.listener else {
            return shutdown.await;
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, peer)) => {
                        let desk = Desk {
                            readiness: self.readiness.clone(),
                            metrics: self.metrics.clone(),
                            login: self.login.clone(),
                            client: peer.ip(),
                        };
                        connections.spawn(serve(stream, desk));
                    }
                    Err(error) => {
                        tracing::debug!("the admin listener can't accept for now: {error}");
                        tokio::time::sleep(BREATHER).await;
                    }
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, desk: Desk) {
    let service = service_fn(|request: http::Request<Incoming>| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("a connection to the admin listener broke: {error}");
    }
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    let text =
        format!("can't listen on {address} for health: {error}; choose another server.admin");
    io::Error::new(error.kind(), text)
}
