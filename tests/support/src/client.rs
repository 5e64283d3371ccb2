//! A small HTTP client for tests: what is asked is what is sent, and nothing is followed, decoded
//! or retried.

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Version;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use crate::digest::DigestSink;
use crate::pki::Leaf;
use crate::pki::Pki;

/// An HTTP client with connections of its own. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A client that isn't built yet.
#[derive(Debug)]
pub struct ClientBuilder {
    tls: ClientConfig,
    h2: bool,
    h1: bool,
    keep: bool,
}

/// A request that isn't sent yet.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    request: Request<Full<Bytes>>,
}

/// An answer whose body is still to be read. Dropping it in mid-body leaves the server: the
/// connection is closed (HTTP/1.1) or the stream is reset (HTTP/2).
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    body: Incoming,
    kept: Bytes,
}

/// Why there is no answer, or not all of it, with every cause in one line.
#[derive(Debug)]
pub struct ClientError(String);

impl Client {
    /// For plain HTTP/1.1.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// For plain HTTP/2 (prior knowledge).
    pub fn h2c() -> Self {
        Self::builder().h2().build()
    }

    /// For HTTPS with the authority of `pki` alone, HTTP/2 or HTTP/1.1 by ALPN; also plain
    /// HTTP/1.1.
    pub fn tls(pki: &Pki) -> Self {
        Self::builder().trust(pki).build()
    }

    /// A client that is set up step by step.
    pub fn builder() -> ClientBuilder {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        ClientBuilder {
            tls,
            h2: false,
            h1: false,
            keep: true,
        }
    }

    /// A GET.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// A HEAD.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// A request of any method.
    ///
    /// # Panics
    /// Where `url` is none.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        let request = Request::builder().method(method).uri(url.as_ref());
        let request = request.body(Full::default()).expect("a URL");
        RequestBuilder {
            client: self.clone(),
            request,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientBuilder {
    /// Trusts the authority of `pki` alone.
    pub fn trust(mut self, pki: &Pki) -> Self {
        self.tls = pki.client_config();
        self
    }

    /// Trusts the authority of `pki` alone, and shows `leaf`.
    pub fn identity(mut self, pki: &Pki, leaf: &Leaf) -> Self {
        self.tls = pki.client_config_with(leaf);
        self
    }

    /// HTTP/2 and nothing else; in clear text by prior knowledge.
    pub fn h2(mut self) -> Self {
        self.h2 = true;
        self
    }

    /// HTTP/1.1 and nothing else.
    pub fn h1(mut self) -> Self {
        self.h1 = true;
        self
    }

    /// A new connection for each request.
    pub fn fresh_connections(mut self) -> Self {
        self.keep = false;
        self
    }

    /// The client.
    pub fn build(self) -> Client {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(self.tls)
            .https_or_http();
        let connector = match (self.h1, self.h2) {
            (true, _) => connector.enable_http1().build(),
            (_, true) => connector.enable_http2().build(),
            _ => connector.enable_all_versions().build(),
        };
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.http2_only(self.h2).retry_canceled_requests(false);
        builder.http2_initial_stream_window_size(1 << 20);
        builder.http2_initial_connection_window_size(4 << 20);
        if !self.keep {
            builder.pool_max_idle_per_host(0);
        }
        Client(builder.build(connector))
    }
}

impl RequestBuilder {
    /// Adds a header.
    ///
    /// # Panics
    /// Where name or value can't be in a header.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let name: http::HeaderName = name.parse().expect("a header name");
        let value = value.as_ref().parse().expect("a header value");
        self.request.headers_mut().append(name, value);
        self
    }

    /// `Range: bytes=<range>`.
    pub fn range(self, range: &str) -> Self {
        self.header("range", format!("bytes={range}"))
    }

    /// Sends this body.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(bytes.into());
        self
    }

    /// Sends the request and waits for the answer's header.
    ///
    /// # Errors
    /// Where no connection could be made, or it ended before the header came.
    pub async fn send(self) -> Result<Reply, ClientError> {
        let response = self
            .client
            .0
            .request(self.request)
            .await
            .map_err(ClientError::new)?;
        let (parts, body) = response.into_parts();
        Ok(Reply {
            status: parts.status,
            headers: parts.headers,
            version: parts.version,
            body,
            kept: Bytes::new(),
        })
    }
}

/// The `Authorization` header's value for a user and a password (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

impl Reply {
    /// A header as text, where there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Content-Length`, where there is one.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The next bytes, as they come; `None` at the end.
    ///
    /// # Errors
    /// Where the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        if !self.kept.is_empty() {
            return Ok(Some(std::mem::take(&mut self.kept)));
        }
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.map_err(ClientError::new)?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Where the body ends or breaks off before.
    pub async fn read_exactly(&mut self, n: usize) -> Result<Bytes, ClientError> {
        let mut read = BytesMut::with_capacity(n);
        while read.len() < n {
            let Some(mut chunk) = self.chunk().await? else {
                return Err(ClientError(format!(
                    "{} bytes came, {n} were awaited",
                    read.len()
                )));
            };
            self.kept = chunk.split_off(chunk.len().min(n - read.len()));
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let mut read = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    /// The rest of the body, as far as it came, and how it broke off if it did.
    pub async fn bytes_until_error(mut self) -> (Bytes, Option<ClientError>) {
        let mut read = BytesMut::new();
        loop {
            match self.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                Ok(None) => return (read.freeze(), None),
                Err(error) => return (read.freeze(), Some(error)),
            }
        }
    }

    /// The rest of the body as text; wrong UTF-8 is replaced.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn text(self) -> Result<String, ClientError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The rest of the body as JSON.
    ///
    /// # Errors
    /// Where it breaks off, or is no JSON.
    pub async fn json(self) -> Result<serde_json::Value, ClientError> {
        serde_json::from_slice(&self.bytes().await?).map_err(ClientError::new)
    }

    /// The digest and the length of the rest of the body, which isn't kept.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn digest_and_length(mut self) -> Result<(String, u64), ClientError> {
        let (mut sink, mut length) = (DigestSink::default(), 0);
        while let Some(chunk) = self.chunk().await? {
            sink.update(&chunk);
            length += chunk.len() as u64;
        }
        Ok((sink.finish(), length))
    }

    /// The digest of the rest of the body, which isn't kept.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn digest(self) -> Result<String, ClientError> {
        Ok(self.digest_and_length().await?.0)
    }
}

impl ClientError {
    fn new(error: impl Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        Self(text)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ClientError {}
