//! A small HTTP client for tests: what is asked is what is sent, and nothing is followed, decoded
//! or retried.

mod builder;
mod reply;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Method;
use http::Request;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;

use crate::pki::Pki;

pub use builder::ClientBuilder;
pub use reply::Reply;

/// How long a client waits for a header, and for each next part of a body. A test that waits for
/// nothing fails, and doesn't hang.
const LIMIT: Duration = Duration::from_secs(60);

/// An HTTP client with connections of its own. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A request that isn't sent yet.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    request: Request<Full<Bytes>>,
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
        ClientBuilder::new(tls)
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
    /// Where no connection could be made, it ended before the header came, or nothing came for a
    /// minute.
    pub async fn send(self) -> Result<Reply, ClientError> {
        let response = in_time(self.client.0.request(self.request)).await?;
        Ok(Reply::new(response))
    }
}

/// What `work` gives, unless it takes more than [`LIMIT`].
async fn in_time<T, E: Error>(work: impl Future<Output = Result<T, E>>) -> Result<T, ClientError> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(done) => done.map_err(ClientError::new),
        Err(_) => Err(ClientError(format!("nothing came for {LIMIT:?}"))),
    }
}

/// The `Authorization` header's value for a user and a password (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
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
