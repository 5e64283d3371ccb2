use std::sync::Arc;
use std::time::Duration;

use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::flow;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::ledger::FlowId;
use tidegate::ledger::Leg;
use tidegate::oci::NameFilter;
use tidegate::prefetch;
use tidegate::prefetch::Destination;
use tidegate::prefetch::Found;
use tidegate::prefetch::Prune;
use tidegate::prefetch::Quiet;
use tidegate::prefetch::Set;
use tidegate::prefetch::Source;
use tidegate::prefetch::Sources;
use tidegate::prefetch::TagSet;
use tidegate::prefetch::Verify;
use tidegate::prefetch::Wanted;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::store;
use tidegate::store::Store;
use tokio::sync::mpsc;

use crate::premises::Premises;

/// A proxy in this process, whose `quay.io` is a scripted registry.
pub(crate) struct Rig {
    pub(crate) up: Upstream,
    flow: Arc<PullThrough>,
    _folder: TempDir,
    premises: Premises,
}

/// How the proxy is set up.
pub(crate) struct Setup {
    pub(crate) upstream: &'static str,
    pub(crate) credentials: Credentials,
    pub(crate) deny: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            upstream: "quay.io",
            credentials: Credentials::Anonymous,
            deny: Vec::new(),
        }
    }
}

/// What was told, in its order.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) wanted: Vec<Wanted>,
    /// Repositories whose tags were all told, and how many they are.
    pub(crate) listed: Vec<(String, usize)>,
    /// What could not be had, and why.
    pub(crate) failed: Vec<(String, String)>,
}

impl Told {
    /// `<name>:<tag>` of all that is wanted, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let name = |it: &Wanted| {
            let tag = it.tag.as_ref().map(ToString::to_string);
            format!("{}:{}", it.repository.name, tag.unwrap_or_default())
        };
        let mut names: Vec<String> = self.wanted.iter().map(name).collect();
        names.sort();
        names
    }
}

impl Rig {
    pub(crate) async fn before(up: Upstream) -> Self {
        Self::with(up, Setup::default()).await
    }

    pub(crate) async fn with(up: Upstream, setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let premises = Premises::new();
        let config = registry::Config {
            name: setup.upstream.parse().expect("a name"),
            url: up.url().parse().expect("a URL"),
            leg: Leg::Upstream,
            fallback: Vec::new(),
            credentials: setup.credentials,
            ca: None,
            plain_http: true,
            allow_private: false,
            max_concurrent: None,
            parallel_ranges: None,
            rate: None,
            bandwidth: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(30),
                header: Duration::from_secs(30),
                idle_body: Duration::from_secs(30),
            },
            retries: Retries {
                attempts: 4,
                base: Duration::from_millis(10),
                cap: Duration::from_secs(2),
            },
        };
        let registry = Registry::new(config, premises.ledger()).expect("a registry client");
        let upstream = flow::Upstream {
            registry: Arc::new(registry),
            tag_ttl: Duration::from_secs(300),
            auth_ttl: Duration::from_secs(300),
            names: NameFilter::new(&[], &setup.deny).expect("globs"),
        };
        let store = store::Config {
            path: folder.path().join("store"),
            max_size: None,
        };
        let building = async move {
            let config = flow::Config {
                negative_ttl: Duration::from_secs(30),
                on_disconnect: OnDisconnect::Finish,
                has_access_rules: false,
            };
            let store = Store::open(store).await.expect("a store");
            Arc::new(PullThrough::new(config, store, vec![upstream]))
        };
        Self {
            flow: premises.run(building).await,
            up,
            _folder: folder,
            premises,
        }
    }

    /// All that `set` tells.
    pub(crate) async fn discover(&self, set: Set) -> Told {
        let flow = self.flow.clone();
        let asking = async move {
            let (sender, mut receiver) = mpsc::channel(8);
            let asking = async move {
                prefetch::discover(&set, &Sources::new(flow), FlowId::next(), &sender).await;
            };
            let hearing = async move {
                let mut told = Told::default();
                while let Some(found) = receiver.recv().await {
                    match found {
                        Found::Wanted(wanted) => told.wanted.push(wanted),
                        Found::Listed { repository, tags } => {
                            told.listed.push((repository.name.to_string(), tags.len()));
                        }
                        Found::Failed { what, why } => told.failed.push((what, why)),
                    }
                }
                told
            };
            tokio::join!(asking, hearing).1
        };
        self.premises.run(asking).await
    }

    /// What has come into the proxy of bodies, in bytes.
    pub(crate) async fn received(&self) -> u64 {
        self.premises.books().await.upstream_received
    }
}

/// A set that is to be in the store.
pub(crate) fn set(from: Source, tags: TagSet) -> Set {
    Set {
        name: "set".into(),
        from: vec![from],
        tags,
        immutable: Vec::new(),
        min_tags: 0,
        platforms: Vec::new(),
        referrers: false,
        to: vec![Destination::Store],
        verify: Verify::default(),
        prune: Prune::default(),
        prune_max: 0,
        schedule: None,
        quiet: Quiet::default(),
        bandwidth: None,
    }
}

/// Tags by their names.
pub(crate) fn literal(tags: &[&str]) -> TagSet {
    let tags = tags.iter().map(|tag| tag.parse().expect("a tag"));
    TagSet::Literal(tags.collect())
}
