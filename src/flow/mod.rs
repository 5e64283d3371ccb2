//! The flow of a pull: an [`Ask`] goes in, a [`Served`] comes out.
//!
//! `freshness` turns a tag into a digest; what the store has is served from it; for the rest
//! there is one `Fill` a digest, a task of its own, and every client is a `Tail` on the growing
//! file: there is no leader whose leaving could hurt the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::ledger::FlowId;
use crate::ledger::Origin;
use crate::oci::UpstreamName;
use crate::store::Store;
use crate::target::Targets;

mod access;
mod ask;
mod askers;
mod bandwidth;
mod blob;
mod breaker;
mod buffer;
mod bypass;
mod call;
mod coalesce;
mod coverage;
mod delivery;
mod discover;
mod error;
mod fan_out;
mod fill;
mod flight;
mod freshness;
mod growing;
mod image;
mod known;
mod listing;
mod manifest;
mod mirrors;
mod offline;
mod origins;
mod parallel;
mod passed;
mod quay;
mod segment;
mod served;
mod supplier;
mod supply;
mod tail;
mod turns;
mod upstream;
mod warm;

pub use ask::{Accept, Ask, ByteRange, Caller, Want};
pub use bandwidth::{Bandwidth, Limited};
pub use discover::{Referrers, ReferrersBy};
pub use error::Error;
pub use passed::Passed;
pub use served::{Body, Listing, Served};
pub use tail::{Piece, Span, Tail};
pub use upstream::{Upstream, UpstreamState};
pub use warm::{Kept, Resolved};

use access::Who;
use blob::BlobAsk;
use blob::Blobs;
use call::Call;
use call::Purpose;
use fan_out::FanOut;
use flight::Flights;
use freshness::Tags;
use listing::ListKey;
use listing::Lists;
use manifest::Manifests;
use mirrors::Mirrors;
use offline::Subjects;
use origins::Origins;
use upstream::Route;

/// What holds for all upstreams.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long a 404 is remembered.
    pub negative_ttl: Duration,
    /// What becomes of a fill whose last client left.
    pub on_disconnect: OnDisconnect,
    /// Whether some clients may pull less than others: then nothing is opened to a repository's
    /// clients but what its upstream gives through that repository, prefetched or not.
    pub has_access_rules: bool,
}

/// What becomes of a fill whose last client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It goes on, for the next client.
    Finish,
    /// It ends, and what it fetched is dropped.
    Abort,
}

/// The engine. Share it as an `Arc`.
#[derive(Debug)]
pub struct PullThrough {
    settings: ArcSwap<Settings>,
    store: Arc<Store>,
    flights: Arc<Flights>,
    manifests: Manifests,
    tags: Tags,
    blobs: Blobs,
    lists: Lists,
    fan_out: Arc<FanOut>,
    subjects: Subjects,
}

#[derive(Debug)]
struct Settings {
    config: Config,
    routes: Routes,
}

impl PullThrough {
    /// An engine over `store` and `upstreams`. Nothing is dialled before it is asked for.
    pub fn new(config: Config, store: Arc<Store>, upstreams: Vec<Upstream>) -> Self {
        Self::over(config, store, (upstreams, None))
    }

    /// An engine that tells `targets` what is pulled, and serves from those that are read from.
    /// [`PullThrough::supply`] is what they are to be started with.
    pub fn mirroring(
        config: Config,
        store: Arc<Store>,
        upstreams: Vec<Upstream>,
        targets: Arc<Targets>,
    ) -> Self {
        Self::over(config, store, (upstreams, Some(targets)))
    }

    fn over(
        config: Config,
        store: Arc<Store>,
        (upstreams, targets): (Vec<Upstream>, Option<Arc<Targets>>),
    ) -> Self {
        let flights = Arc::<Flights>::default();
        let memory = manifest::memory();
        let mirrors = Arc::new(Mirrors::new(targets.clone(), memory.clone()));
        let fan_out = Arc::new(FanOut::new(targets));
        let manifests = Manifests::new(store.clone(), mirrors.clone(), memory);
        Self {
            settings: ArcSwap::from_pointee(Settings::new(config, upstreams, &HashMap::new())),
            tags: Tags::new(store.clone(), manifests.clone(), mirrors.clone()),
            blobs: Blobs {
                store: store.clone(),
                flights: flights.clone(),
                mirrors,
                fan_out: fan_out.clone(),
                origins: Origins::default(),
            },
            fan_out,
            lists: Lists::new(store.clone()),
            subjects: Subjects::default(),
            manifests,
            flights,
            store,
        }
    }

    /// Takes over a new configuration; flows that are under way finish with the old one, and count
    /// with those of the new one.
    pub fn reconfigure(&self, config: Config, upstreams: Vec<Upstream>) {
        let before = self.settings.load();
        let settings = Settings::new(config, upstreams, &before.routes);
        self.settings.store(Arc::new(settings));
    }

    /// Whether `name` is a configured upstream.
    pub fn knows(&self, name: &UpstreamName) -> bool {
        self.settings.load().routes.contains_key(name)
    }

    /// How the upstreams do, sorted by name.
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        let settings = self.settings.load();
        let mut states: Vec<_> = settings.routes.values().map(|it| it.state()).collect();
        states.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        states
    }

    /// How many fills are under way.
    pub fn fills(&self) -> usize {
        self.flights.count()
    }

    /// How many wait for, or read, what these fills fetch.
    pub fn followers(&self) -> usize {
        self.flights.followers()
    }

    /// Holds what is fetched for `flow` to a bandwidth, which flows may share.
    pub fn hold_to(&self, bandwidth: &Arc<Bandwidth>, flow: FlowId) -> Limited {
        self.flights.limits.hold(flow, bandwidth)
    }

    /// Waits until no fill is under way: for a shutdown that wants nothing half done.
    pub async fn settled(&self) {
        self.flights.all_landed().await;
    }

    /// A manifest or a blob. Once this returns, the answer's header can be sent. Dropping the
    /// future, or what it returned, takes nothing away from anybody else.
    ///
    /// # Errors
    /// When it is neither held nor given by the upstream; see [`Error`].
    pub async fn serve(&self, ask: Ask) -> Result<Served, Error> {
        let (call, config) = self.call(&ask)?;
        let served = self.serve_for(&call, ask, config.on_disconnect).await;
        served.inspect_err(|error| call.settle(error))
    }

    async fn serve_for(
        &self,
        call: &Call,
        ask: Ask,
        on_disconnect: OnDisconnect,
    ) -> Result<Served, Error> {
        let brought = self.admit(call, &ask.want, ask.head).await?;
        let served = match ask.want {
            Want::Manifest { reference, .. } => self.manifest(call, reference, ask.head).await,
            Want::Blob { digest, range } => {
                let ask = BlobAsk {
                    digest,
                    range,
                    head: ask.head,
                    on_disconnect,
                };
                self.blobs.serve(call, &ask).await
            }
            Want::Tags { .. } | Want::Referrers { .. } => {
                Err(Error::GivenUp("a list was asked for as content"))
            }
        }?;
        Ok(match brought {
            Some(origin) if served.origin == Origin::Hit => Served {
                origin,
                age: None,
                ..served
            },
            _ => served,
        })
    }

    /// A list of tags or referrers.
    ///
    /// # Errors
    /// When the upstream doesn't give it and nothing is remembered; see [`Error`].
    pub async fn list(&self, ask: Ask) -> Result<Listing, Error> {
        let (call, _) = self.call(&ask)?;
        let (subject, query) = match ask.want {
            Want::Tags { query } => (None, query),
            Want::Referrers { digest, query } => (Some(digest), query),
            Want::Manifest { .. } | Want::Blob { .. } => {
                return Err(Error::GivenUp("content was asked for as a list"));
            }
        };
        let repository = call.repository.clone();
        self.lists
            .get(
                &call,
                ListKey {
                    repository,
                    subject,
                    query,
                },
            )
            .await
    }

    /// All that is mirrored: `<upstream>/<name>`, sorted as bytes. Without the repositories of
    /// upstreams where the clients' own credentials decide: nobody here can tell who may know them.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn catalog(&self) -> Result<Vec<String>, Error> {
        let mut all = Vec::new();
        for (upstream, route) in &self.settings.load_full().routes {
            if route.access.is_some() {
                continue;
            }
            let names = self.store.repositories(upstream).await?;
            all.extend(names.iter().map(|name| format!("{upstream}/{name}")));
        }
        all.sort_unstable();
        Ok(all)
    }

    fn route(&self, upstream: &UpstreamName) -> Result<Arc<Route>, Error> {
        let route = self.settings.load().routes.get(upstream).cloned();
        route.ok_or_else(|| Error::UnknownUpstream(upstream.to_string()))
    }

    fn call(&self, ask: &Ask) -> Result<(Call, Config), Error> {
        let settings = self.settings.load();
        let route = &self.route(&ask.repository.upstream)?;
        if !route.upstream.names.passes(ask.repository.name.as_str()) {
            return Err(Error::Denied(ask.repository.clone()));
        }
        let (registry, who) = match route.access {
            Some(_) => {
                let acting = route
                    .registry()
                    .acting_for(ask.caller.authorization.as_ref());
                let acting = acting.map_err(|error| Error::Upstream {
                    repository: ask.repository.clone(),
                    error,
                })?;
                (Arc::new(acting), Some(Who::of(&ask.caller)))
            }
            None => (route.registry().clone(), None),
        };
        let accept = match &ask.want {
            Want::Manifest { accept, .. } => accept.clone(),
            _ => Accept::Native,
        };
        let call = Call {
            route: route.clone(),
            registry,
            who,
            repository: ask.repository.clone(),
            accept,
            negative_ttl: settings.config.negative_ttl,
            has_access_rules: settings.config.has_access_rules,
            flow: ask.flow,
            purpose: Purpose::Pull,
            asked: SystemTime::now(),
        };
        Ok((call, settings.config.clone()))
    }
}

type Routes = HashMap<UpstreamName, Arc<Route>>;

impl Settings {
    fn new(config: Config, upstreams: Vec<Upstream>, before: &Routes) -> Self {
        let named = |upstream: Upstream| {
            let name = upstream.registry.config().name.clone();
            let route = Route::new(upstream, before.get(&name).map(|route| &**route));
            (name, Arc::new(route))
        };
        Self {
            config,
            routes: upstreams.into_iter().map(named).collect(),
        }
    }
}
