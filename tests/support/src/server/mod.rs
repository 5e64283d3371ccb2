//! A scripted HTTP server on loopback: it records every request and commits faults on demand.
//! What it says is up to a handler: a registry ([`crate::Upstream`]) or a token server
//! ([`crate::TokenServer`]), which both are a [`Server`] by `Deref`.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod intake;
mod respond;
mod taking;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::HeaderName;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::fault::Fault;
use crate::fault::FaultHandle;
use crate::fault::Script;
use crate::fault::When;
use crate::limiter::Limiter;
use crate::port::ReservedPort;
use crate::record::Log;
use crate::record::PATIENCE;
use crate::record::Recorded;
use crate::record::lock;
use crate::server::answer::Handler;
use crate::server::respond::Connection;
use crate::server::respond::respond;
use crate::server::wire::Kill;
use crate::server::wire::Wire;

pub(crate) const DOCKER_CONTENT_DIGEST: HeaderName =
    HeaderName::from_static("docker-content-digest");

/// A server that runs until it is stopped or dropped. Its port stays its own until it is dropped.
pub struct Server {
    port: ReservedPort,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

/// The task that accepts. It ends, with all its connections, when `stop` is dropped.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What becomes of an accepted connection.
#[derive(Clone, Copy)]
enum Mode {
    Answer,
    /// It is held open, and never read.
    Hole,
}

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) log: Log,
    pub(crate) script: Script,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    connections: AtomicUsize,
}

impl Server {
    /// Starts answering on `port`; over TLS where there is an acceptor.
    pub(crate) fn start(
        port: ReservedPort,
        tls: Option<TlsAcceptor>,
        handler: Arc<dyn Handler>,
    ) -> Self {
        let shared = Arc::new(Shared {
            handler,
            log: Log::new(),
            script: Script::default(),
            scheme: if tls.is_some() { "https" } else { "http" },
            connections: AtomicUsize::new(0),
        });
        let server = Self {
            port,
            tls,
            shared,
            running: Mutex::default(),
        };
        server.run(Mode::Answer);
        server
    }

    /// 127.0.0.1 and the port.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `127.0.0.1:<port>`, as in an image reference.
    pub fn host(&self) -> String {
        self.address().to_string()
    }

    /// `http://127.0.0.1:<port>` or `https://...`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("{}://{}", self.shared.scheme, self.address())
    }

    /// The requests until now, in the order in which they came.
    pub fn log(&self) -> Vec<Recorded> {
        self.shared.log.all()
    }

    /// How many requests until now are as `wanted` says.
    pub fn count(&self, wanted: impl Fn(&Recorded) -> bool) -> usize {
        self.log()
            .iter()
            .filter(|recorded| wanted(recorded))
            .count()
    }

    /// The GETs of the blob or manifest `digest` until now, whole or in part.
    pub fn gets_of(&self, digest: &str) -> Vec<Recorded> {
        self.log()
            .into_iter()
            .filter(|recorded| recorded.is_get_of(digest))
            .collect()
    }

    /// Forgets the requests until now.
    pub fn clear_log(&self) {
        self.shared.log.clear();
    }

    /// Takes the requests that have ended out of the log.
    pub fn take_ended(&self) -> Vec<Recorded> {
        self.shared.log.take_ended()
    }

    /// Waits until the log is as `enough` says; looks again at each change, also while a body is
    /// on its way.
    ///
    /// # Panics
    /// After [`crate::PATIENCE`], with the log.
    pub async fn wait_for(&self, enough: impl Fn(&[Recorded]) -> bool) {
        self.shared.log.wait_for(PATIENCE, enough).await;
    }

    /// As [`Server::wait_for`], with a limit of one's own.
    ///
    /// # Panics
    /// After `limit`, with the log.
    pub async fn wait_for_within(&self, limit: Duration, enough: impl Fn(&[Recorded]) -> bool) {
        self.shared.log.wait_for(limit, enough).await;
    }

    /// How many connections were accepted since the start.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Commits `fault` on the requests that `when` says, from now on.
    pub fn fault(&self, when: When, fault: Fault) -> FaultHandle {
        self.shared.script.add(when, fault)
    }

    /// Lets no more of the requests that `when` says in than `limiter` does, from now on.
    pub fn limit(&self, when: When, limiter: &Limiter) {
        self.shared.script.limit(when, limiter);
    }

    /// Ends all faults, for requests that come from now on.
    pub fn clear_faults(&self) {
        self.shared.script.clear();
    }

    /// Closes the listener and all connections, at once. Connections are refused from then on; the
    /// port stays reserved.
    pub async fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some(Running { stop, task }) = running {
            drop(stop);
            let _ = task.await;
        }
    }

    /// Answers again, on the same port, after [`Server::stop`] or [`Server::hole`]. Log, content
    /// and faults are as they were.
    pub async fn restart(&self) {
        self.stop().await;
        self.run(Mode::Answer);
    }

    /// Becomes a hole: connections are accepted, and nothing is ever answered or closed.
    pub async fn hole(&self) {
        self.stop().await;
        self.run(Mode::Hole);
    }

    fn run(&self, mode: Mode) {
        let listener = self.port.listen().expect("our own port can be listened on");
        let (tls, shared) = (self.tls.clone(), self.shared.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            tokio::select! {
                () = accept(&listener, mode, (tls, shared), &mut connections) => {}
                _ = stopped => {}
            }
            drop(listener);
            connections.shutdown().await;
        });
        *lock(&self.running) = Some(Running { stop, task });
    }
}

async fn accept(
    listener: &TcpListener,
    mode: Mode,
    (tls, shared): (Option<TlsAcceptor>, Arc<Shared>),
    connections: &mut JoinSet<()>,
) {
    while let Ok((stream, peer)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let _ = stream.set_nodelay(true);
        match mode {
            Mode::Answer => {
                let kill = Arc::new(Kill::default());
                let connection = Connection {
                    shared: shared.clone(),
                    peer,
                    kill,
                };
                connections.spawn(serve(stream, tls.clone(), connection));
            }
            Mode::Hole => {
                connections.spawn(async move {
                    let _held = stream;
                    std::future::pending().await
                });
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, connection: Connection) {
    let kill = connection.kill.clone();
    let wire = Wire::new(stream, kill.clone());
    let answered = async {
        match tls {
            None => speak(wire, connection).await,
            Some(tls) => {
                if let Ok(wire) = tls.accept(wire).await {
                    speak(wire, connection).await;
                }
            }
        }
    };
    tokio::select! {
        () = answered => {}
        () = kill.fired() => {}
    }
}

/// HTTP/1.1 or HTTP/2, whichever the client starts with.
async fn speak(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, connection: Connection) {
    let service = service_fn(move |request| respond(connection.clone(), request));
    let builder = auto::Builder::new(TokioExecutor::new());
    // An error is the client's leaving, or a fault of ours: the log tells both.
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}
