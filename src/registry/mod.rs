//! A client for one remote registry: challenge, token, retry, redirect, timeouts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use url::Url;

use crate::ledger::Ledger;
use crate::oci::Digest;
use crate::oci::UpstreamName;

mod action;
mod body;
mod challenge;
mod credential;
mod error;
mod exchange;
mod retry;
mod token;
mod transport;

pub use body::Body;
pub use error::Error;

use exchange::Wire;
use retry::Budget;
use token::SignIn;

/// How to talk to one registry.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What clients call it.
    pub name: UpstreamName,
    /// Where it is: scheme, host, port, and a path prefix where it has one.
    pub url: Url,
    /// Where else the same content is: asked in turn when `url` can't be reached or fails (5xx).
    pub fallback: Vec<Url>,
    /// As whom to ask.
    pub credentials: Credentials,
    /// A PEM file of further certificate authorities to trust.
    pub ca: Option<PathBuf>,
    /// Whether an `http:` URL is allowed. (One that is not allowed is an error of `Registry::new`.)
    pub plain_http: bool,
    /// The most exchanges at a time, bodies included; `None` for no limit.
    pub max_concurrent: Option<usize>,
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

/// A string that no `Debug` or `Display` prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the wire.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a `HEAD` of a manifest said.
#[derive(Clone, Debug)]
pub struct ManifestHead {
    /// `Content-Type`, where there was one.
    pub media_type: Option<Arc<str>>,
    /// `Docker-Content-Digest`, where there was one.
    pub digest: Option<Digest>,
    /// `Content-Length`, where there was one.
    pub size: Option<u64>,
}

/// A manifest as it came.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// `Content-Type`, else [`crate::oci::media::of_manifest`].
    pub media_type: Arc<str>,
    /// The digest of `bytes`; equal to the one asked for, where it was asked for by digest.
    pub digest: Digest,
    /// Byte for byte.
    pub bytes: Bytes,
}

/// A blob, or a part of one, that is about to come.
#[derive(Debug)]
pub struct FetchedBlob {
    /// Where `body` starts within the blob, in bytes: 0 where the registry ignored the range.
    pub offset: u64,
    /// Whether the registry honoured the range, with a 206.
    pub partial: bool,
    /// The whole blob's size, in bytes, where the registry said it.
    pub total: Option<u64>,
    /// The bytes, as they come.
    pub body: Body,
}

/// A list of tags or referrers, passed on as it is.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The JSON.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub media_type: Arc<str>,
    /// The query of the next page, from `Link; rel="next"`, without the question mark.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters: Option<String>,
}

/// One remote registry. Share it as an `Arc`.
#[derive(Debug)]
pub struct Registry {
    config: Config,
    wire: Wire,
    sign_in: SignIn,
    budget: Budget,
    permits: Option<Arc<Semaphore>>,
}

impl Registry {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// When the CA file can't be read, or the URL is plain HTTP where that is not allowed.
    pub fn new(config: Config, ledger: Ledger) -> Result<Self, Error> {
        for url in std::iter::once(&config.url).chain(&config.fallback) {
            if url.scheme() == "http" && !config.plain_http {
                return Err(Error::Config(format!(
                    "upstream {}: {url} is plain HTTP; allow it with plain_http = true",
                    config.name
                )));
            }
        }
        let wire = Wire {
            transport: transport::build(&config)?,
            timeouts: config.timeouts.clone(),
            ledger,
            registry: config.name.as_str().into(),
        };
        let permits = config
            .max_concurrent
            .map(|most| Arc::new(Semaphore::new(most)));
        Ok(Self {
            config,
            wire,
            sign_in: SignIn::default(),
            budget: Budget::default(),
            permits,
        })
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }
}
