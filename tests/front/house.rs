//! A proxy that listens: a real store in a temporary folder, a real flow, a real front.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tidegate::flow;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::flow::Upstream;
use tidegate::front;
use tidegate::front::Front;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::Digest;
use tidegate::oci::NameFilter;
use tidegate::oci::Repository;
use tidegate::oci::media;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::store;
use tidegate::store::Store;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::premises::Premises;

/// An address that nobody listens on.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1";

/// A front that runs until this is dropped.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<Store>,
    pub(crate) flow: Arc<PullThrough>,
    pub(crate) handle: front::Handle,
    pub(crate) premises: Premises,
    shutdown: oneshot::Sender<()>,
    run: JoinHandle<usize>,
    _folder: TempDir,
}

/// What a house is built from.
pub(crate) struct Plan {
    pub(crate) front: front::Config,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) drain: Duration,
}

impl Default for Plan {
    /// docker.io (the default) and quay.io, neither of which can be reached.
    fn default() -> Self {
        Self {
            front: front::Config {
                listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
                default_upstream: Some("docker.io".parse().unwrap()),
                ..front::Config::default()
            },
            upstreams: vec![upstream("docker.io", NOWHERE), upstream("quay.io", NOWHERE)],
            drain: Duration::from_secs(10),
        }
    }
}

impl Plan {
    /// docker.io is at `url`.
    pub(crate) fn with_upstream(url: &str) -> Self {
        Self {
            upstreams: vec![upstream("docker.io", url)],
            ..Self::default()
        }
    }

    pub(crate) async fn build(self) -> House {
        let folder = TempDir::new().unwrap();
        let config = store::Config {
            path: folder.path().join("store"),
            max_size: None,
        };
        let premises = Premises::new();
        let ledger = premises.ledger();
        let mut upstreams = self.upstreams;
        for upstream in &mut upstreams {
            let config = upstream.registry.config().clone();
            upstream.registry = Arc::new(Registry::new(config, ledger.clone()).unwrap());
        }
        let building = async move {
            let store = Store::open(config).await.unwrap();
            let config = flow::Config {
                negative_ttl: Duration::ZERO,
                on_disconnect: OnDisconnect::Finish,
                has_access_rules: false,
            };
            let flow = Arc::new(PullThrough::new(config, store.clone(), upstreams));
            let front = Front::bind(self.front, flow.clone(), ledger).await;
            (store, flow, front.unwrap())
        };
        let (store, flow, front) = premises.run(building).await;
        let (shutdown, ended) = oneshot::channel();
        let (address, handle) = (front.local_addrs()[0], front.handle());
        let ended = async { drop(ended.await) };
        House {
            address,
            store,
            flow,
            handle,
            shutdown,
            run: premises.runtime().spawn(front.run(ended, self.drain)),
            premises,
            _folder: folder,
        }
    }
}

impl House {
    pub(crate) async fn build() -> Self {
        Plan::default().build().await
    }

    /// Begins the shutdown; what is returned says how many connections were cut, and is to be held
    /// until then.
    pub(crate) fn shut_down(self) -> (JoinHandle<usize>, (Premises, TempDir)) {
        drop(self.shutdown);
        (self.run, (self.premises, self._folder))
    }

    pub(crate) async fn put_manifest(&self, repository: &str, tag: &str, text: &str) -> Digest {
        let repository = self::repository(repository);
        let digest = Digest::of(text.as_bytes());
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let store = &self.store;
        store
            .put_manifest(&repository, &digest, media::OCI_MANIFEST, bytes)
            .await
            .unwrap();
        store
            .put_tag(&repository, &tag.parse().unwrap(), &digest)
            .await
            .unwrap();
        digest
    }

    pub(crate) async fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let writer = self.store.writer(Some(bytes.len() as u64)).await.unwrap();
        writer.file().write_all_at(bytes, 0).unwrap();
        let repositories = [self::repository(repository)];
        writer.commit(&digest, &repositories).await.unwrap();
        digest
    }
}

pub(crate) fn repository(text: &str) -> Repository {
    let (upstream, name) = text.split_once('/').unwrap();
    Repository::new(upstream.parse().unwrap(), name.parse().unwrap())
}

pub(crate) fn upstream(name: &str, url: &str) -> Upstream {
    let second = Duration::from_secs(1);
    let config = registry::Config {
        name: name.parse().unwrap(),
        url: url.parse().unwrap(),
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: Credentials::Anonymous,
        ca: None,
        plain_http: true,
        allow_private: false,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts: Timeouts {
            connect: second,
            header: second,
            idle_body: second,
        },
        retries: Retries {
            attempts: 1,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(1),
        },
    };
    Upstream {
        registry: Arc::new(Registry::new(config, Ledger::new()).unwrap()),
        tag_ttl: Duration::from_secs(3600),
        auth_ttl: Duration::from_secs(300),
        names: NameFilter::new(&[], &["denied/*".to_owned()]).unwrap(),
    }
}
