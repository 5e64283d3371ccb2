use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tower_service::Service;

use super::Config;
use super::Error;

/// A pool of connections to the hosts of one registry: HTTP/2 where TLS agrees on it.
pub(super) type Transport = Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// How much one HTTP/1.1 connection may read ahead, in bytes.
const READ_BUFFER: usize = 128 << 10;
/// HTTP/2 flow control: what a blob, and all of a connection, may have in flight, in bytes. At
/// 100 ms a blob thus gets 40 MB/s and a connection 160 MB/s.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// How long a connection may stay idle before it is closed.
const POOL_IDLE: Duration = Duration::from_secs(60);

/// Builds the pool. Nothing is dialled yet.
///
/// # Errors
/// When the CA file can't be read or holds no certificate.
pub(super) fn build(config: &Config) -> Result<Transport, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Config(format!("TLS can't be set up: {error}")))?
        .with_root_certificates(roots(config.ca.as_deref())?)
        .with_no_client_auth();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(POOL_IDLE));
    let https = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(READ_BUFFER)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .build(Timed {
            inner: https,
            limit: config.timeouts.connect,
        }))
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // A system without a readable root is no error: a private CA may be all that is needed.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(path) = ca else { return Ok(roots) };
    let fail = |why: String| Error::Config(format!("ca file {}: {why}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?;
    let mut found = false;
    for certificate in certificates {
        let certificate = certificate.map_err(|e| fail(e.to_string()))?;
        roots.add(certificate).map_err(|e| fail(e.to_string()))?;
        found = true;
    }
    if found {
        Ok(roots)
    } else {
        Err(fail("it holds no certificate in PEM".into()))
    }
}

/// A connector with a limit on the whole of a connection's set-up: name, TCP and TLS.
#[derive(Clone, Debug)]
pub(super) struct Timed<C> {
    inner: C,
    limit: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl<C, R> Service<http::Uri> for Timed<C>
where
    C: Service<http::Uri, Response = R, Error = BoxError>,
    C::Future: Send + 'static,
{
    type Response = R;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let (connecting, limit) = (self.inner.call(uri), self.limit);
        Box::pin(async move {
            let late = format!("no connection within {limit:?}");
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, late);
            tokio::time::timeout(limit, connecting)
                .await
                .map_err(late)?
        })
    }
}

/// What went wrong with a request, in words: hyper's own say only that something did.
pub(super) fn explain(host: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut why = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && io.kind() == io::ErrorKind::TimedOut
        {
            return Error::TimedOut(format!("{host}: {io}"));
        }
        why = Some(error.to_string());
        cause = error.source();
    }
    Error::Unreachable(format!("{host}: {}", why.unwrap_or_default()))
}
