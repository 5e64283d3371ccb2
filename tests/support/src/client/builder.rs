//! How a client is set up.

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

use crate::client::Client;
use crate::pki::Leaf;
use crate::pki::Pki;

/// A client that isn't built yet.
#[derive(Debug)]
pub struct ClientBuilder {
    tls: ClientConfig,
    h2: bool,
    h1: bool,
    keep: bool,
}

impl ClientBuilder {
    pub(super) fn new(tls: ClientConfig) -> Self {
        Self {
            tls,
            h2: false,
            h1: false,
            keep: true,
        }
    }

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
