use std::path::PathBuf;
use std::sync::Arc;

use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::config;
use tidegate::config::Config;
use tidegate::flow;
use tidegate::flow::PullThrough;
use tidegate::ledger::FlowId;
use tidegate::oci::Reference;
use tidegate::prefetch;
use tidegate::prefetch::Found;
use tidegate::prefetch::Set;
use tidegate::prefetch::Sources;
use tidegate::prefetch::Wanted;
use tidegate::registry::Registry;
use tidegate::store::Store;
use tokio::sync::mpsc;

use crate::premises::Premises;

/// A proxy in this process, without its doors, over a `proxy.toml`.
pub(crate) struct Rig {
    config: Config,
    sources: Sources,
    folder: TempDir,
    premises: Premises,
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

impl Rig {
    /// Over `toml`, beside which there are `files`.
    pub(crate) async fn new(toml: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files.iter().chain([&("proxy.toml", toml)]) {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let file = folder.path().join("proxy.toml");
        let config = config::Source::File(file).load();
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let premises = Premises::new();
        let upstreams = config.upstreams.iter().map(|upstream| flow::Upstream {
            registry: Arc::new(
                Registry::new(upstream.registry.clone(), premises.ledger()).expect("a client"),
            ),
            tag_ttl: upstream.tag_ttl,
            auth_ttl: upstream.auth_ttl,
            names: upstream.names.clone(),
        });
        let upstreams: Vec<_> = upstreams.collect();
        let (store, settings) = (config.store.clone(), config.flow.clone());
        let is_kept = config.store_enabled;
        let building = async move {
            let store = match is_kept {
                true => Store::open(store).await,
                false => Store::spool(store).await,
            };
            let store = store.expect("a store");
            Sources::new(Arc::new(PullThrough::new(settings, store, upstreams)))
        };
        Self {
            sources: premises.run(building).await,
            config,
            folder,
            premises,
        }
    }

    /// A file beside `proxy.toml`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn set(&self, name: &str) -> Set {
        let mut sets = self.config.prefetch.iter();
        sets.find(|set| &*set.name == name).expect(name).clone()
    }

    /// What the set of this name tells, as it comes.
    pub(crate) fn begin(&self, name: &str) -> mpsc::Receiver<Found> {
        let (set, sources) = (self.set(name), self.sources.clone());
        let (sender, receiver) = mpsc::channel(8);
        self.premises.runtime().spawn(async move {
            prefetch::discover(&set, &sources, FlowId::next(), &sender).await;
        });
        receiver
    }

    /// All that the set of this name tells.
    pub(crate) async fn discover(&self, name: &str) -> Told {
        let mut told = Told::default();
        let mut receiver = self.begin(name);
        while let Some(found) = receiver.recv().await {
            match found {
                Found::Wanted(wanted) => told.wanted.push(wanted),
                Found::Listed { repository, tags } => {
                    told.listed.push((repository.to_string(), tags.len()));
                }
                Found::Failed { what, why } => told.failed.push((what, why)),
            }
        }
        told.listed.sort();
        told.failed.sort();
        told
    }
}

impl Told {
    /// What is wanted, as people write it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.wanted.iter().map(name).collect();
        names.sort();
        names
    }

    /// What is wanted, where nothing failed.
    #[track_caller]
    pub(crate) fn well(self) -> Vec<String> {
        assert_eq!(self.failed, []);
        self.names()
    }

    /// The one failure.
    #[track_caller]
    pub(crate) fn failure(&self) -> (&str, &str) {
        match &self.failed[..] {
            [(what, why)] => (what, why),
            failed => panic!("{failed:?}"),
        }
    }
}

fn name(wanted: &Wanted) -> String {
    let repository = &wanted.repository;
    match (&wanted.reference, &wanted.tag) {
        (Reference::Tag(tag), _) => format!("{repository}:{tag}"),
        (Reference::Digest(digest), Some(tag)) => format!("{repository}:{tag}@{digest}"),
        (Reference::Digest(digest), None) => format!("{repository}@{digest}"),
    }
}

/// `[[upstream]]` for a scripted registry.
pub(crate) fn upstream(name: &str, up: &Upstream) -> String {
    at(name, &up.url())
}

/// `[[upstream]]` for a registry in plain HTTP.
pub(crate) fn at(name: &str, url: &str) -> String {
    format!(
        "[[upstream]]\nname = \"{name}\"\nurl = \"{url}\"\nplain_http = true\n\
         credentials = \"anonymous\"\n"
    )
}

/// `[[prefetch]]` with these keys.
pub(crate) fn set(name: &str, keys: &str) -> String {
    format!("[[prefetch]]\nname = \"{name}\"\n{keys}\n")
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Puts an artifact without content under each of `tags`.
pub(crate) fn put(up: &Upstream, repository: &str, tags: &[&str]) {
    for tag in tags {
        let bytes = format!(r#"{{"schemaVersion":2,"annotations":{{"tag":"{tag}"}}}}"#);
        up.put_manifest(repository, tag, MANIFEST, bytes);
    }
}
