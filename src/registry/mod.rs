//! A client for one remote registry: challenge, token, retry, redirect, timeouts.
//!
//! A call goes down these rooms: [`Registry`] tries the places that the content is at, `endpoint`
//! makes one attempt there, signed in by `auth`, `redirect` follows to where the bytes are, and
//! `wire` makes the exchange, which leaves one receipt. `retry` decides whether there is another
//! attempt. `window` knows which actions a registry has had too much of (by its `family`), and nothing
//! of them leaves meanwhile; `guard` knows where a registry may lead us. Dropping any future here ends what it was doing and leaves nothing locked; a token
//! that others may wait for is still fetched.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::Action;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Reason;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;

mod access;
mod action;
mod address;
mod allowance;
mod answer;
mod auth;
mod bandwidth;
mod body;
mod bucket;
mod cause;
mod challenge;
mod config;
mod content;
mod credential;
mod detached;
mod distance;
mod endpoint;
mod error;
mod family;
mod fault;
mod found;
mod guard;
mod habits;
mod pace;
mod project;
pub mod quay;
mod quota;
mod redirect;
mod refusal;
mod resolver;
mod retry;
mod secret;
mod sending;
mod sent;
mod switch;
#[cfg(test)]
mod tests;
mod token;
mod transport;
mod upload;
mod way;
mod window;
mod wire;

pub use address::is_public;
pub use answer::{FetchedBlob, FetchedManifest, Listing, ManifestHead};
pub use body::Body;
pub use config::{Config, Credentials, Retries, Timeouts};
pub use content::Content;
pub use error::Error;
pub use found::Found;
pub use habits::{Creation, Habits, Mounts};
pub use pace::{Priority, Rate};
pub use quota::Quota;
pub use secret::Secret;
pub use switch::Reading;
pub use upload::{MountFrom, NewManifest, PutManifest, Session, Started};
pub use window::Limit;

use action::Call;
use allowance::Allowance;
use endpoint::Answer;
use endpoint::Endpoint;
use wire::Outside;

/// One remote registry. Share it as an `Arc`.
pub struct Registry {
    config: Config,
    /// The main one, then the fallbacks in their order.
    endpoints: Vec<Arc<Endpoint>>,
    /// Whether any of them may give what is asked, not the first one above all.
    turned: bool,
    allowance: Arc<Allowance>,
    retried: Arc<AtomicU64>,
    pace: Priority,
    /// Whether nothing may leave.
    is_shut: bool,
}

impl Registry {
    /// A client that has not connected yet.
    ///
    /// # Errors
    /// When the CA file can't be read, or a URL is plain HTTP where that is not allowed.
    pub fn new(config: Config, ledger: Ledger) -> Result<Self, Error> {
        let allowance = Allowance::new(&config);
        let outside = Outside {
            ledger,
            lookup: resolver::system(),
            retried: Arc::default(),
            allowance,
            known: Vec::new(),
        };
        Self::outside(config, &outside)
    }

    /// As [`Registry::new`], in the place of `before`: what that one has counted, and what it still
    /// counts for those who have it, counts here too. What it has learned of limits is known here
    /// where the place and the credentials are the same; then both share them, as the new
    /// configuration has it.
    ///
    /// # Errors
    /// As [`Registry::new`]'s.
    pub fn succeeding(before: &Self, config: Config, ledger: Ledger) -> Result<Self, Error> {
        let is_same = before.config.credentials == config.credentials;
        let known = before.endpoints.iter().filter(|_| is_same);
        let outside = Outside {
            ledger,
            lookup: resolver::system(),
            retried: before.retried.clone(),
            known: known.map(|it| it.windows().clone()).collect(),
            allowance: match is_same {
                true => before.allowance.clone(),
                false => Allowance::new(&config),
            },
        };
        outside.allowance.set(&config);
        Self::outside(config, &outside)
    }

    fn outside(config: Config, outside: &Outside) -> Result<Self, Error> {
        let credentials = config.credentials.clone();
        let main = Endpoint::new(&config, &config.url, credentials, outside)?;
        let mut endpoints = vec![Arc::new(main)];
        for base in &config.fallback {
            // What was configured for one host is not told to another.
            let credentials = match config.credentials {
                Credentials::DockerConfig => Credentials::DockerConfig,
                _ => Credentials::Anonymous,
            };
            let fallback = Endpoint::new(&config, base, credentials, outside)?;
            endpoints.push(Arc::new(fallback));
        }
        Ok(Self {
            config,
            endpoints,
            turned: false,
            allowance: outside.allowance.clone(),
            retried: outside.retried.clone(),
            pace: Priority::Foreground,
            is_shut: false,
        })
    }

    /// How it was configured.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// This registry as one client sees it: the same connections and limits, but signed in with
    /// what the client sent as `Authorization`, and nothing else. Its challenges come back in
    /// [`Error::Refused`]. Fallbacks are other hosts, which the client did not mean: none is asked.
    ///
    /// # Errors
    /// `Config` where `authorization` can't stand in a header.
    pub fn acting_for(&self, authorization: Option<&Secret>) -> Result<Self, Error> {
        let main = self.endpoints.first();
        let main = main.map(|main| main.relay(authorization)).transpose()?;
        Ok(Self {
            config: self.config.clone(),
            endpoints: main.into_iter().map(Arc::new).collect(),
            turned: false,
            allowance: self.allowance.clone(),
            retried: self.retried.clone(),
            pace: self.pace,
            is_shut: self.is_shut,
        })
    }

    /// What registries of its family do that others don't.
    pub fn habits(&self) -> Habits {
        family::Family::of(self.config.url.host_str().unwrap_or_default()).habits()
    }

    /// How many ranges of one large blob may be asked for at a time: 1 for none beside the first
    /// request.
    pub fn parallel_ranges(&self) -> usize {
        let configured = self.config.parallel_ranges;
        configured.unwrap_or_else(|| self.habits().ranges)
    }

    /// What is known of its limits: those of the main endpoint, then of each fallback, by name.
    pub fn limits(&self) -> Vec<Limit> {
        let endpoints = self.endpoints.iter();
        endpoints.flat_map(|it| it.windows().limits()).collect()
    }

    /// Whether work that nobody waits for may send requests of `action` to the main endpoint: its
    /// window is not paused, and has a fifth of its quota left, as far as the registry tells.
    pub fn has_spare(&self, action: Action) -> bool {
        let main = self.endpoints.first();
        main.is_some_and(|main| main.windows().has_spare(action))
    }

    /// This registry, asked first at its place number `by`: for the rest of a blob that the first
    /// one has begun to give, and does not finish. The place after the last one is the first.
    pub fn turned(&self, by: usize) -> Self {
        let mut endpoints = self.endpoints.clone();
        let by = by % endpoints.len().max(1);
        endpoints.rotate_left(by);
        Self {
            config: self.config.clone(),
            endpoints,
            turned: true,
            allowance: self.allowance.clone(),
            retried: self.retried.clone(),
            pace: self.pace,
            is_shut: self.is_shut,
        }
    }

    /// This registry, with the same connections, windows and tokens, whose requests are of
    /// `priority`.
    pub fn at_pace(&self, priority: Priority) -> Self {
        Self {
            config: self.config.clone(),
            endpoints: self.endpoints.clone(),
            turned: self.turned,
            allowance: self.allowance.clone(),
            retried: self.retried.clone(),
            pace: priority,
            is_shut: self.is_shut,
        }
    }

    /// This registry as one that is never asked: every request fails as if it were out, and none
    /// leaves.
    pub fn shut(&self) -> Self {
        Self {
            is_shut: true,
            ..self.at_pace(self.pace)
        }
    }

    /// Whether it is never asked.
    pub fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Whether requests that somebody waits for are in flight or waiting to leave, or were within
    /// the last second: background work shrinks meanwhile.
    pub fn is_busy(&self) -> bool {
        self.endpoints.iter().any(|it| it.windows().is_busy())
    }

    /// How many places there are to ask: the main one and the fallbacks.
    pub fn places(&self) -> usize {
        self.endpoints.len()
    }

    /// How many attempts were made again, at whatever request, since this client was made, or the
    /// first of those that it is in the place of.
    pub fn retries(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// `GET /v2/`, signed in where the registry asks for it.
    pub async fn ping(&self, flow: FlowId) -> Result<(), Error> {
        let (_, mut gathered) = self.ask(&Call::ping(flow)).await?.gathered();
        gathered.unspent.spend_all(Fate::Discarded(Reason::Control));
        Ok(())
    }

    /// `HEAD /v2/<name>/manifests/<reference>`, with `accept` as `Accept` (none where empty).
    pub async fn manifest_head(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Result<ManifestHead, Error> {
        let call = Call::manifest_head(flow, name, reference, accept);
        ManifestHead::of(&self.ask(&call).await?, reference)
    }

    /// `GET /v2/<name>/manifests/<reference>`; at most 8 MiB of it. What came is checked against
    /// its own `Docker-Content-Digest` and against the digest that was asked for.
    pub async fn manifest_get(
        &self,
        flow: FlowId,
        name: &Name,
        reference: &Reference,
        accept: &str,
    ) -> Result<FetchedManifest, Error> {
        let call = Call::manifest_get(flow, name, reference, accept);
        FetchedManifest::of(self.ask(&call).await?, reference)
    }

    /// `HEAD /v2/<name>/blobs/<digest>`: its size, where the registry said it.
    pub async fn blob_head(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<u64>, Error> {
        let call = Call::blob_head(flow, name, digest);
        Ok(answer::length(&self.ask(&call).await?.headers))
    }

    /// `GET /v2/<name>/blobs/<digest>`, redirects followed; with `Range: bytes=start-(end-1)` for
    /// a range, open-ended where its end is `u64::MAX`. Only the header is awaited and retried.
    pub async fn blob_get(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<FetchedBlob, Error> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return Err(Error::Unsatisfiable);
        }
        let call = Call::blob_get(flow, name, digest, range.as_ref());
        let (answer, at) = self.ask_of(&call).await?;
        FetchedBlob::of((answer, at), range.as_ref())
    }

    /// `GET /v2/<name>/tags/list?<query>`.
    pub async fn tag_list(&self, flow: FlowId, name: &Name, query: &str) -> Result<Listing, Error> {
        self.ask(&Call::tag_list(flow, name, query))
            .await
            .map(Listing::of)
    }

    /// `GET /v2/<name>/referrers/<digest>?<query>`.
    pub async fn referrers(
        &self,
        flow: FlowId,
        name: &Name,
        digest: &Digest,
        query: &str,
    ) -> Result<Listing, Error> {
        self.ask(&Call::referrers(flow, name, digest, query))
            .await
            .map(Listing::of)
    }

    /// `GET /v2/_catalog?<query>`.
    pub async fn catalog(&self, flow: FlowId, query: &str) -> Result<Listing, Error> {
        self.ask(&Call::catalog(flow, query)).await.map(Listing::of)
    }

    /// Asks the main endpoint, and the fallbacks where it is down or has had too much. A fallback may lack what the
    /// main one has, so only its success counts.
    async fn ask(&self, call: &Call) -> Result<Answer, Error> {
        self.ask_of(call).await.map(|(answer, _)| answer)
    }

    /// As [`Registry::ask`]; with who answered.
    async fn ask_of(&self, call: &Call) -> Result<(Answer, &Arc<Endpoint>), Error> {
        let mut first = None;
        for endpoint in &self.endpoints {
            match (self.attempts(endpoint, call).await, &first) {
                (Ok(answer), _) => return Ok((answer, endpoint)),
                (Err(error), None) if !self.turned && !is_down(&error) => return Err(error),
                (Err(error), None) => first = Some(error),
                (Err(error), Some(_)) => {
                    let host = wire::host_of(&endpoint.base);
                    tracing::debug!("the fallback {host} did not help: {error}");
                }
            }
        }
        Err(first.unwrap_or_else(|| Error::Config("no URL is configured".into())))
    }

    async fn attempts(&self, endpoint: &Endpoint, call: &Call) -> Result<Answer, Error> {
        if self.is_shut {
            return Err(Error::Unreachable("is not asked: this is offline".into()));
        }
        let attempt = || endpoint.attempt(call, self.pace);
        // In a box: else each of the many tasks that may ask has room for a whole exchange.
        Box::pin(endpoint.policy().run(self.pace, attempt)).await
    }
}

/// Whether another place may be better off.
fn is_down(error: &Error) -> bool {
    match error {
        Error::Unreachable(_) | Error::TimedOut(_) | Error::Throttled { .. } => true,
        Error::Status { status, .. } => *status >= 500,
        _ => false,
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod fuzz;
