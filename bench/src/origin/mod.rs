//! The origin of all systems: a lean registry that sends blobs from memory with `sendfile`, one
//! thread a connection, and counts what it is asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use anyhow::Context;
use sha2::Digest;
use sha2::Sha256;

use crate::corpus::Blob;
use crate::corpus::Corpus;
use crate::corpus::digest_of;
use crate::link::Link;

mod distant;
mod front;
mod serve;

pub(crate) use distant::Distant;
pub(crate) use distant::Route;

/// The repository that everything is in.
pub(crate) const REPOSITORY: &str = "library/bench";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running origin; it ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
}

/// What the origin was asked so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    /// `GET`s of blobs, ranged ones too.
    pub(crate) blob_gets: u64,
    /// Bytes of blobs that were sent.
    pub(crate) blob_bytes: u64,
}

#[derive(Debug)]
struct State {
    corpus: Corpus,
    link: Link,
    /// What each connection may send, in bytes a second; 0 for no limit.
    each: AtomicU64,
    blobs: RwLock<HashMap<String, Arc<Blob>>>,
    /// By tag and by digest.
    manifests: RwLock<HashMap<String, Arc<Manifest>>>,
    published: AtomicU64,
    blob_gets: AtomicU64,
    blob_bytes: AtomicU64,
    requests: AtomicU64,
    connections: AtomicU64,
}

#[derive(Debug)]
struct Manifest {
    digest: String,
    json: Vec<u8>,
}

impl Origin {
    /// Makes the corpus and starts to listen on a free port of loopback.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let state = Arc::new(State {
            corpus: Corpus::new()?,
            link: Link::new(),
            each: AtomicU64::new(0),
            blobs: RwLock::default(),
            manifests: RwLock::default(),
            published: AtomicU64::new(0),
            blob_gets: AtomicU64::new(0),
            blob_bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").context("the origin can't listen")?;
        let addr = listener.local_addr()?;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that leaves ends its own connection and nothing else.
                std::thread::spawn(move || drop(state.connection(stream)));
            }
        });
        Ok(Self { addr, state })
    }

    /// Publishes an image of new blobs of these sizes, in bytes, as `tag`.
    ///
    /// # Errors
    /// Where there is no memory for them.
    pub(crate) fn publish(&self, tag: &str, sizes: &[u64]) -> anyhow::Result<Vec<Arc<Blob>>> {
        let state = &self.state;
        let blob = |size: &u64| {
            let number = state.published.fetch_add(1, Ordering::Relaxed);
            state.corpus.blob(*size, number)
        };
        let blobs = sizes.iter().map(blob).collect::<Result<Vec<_>, _>>()?;
        let manifest = Arc::new(Manifest::of(&blobs));
        let mut known = state.blobs.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(
            blobs
                .iter()
                .map(|blob| (blob.digest.clone(), Arc::clone(blob))),
        );
        let mut manifests = state
            .manifests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        manifests.insert(manifest.digest.clone(), Arc::clone(&manifest));
        manifests.insert(tag.to_owned(), manifest);
        Ok(blobs)
    }

    /// From now on all connections together send `rate` bytes a second; `None` for no limit.
    pub(crate) fn pace(&self, rate: Option<u64>) {
        self.state.link.pace(rate);
    }

    /// From now on each connection sends `rate` bytes of blobs a second, as a CDN's do; `None` for
    /// no limit.
    pub(crate) fn limit_each(&self, rate: Option<u64>) {
        self.state.each.store(rate.unwrap_or(0), Ordering::Relaxed);
    }

    /// How many requests it had so far, of any kind, and over how many connections.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let Self { state, .. } = self;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&state.requests), count(&state.connections))
    }

    /// What it was asked so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            blob_gets: self.state.blob_gets.load(Ordering::Relaxed),
            blob_bytes: self.state.blob_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Manifest {
    fn of(blobs: &[Arc<Blob>]) -> Self {
        let descriptor = |kind: &str, blob: &Blob| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": blob.digest,
                "size": blob.size,
            })
        };
        let layers: Vec<_> = blobs
            .iter()
            .map(|blob| descriptor("layer.v1.tar+gzip", blob))
            .collect();
        let json = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor("config.v1+json", &blobs[0]),
            "layers": layers,
        })
        .to_string()
        .into_bytes();
        Self {
            digest: digest_of(Sha256::new_with_prefix(&json)),
            json,
        }
    }
}
