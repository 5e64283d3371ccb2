//! The flow of a pull: an [`Ask`] goes in, a [`Served`] comes out.

use std::sync::Arc;
use std::time::Duration;

use crate::oci::UpstreamName;
use crate::registry;
use crate::registry::Registry;
use crate::store::Store;

mod ask;
mod error;
mod served;
mod tail;

pub use ask::{Accept, Ask, ByteRange, Want};
pub use error::Error;
pub use served::{Body, Listing, Served};
pub use tail::{Span, Tail};

/// What holds for all upstreams, where they say nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How long a 404 is remembered.
    pub negative_ttl: Duration,
    /// What becomes of a fill whose last client left.
    pub on_disconnect: OnDisconnect,
}

/// What becomes of a fill whose last client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It goes on, for the next client.
    Finish,
    /// It ends, and what it fetched is dropped.
    Abort,
}

/// One upstream, as the flow sees it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The client for it.
    pub registry: Arc<Registry>,
    /// How long a tag is believed without asking again.
    pub tag_ttl: Duration,
    /// Globs over repository names; where there are any, one must match.
    pub allow: Vec<String>,
    /// Globs over repository names; none may match.
    pub deny: Vec<String>,
}

/// The engine. Share it as an `Arc`.
#[derive(Debug)]
pub struct PullThrough {}

impl PullThrough {
    /// An engine over `store` and `upstreams`.
    pub fn new(config: Config, store: Arc<Store>, upstreams: Vec<Upstream>) -> Self {
        let _ = (config, store, upstreams);
        todo!()
    }

    /// Takes over a new configuration; flows that are under way finish with the old one.
    pub fn reconfigure(&self, config: Config, upstreams: Vec<Upstream>) {
        let _ = (config, upstreams);
        todo!()
    }

    /// Whether `name` is a configured upstream.
    pub fn knows(&self, name: &UpstreamName) -> bool {
        let _ = name;
        todo!()
    }

    /// A manifest or a blob. Once this returns, the answer's header can be sent.
    pub async fn serve(&self, ask: Ask) -> Result<Served, Error> {
        let _ = ask;
        todo!()
    }

    /// A list of tags or referrers.
    pub async fn list(&self, ask: Ask) -> Result<Listing, Error> {
        let _ = ask;
        todo!()
    }

    /// All that is mirrored: `<upstream>/<name>`, sorted as bytes.
    pub async fn catalog(&self) -> Result<Vec<String>, Error> {
        todo!()
    }
}

/// Kept for the signature's sake.
pub type RegistryError = registry::Error;
