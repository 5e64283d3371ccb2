//! Connections: TCP, TLS, HTTP/1.1 and HTTP/2 by ALPN, pooled.

use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::time::Instant;

use http::Extensions;
use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Config;
use super::Error;
use super::cause::ConnectTimeout;
use super::distance::Distances;
use super::guard::Guard;
use super::resolver::Resolver;
use super::sending::Sending;
use super::switch::Switched;
use super::wire::Outside;
use crate::ledger::Counted;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::OpenConnection;

/// The clients of one endpoint, over connections of the same kind.
#[derive(Clone)]
pub(super) struct Clients {
    /// By HTTP/2 where the other side has it: then one connection is for all.
    far: HttpClient,
    /// The same to hosts that speak HTTP/2 nearby.
    near: HttpClient,
    /// By HTTP/1.1 alone: as many connections as there are requests in flight. Some limit what one
    /// connection gets, and over long round trips one gets less than the link has.
    apart: HttpClient,
    distances: Arc<Distances>,
}

/// A pooled client.
type HttpClient = Client<Connector, Sending>;

type Https = HttpsConnector<CountedTcp>;
type Stream = Switched<MaybeHttpsStream<TokioIo<Counted<TcpStream>>>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one HTTP/1.1 connection may have read ahead of its body's reader, in bytes; up to twice as
/// much where the buffer has grown. A chunk holds the whole buffer that it was read into, so this
/// counts for each that waits to be written.
const HTTP1_BUFFER: usize = 64 << 10;

/// How many bytes the other side of an HTTP/2 connection may send ahead.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    /// Of one body's reader.
    stream: u32,
    /// Of all readers: this bounds the memory of any number of bodies, where they come faster than
    /// they are taken.
    connection: u32,
}

/// From nearby: at 10 ms, 200 MiB/s. Four readers must stall before they hold up the others.
const FROM_NEARBY: Ahead = Ahead {
    stream: 2 << 20,
    connection: 8 << 20,
};
/// From afar: at 150 ms, 100 MiB/s for one body. Two readers must stall before they hold up the
/// others.
const FROM_AFAR: Ahead = Ahead {
    stream: 16 << 20,
    connection: 32 << 20,
};
/// Registries close idle connections after about a minute.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept for each host.
const POOL_SIZE: usize = 32;
/// How often a quiet HTTP/2 connection in use is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

impl Clients {
    /// Clients that trust the system's authorities and those of `config`, give up connecting after
    /// its time, and dial what `guard` lets them. Their connections are entered into `outside`'s
    /// ledger.
    pub(super) fn new(
        config: &Config,
        guard: Arc<Guard>,
        outside: &Outside,
    ) -> Result<Self, Error> {
        let tls = tls(config)?;
        let dialing = Dialing {
            config,
            guard,
            outside,
            distances: Arc::default(),
        };
        let shared = dialing.connector(|tcp| https(tls.clone(), tcp));
        let apart = dialing.connector(|tcp| {
            let builder = HttpsConnectorBuilder::new().with_tls_config(tls.clone());
            builder.https_or_http().enable_http1().wrap_connector(tcp)
        });
        Ok(Self {
            far: client(shared.clone(), FROM_AFAR),
            near: client(shared, FROM_NEARBY),
            apart: client(apart, FROM_AFAR),
            distances: dialing.distances,
        })
    }

    /// The one to ask `uri` with. `is_apart`: over a connection that serves one request at a time.
    pub(super) fn of(&self, uri: &Uri, is_apart: bool) -> &HttpClient {
        if is_apart {
            &self.apart
        } else if self.distances.is_near(uri) {
            &self.near
        } else {
            &self.far
        }
    }
}

fn tls(config: &Config) -> Result<rustls::ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(format!("TLS can't be set up: {error}")))?
        .with_root_certificates(roots(config.ca.as_deref())?)
        .with_no_client_auth();
    Ok(tls)
}

/// What all connections of an endpoint are made by.
struct Dialing<'a> {
    config: &'a Config,
    guard: Arc<Guard>,
    outside: &'a Outside,
    distances: Arc<Distances>,
}

impl Dialing<'_> {
    fn connector(&self, https: impl Fn(CountedTcp) -> Https) -> Connector {
        let limit = self.config.timeouts.connect;
        let connect = |guard: Option<Arc<Guard>>| {
            let lookup = self.outside.lookup.clone();
            let books = Books {
                ledger: self.outside.ledger.clone(),
                leg: self.config.leg,
                registry: self.config.name.as_str().into(),
            };
            let tcp = tcp(Resolver { lookup, guard }, limit);
            https(CountedTcp { tcp, books })
        };
        Connector {
            free: connect(None),
            checked: connect(Some(self.guard.clone())),
            guard: self.guard.clone(),
            limit,
            distances: self.distances.clone(),
        }
    }
}

fn client(connector: Connector, ahead: Ahead) -> HttpClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE)
        .http1_max_buf_size(HTTP1_BUFFER)
        .http2_initial_stream_window_size(ahead.stream)
        .http2_initial_connection_window_size(ahead.connection)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .build(connector)
}

fn tcp(resolver: Resolver, limit: Duration) -> HttpConnector<Resolver> {
    let mut tcp = HttpConnector::new_with_resolver(resolver);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(limit));
    tcp
}

fn https(tls: rustls::ClientConfig, tcp: CountedTcp) -> Https {
    HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Error> {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    let mut roots = SYSTEM.get_or_init(system_roots).clone();
    let Some(path) = ca else {
        return Ok(roots);
    };
    let unusable =
        |why: String| Error::Config(format!("the CA file {} is unusable: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(unusable("it has no PEM certificate".into()));
    }
    Ok(roots)
}

fn system_roots() -> RootCertStore {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        tracing::warn!(
            "this system has no certificate authorities (install ca-certificates, or set \
             SSL_CERT_FILE): only those of `ca` are trusted"
        );
    }
    roots
}

/// Makes TCP connections that are counted, below TLS.
#[derive(Clone)]
struct CountedTcp {
    tcp: HttpConnector<Resolver>,
    books: Books,
}

/// Where connections are entered, and for whom.
#[derive(Clone)]
struct Books {
    ledger: Ledger,
    leg: Leg,
    registry: Arc<str>,
}

impl Books {
    /// A connection for `uri`, which is there from now on.
    fn open(&self, uri: &Uri) -> OpenConnection {
        let host = uri.host().unwrap_or_default();
        let host = match uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut open = OpenConnection::begin(&self.ledger, self.leg, host.into());
        open.connection.registry = self.registry.clone();
        open.connection.tls = uri.scheme() == Some(&Scheme::HTTPS);
        open
    }
}

impl Service<Uri> for CountedTcp {
    type Response = TokioIo<Counted<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, books) = (self.tcp.call(uri.clone()), self.books.clone());
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            Ok(TokioIo::new(Counted::new(tcp, books.open(&uri))))
        })
    }
}

/// Makes TCP and TLS connections within a limit, where it may.
#[derive(Clone)]
pub(super) struct Connector {
    /// To where the configuration says.
    free: Https,
    /// To where others lead.
    checked: Https,
    guard: Arc<Guard>,
    limit: Duration,
    distances: Arc<Distances>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        ready!(self.free.poll_ready(cx))?;
        self.checked.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (limit, guard) = (self.limit, self.guard.clone());
        let (distances, begun) = (self.distances.clone(), Instant::now());
        let connecting = if guard.is_configured(&uri) {
            self.free.call(uri.clone())
        } else if let Err(forbidden) = guard.check_literal(&uri) {
            return Box::pin(std::future::ready(Err(forbidden.into())));
        } else {
            self.checked.call(uri.clone())
        };
        Box::pin(async move {
            let connected = match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => Switched::new(connected?),
                Err(_) => return Err(ConnectTimeout(limit).into()),
            };
            if let Some(address) = peer(&connected) {
                guard.connected(&uri, address);
            }
            if connected.connected().is_negotiated_h2() {
                distances.note(&uri, begun.elapsed());
            }
            Ok(connected)
        })
    }
}

fn peer(connected: &Stream) -> Option<IpAddr> {
    let mut extras = Extensions::new();
    connected.connected().get_extras(&mut extras);
    let info = extras.get::<HttpInfo>();
    info.map(|info| info.remote_addr().ip())
}
