//! A token server: gives out the tokens that a registry in `Bearer` mode asks for.

mod clock;
mod endpoint;
pub(crate) mod issuer;
mod jwt;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;

use crate::pki::Pki;
use crate::port::ReservedPort;
use crate::server::Server;
use crate::token::endpoint::Endpoint;
use crate::token::endpoint::Shape;
use crate::token::issuer::Grant;
use crate::token::issuer::Issuer;
use crate::token::issuer::State;
use crate::token::issuer::User;
use crate::token::jwt::Signer;

/// The `iss` of signed tokens: `issuer` in a docker-registry's configuration.
pub(crate) const ISSUER: &str = "fake-registry";

/// A token server on a port of its own. Its requests are recorded and faults can be committed on
/// them, as on any [`Server`]. It stops when it is dropped.
pub struct TokenServer {
    server: Server,
    issuer: Arc<Issuer>,
    signing: Option<Pki>,
}

/// A token server that doesn't run yet.
pub struct TokenServerBuilder {
    state: State,
    service: String,
    shape: Shape,
    tls: Option<TlsAcceptor>,
    signing: Option<Pki>,
}

impl TokenServer {
    /// Opaque tokens that an [`crate::Upstream`] checks; they live 300 s; nobody may do anything.
    pub fn builder() -> TokenServerBuilder {
        TokenServerBuilder {
            state: State::new(Duration::from_secs(300)),
            service: "registry.test".to_owned(),
            shape: Shape {
                token: true,
                access_token: true,
                expiry: true,
            },
            tls: None,
            signing: None,
        }
    }

    /// As [`TokenServer::builder`], but the tokens are JWTs (ES256) that the real docker-registry
    /// takes when it is told [`TokenServer::root_cert_bundle`].
    pub fn for_docker_registry() -> TokenServerBuilder {
        TokenServerBuilder {
            signing: Some(Pki::new()),
            ..Self::builder()
        }
    }

    /// The token endpoint's URL.
    pub fn realm(&self) -> String {
        format!("{}/token", self.server.url())
    }

    /// The service's name in challenges and tokens.
    pub fn service(&self) -> &str {
        self.issuer.service()
    }

    /// The `iss` of signed tokens.
    pub fn issuer_name(&self) -> &'static str {
        ISSUER
    }

    /// The certificates that signed tokens are rooted in, as a PEM file.
    ///
    /// # Panics
    /// Unless it was built by [`TokenServer::for_docker_registry`].
    pub fn root_cert_bundle(&self) -> PathBuf {
        self.signing
            .as_ref()
            .expect("tokens that are signed")
            .ca_file()
    }

    /// A token, without a request: for `user` (none: anonymous) with as much of `scopes`
    /// (`repository:<name>:<actions>`) as is granted.
    pub fn token_for(&self, user: Option<&str>, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(ToString::to_string).collect();
        self.issuer.issue(user, &scopes).token
    }

    /// How many tokens were given out.
    pub fn issued(&self) -> usize {
        self.issuer.state(|state| state.issued())
    }

    /// How long tokens live that are given out from now on.
    pub fn set_expires_in(&self, lifetime: Duration) {
        self.issuer.state(|state| state.expires_in = lifetime);
    }

    /// Makes all tokens invalid that an [`crate::Upstream`] would take. (A real docker-registry
    /// can't be told.)
    pub fn revoke_tokens(&self) {
        self.issuer.state(|state| state.revoke(false));
    }

    /// As [`TokenServer::revoke_tokens`], and refresh tokens too.
    pub fn revoke_all(&self) {
        self.issuer.state(|state| state.revoke(true));
    }

    /// Sets or changes a user, as [`TokenServerBuilder::user`] does.
    pub fn set_user(&self, name: &str, password: &str, grants: &[&str]) {
        let user = user(password, grants);
        self.issuer
            .state(|state| state.users.insert(name.to_owned(), user));
    }

    pub(crate) fn issuer(&self) -> Arc<Issuer> {
        self.issuer.clone()
    }
}

impl Deref for TokenServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl TokenServerBuilder {
    /// A user, and what the user may do: each grant is `<repository>[:<action>,...]`, where the
    /// repository may end in `*`, and the action is `pull` unless given. `"*:*"`: everything.
    pub fn user(mut self, name: &str, password: &str, grants: &[&str]) -> Self {
        self.state
            .users
            .insert(name.to_owned(), user(password, grants));
        self
    }

    /// What everybody may do, without credentials too.
    pub fn anonymous(mut self, grants: &[&str]) -> Self {
        self.state.anonymous = grants.iter().map(|grant| Grant::parse(grant)).collect();
        self
    }

    /// How long tokens live, in whole seconds as far as the client is told.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.state.expires_in = lifetime;
        self
    }

    /// The service's name (default `registry.test`). Requests for another one get a 400.
    pub fn service(mut self, service: &str) -> Self {
        self.service = service.to_owned();
        self
    }

    /// Gives the token as `token` alone, as old servers do.
    pub fn only_token_field(mut self) -> Self {
        self.shape.access_token = false;
        self
    }

    /// Gives the token as `access_token` alone, as some servers do.
    pub fn only_access_token_field(mut self) -> Self {
        self.shape.token = false;
        self
    }

    /// Doesn't say how long tokens live: 60 s, by the spec.
    pub fn without_expiry(mut self) -> Self {
        self.shape.expiry = false;
        self
    }

    /// Over TLS, with a certificate for 127.0.0.1 and localhost.
    pub fn tls(mut self, pki: &Pki) -> Self {
        self.tls = Some(Arc::new(pki.server(&[]).server_config(&["h2", "http/1.1"])).into());
        self
    }

    /// Starts answering, on a port of its own.
    pub async fn start(self) -> TokenServer {
        let signer = self
            .signing
            .as_ref()
            .map(|pki| Signer::new(&pki.server(&[])));
        let issuer = Arc::new(Issuer::new(self.service, signer, self.state));
        let endpoint = Arc::new(Endpoint {
            issuer: issuer.clone(),
            shape: self.shape,
        });
        let server = Server::start(ReservedPort::new(), self.tls, endpoint);
        TokenServer {
            server,
            issuer,
            signing: self.signing,
        }
    }
}

fn user(password: &str, grants: &[&str]) -> User {
    let grants = grants.iter().map(|grant| Grant::parse(grant)).collect();
    User {
        password: password.to_owned(),
        grants,
    }
}
