//! What a set, or a filter, selects: asked of the sources, with nothing kept.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::Error;
use super::registries::Registries;
use crate::config::Config;
use crate::flow;
use crate::flow::PullThrough;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::oci::NameFilter;
use crate::oci::Repository;
use crate::prefetch;
use crate::prefetch::Destination;
use crate::prefetch::Explained;
use crate::prefetch::Found;
use crate::prefetch::Judged;
use crate::prefetch::Prune;
use crate::prefetch::Quiet;
use crate::prefetch::Set;
use crate::prefetch::Source;
use crate::prefetch::Sources;
use crate::prefetch::TagSet;
use crate::prefetch::Verdict;
use crate::prefetch::Verify;
use crate::prefetch::Wanted;
use crate::registry::Registry;
use crate::store;
use crate::store::Store;

/// What is selected.
#[derive(Debug, Default)]
pub struct Selected {
    /// The repositories whose tags were listed, as they came, with a verdict for each tag.
    pub repositories: Vec<Explained>,
    /// All images that are wanted, of these repositories and by name.
    pub images: Vec<Wanted>,
    /// What could not be asked, and why.
    pub failed: Vec<(String, String)>,
}

/// A question, and whom it is asked.
#[derive(Debug)]
pub struct Question {
    set: Set,
    upstreams: Vec<flow::Upstream>,
}

/// Nobody asks twice within this time.
const TTL: Duration = Duration::from_secs(60 * 60);
/// What is told waits for who listens.
const AHEAD: usize = 64;

impl Question {
    /// What `set` selects, of the configured upstreams.
    ///
    /// # Errors
    /// When there can be no client for one of them.
    pub fn of_set(set: Set, config: &Config) -> Result<Self, Error> {
        let upstreams = Registries::default().follow(&config.upstreams, &Ledger::new())?;
        Ok(Self { set, upstreams })
    }

    /// What `set` would select of one repository, whose registry need not be configured: then it is
    /// asked as docker would ask it, without TLS where `plain_http` says so.
    ///
    /// # Errors
    /// When there can be no client for it.
    pub fn of_repository(
        set: Set,
        repository: &Repository,
        (config, plain_http): (&Config, bool),
    ) -> Result<Self, Error> {
        let name = &repository.upstream;
        let settings = config.registry(name, Leg::Upstream, plain_http);
        let registry = Registry::new(settings, Ledger::new());
        let registry = registry.map_err(|error| Error::Upstream {
            name: name.clone(),
            error,
        })?;
        let from = vec![Source::Repository(repository.clone())];
        Ok(Self {
            set: Set { from, ..set },
            upstreams: vec![flow::Upstream {
                registry: Arc::new(registry),
                tag_ttl: TTL,
                auth_ttl: TTL,
                names: NameFilter::default(),
            }],
        })
    }

    /// Asks. Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// When there is no room for what is on its way. What could not be asked is no error here.
    pub async fn ask(self, config: &Config) -> Result<Selected, Error> {
        let folder = folder().await.map_err(Error::Listen)?;
        let spool = store::Config {
            path: folder.path().to_path_buf(),
            max_size: None,
        };
        let store = Store::spool(spool).await.map_err(Error::Store)?;
        let flow = PullThrough::new(config.flow.clone(), store, self.upstreams);
        let sources = Sources::new(Arc::new(flow));
        let (out, mut found) = mpsc::channel(AHEAD);
        let (told, mut judged) = mpsc::channel(AHEAD);
        let asking = async move {
            prefetch::explain(&self.set, &sources, &out, &told).await;
        };
        let mut selected = Selected::default();
        let (images, failed) = (&mut selected.images, &mut selected.failed);
        let hearing = async {
            while let Some(found) = found.recv().await {
                match found {
                    Found::Wanted(wanted) => images.push(wanted),
                    Found::Failed { what, why } => failed.push((what, why)),
                    Found::Listed { .. } => {}
                }
            }
        };
        let repositories = &mut selected.repositories;
        let judging = async {
            while let Some(explained) = judged.recv().await {
                repositories.push(explained);
            }
        };
        tokio::join!(asking, hearing, judging);
        Ok(selected)
    }
}

/// A set of `tags`, which come from nowhere yet.
pub fn set(tags: TagSet) -> Set {
    Set {
        name: "tags".into(),
        from: Vec::new(),
        tags,
        immutable: Vec::new(),
        min_tags: 0,
        platforms: Vec::new(),
        referrers: false,
        to: vec![Destination::Store],
        verify: Verify::Never,
        prune: Prune::Off,
        prune_max: 0,
        schedule: None,
        quiet: Quiet::default(),
        bandwidth: None,
    }
}

async fn folder() -> std::io::Result<TempDir> {
    let made =
        tokio::task::spawn_blocking(|| tempfile::Builder::new().prefix("tidegate-tags-").tempdir());
    made.await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

impl Selected {
    /// By repository; of each, what is wanted first, then by name, the last one first.
    pub fn sort(&mut self) {
        self.repositories
            .sort_by(|(one, _), (other, _)| one.cmp(other));
        for (_, judged) in &mut self.repositories {
            let is_out = |it: &Judged| it.verdict != Verdict::In;
            judged.sort_by(|one, other| {
                let names = prefetch::naturally(other.tag.as_str(), one.tag.as_str());
                is_out(one).cmp(&is_out(other)).then(names)
            });
        }
        let place = |it: &Wanted| it.repository.clone();
        self.images.sort_by_key(place);
        self.failed.sort();
    }
}
