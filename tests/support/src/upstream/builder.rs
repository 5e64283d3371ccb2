//! How a scripted registry is set up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;
use crate::port::ReservedPort;
use crate::server::Server;
use crate::token::TokenServer;
use crate::upstream::Quay;
use crate::upstream::Registry;
use crate::upstream::Upstream;
use crate::upstream::auth::Auth;
use crate::upstream::repositories::Repositories;

/// A registry that doesn't run yet.
pub struct UpstreamBuilder {
    auth: Auth,
    tls: Option<TlsAcceptor>,
    strict_accept: bool,
    referrers: bool,
    quay: Option<Quay>,
}

impl UpstreamBuilder {
    pub(super) fn new() -> Self {
        Self {
            auth: Auth::Open,
            tls: None,
            strict_accept: false,
            referrers: true,
            quay: None,
        }
    }

    /// Over TLS with ALPN `h2` and `http/1.1`, with a certificate for 127.0.0.1 and localhost.
    pub fn tls(self, pki: &Pki) -> Self {
        self.tls_with(pki, &["h2", "http/1.1"])
    }

    /// Over TLS with these protocols in ALPN; none: no ALPN at all.
    pub fn tls_with(mut self, pki: &Pki, alpn: &[&str]) -> Self {
        self.tls = Some(Arc::new(pki.server(&[]).server_config(alpn)).into());
        self
    }

    /// Lets nobody in without `user` and `password`, by `Basic`. May be said several times.
    pub fn basic(mut self, user: &str, password: &str) -> Self {
        let mut users = match self.auth {
            Auth::Basic(users) => users,
            Auth::Open | Auth::Bearer(..) => HashMap::new(),
        };
        users.insert(user.to_owned(), password.to_owned());
        self.auth = Auth::Basic(users);
        self
    }

    /// Lets nobody in without a token of `tokens`, not even to `/v2/`.
    pub fn bearer(mut self, tokens: &TokenServer) -> Self {
        self.auth = Auth::Bearer(tokens.issuer(), tokens.realm());
        self
    }

    /// Answers a manifest only in a media type that `Accept` lists, as CNCF Distribution 2.8 does:
    /// an index that isn't listed becomes its linux/amd64 manifest, anything else a 404. Without
    /// this, `Accept` is overlooked.
    pub fn honour_accept(mut self) -> Self {
        self.strict_accept = true;
        self
    }

    /// Has no referrers API: 404.
    pub fn without_referrers(mut self) -> Self {
        self.referrers = false;
        self
    }

    /// Has Quay's own API as well, which tells what `quay` does: it does not know what the registry
    /// holds.
    pub fn quay(mut self, quay: &Quay) -> Self {
        self.quay = Some(quay.clone());
        self
    }

    /// Starts answering, on a port of its own.
    pub async fn start(self) -> Upstream {
        let registry = Arc::new(Registry {
            repositories: Repositories::default(),
            auth: Mutex::new(self.auth),
            strict_accept: self.strict_accept,
            referrers: self.referrers,
            quay: self.quay,
        });
        let server = Server::start(ReservedPort::new(), self.tls, registry.clone());
        Upstream { server, registry }
    }
}
