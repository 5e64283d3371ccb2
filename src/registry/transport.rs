//! Connections: TCP, TLS, HTTP/1.1 and HTTP/2 by ALPN, pooled.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tower_service::Service;

use super::Error;
use super::cause::ConnectTimeout;

/// The pooled client.
pub(super) type HttpClient = Client<Connector, Full<Bytes>>;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one HTTP/1.1 connection may have read ahead of its body's reader.
const HTTP1_BUFFER: usize = 128 << 10;
/// What an upstream may send ahead of one body's reader over HTTP/2: at 20 ms, 100 MiB/s.
const STREAM_WINDOW: u32 = 2 << 20;
/// What an upstream may send ahead of all readers of one HTTP/2 connection: this bounds the
/// memory of any number of bodies. Eight readers must stall before they hold up the others.
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Registries close idle connections after about a minute.
const POOL_IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept for each host.
const POOL_SIZE: usize = 32;
/// How often a quiet HTTP/2 connection in use is asked whether it still lives.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// A client that trusts the system's authorities and those of `ca`, and gives up connecting after
/// `connect`.
pub(super) fn client(ca: Option<&Path>, connect: Duration) -> Result<HttpClient, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(format!("TLS can't be set up: {error}")))?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(connect));
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let connector = Connector {
        https,
        limit: connect,
    };
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE)
        .http1_max_buf_size(HTTP1_BUFFER)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .build(connector))
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

/// Makes TCP and TLS connections within a limit.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    https: HttpsConnector<HttpConnector>,
    limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = self.limit;
        let connecting = self.https.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(ConnectTimeout(limit).into()),
            }
        })
    }
}
