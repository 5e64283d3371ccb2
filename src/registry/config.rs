use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Rate;
use super::Secret;
use crate::ledger::Leg;
use crate::oci::UpstreamName;

/// How to talk to one registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What clients call it.
    pub name: UpstreamName,
    /// What it is to us: `Upstream`, or `Target` where we mirror into it. Its exchanges are of this
    /// leg.
    pub leg: Leg,
    /// Where it is: scheme, host, port, and a path prefix where it has one.
    pub url: Url,
    /// Where else the same content is: asked in turn when `url` can't be reached, fails (5xx) or
    /// has had too many requests (429).
    pub fallback: Vec<Url>,
    /// As whom to ask.
    pub credentials: Credentials,
    /// A PEM file of further certificate authorities to trust.
    pub ca: Option<PathBuf>,
    /// Whether an `http:` URL is allowed. (One that is not allowed is an error of `Registry::new`.)
    pub plain_http: bool,
    /// Whether a redirect or a challenge may lead to a loopback, link-local, private or otherwise
    /// not public address. Without it only to such of a kind that the registry itself is at.
    pub allow_private: bool,
    /// The most exchanges at a time, bodies included; `None` for no limit.
    pub max_concurrent: Option<usize>,
    /// The most requests, of all actions together; `None` for no limit but the registry's own.
    pub rate: Option<Rate>,
    /// The most ranges of one large blob at a time; `None` for what registries of its family are
    /// asked for ([`Habits::ranges`](super::Habits::ranges)).
    pub parallel_ranges: Option<usize>,
    /// The most bytes of bodies a second, down and up together; `None` for no limit.
    pub bandwidth: Option<NonZeroU64>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
}

/// How long to wait. None of these bounds a whole transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeouts {
    /// For a connection, TLS handshake included.
    pub connect: Duration,
    /// For the response's header, from the request's end.
    pub header: Duration,
    /// For the next bytes of a body.
    pub idle_body: Duration,
}

/// How often to try. Backoff is exponential with full jitter.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// Attempts at one request, the first one included.
    pub attempts: usize,
    /// The first pause.
    pub base: Duration,
    /// The longest pause; a `Retry-After` beyond it is not waited for, but reported.
    pub cap: Duration,
}

/// As whom to ask a registry.
#[derive(Clone, Debug, PartialEq)]
pub enum Credentials {
    /// From docker's `config.json` (and its helpers) where it has an entry, else as nobody.
    DockerConfig,
    /// As nobody.
    Anonymous,
    /// As the client that asks, with what it sent as `Authorization`: see
    /// [`Registry::acting_for`](super::Registry::acting_for). Without a client, as nobody.
    Passthrough,
    /// With a user name and a password, or an access token in its place.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// With a bearer token, sent as it is.
    Token(Secret),
    /// From a docker credential helper: `docker-credential-<name>`.
    Helper(String),
    /// From a file that holds `username:password`; read again when it changes.
    File(PathBuf),
}
