//! A corpus of images in a real registry, two targets, and the proxy in between; and a client that
//! pulls whole images.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::Corpus;
use fake_registry::DockerRegistry;
use fake_registry::Extent;
use fake_registry::Image;
use fake_registry::Pki;
use fake_registry::Push;
use fake_registry::ReservedPort;
use fake_registry::Tidegate;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use serde_json::Value;

use crate::mirror::ARRIVAL;
use crate::mirror::Mirror;
use crate::scene::TIDEGATE;

/// What the proxy calls the registry.
pub(crate) const UPSTREAM: &str = "source.test";

/// The manifests that clients say they take: those that do without one of them may be given a
/// converted one, which is mirrored by its digest alone.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
                                 application/vnd.oci.image.manifest.v1+json, \
                                 application/vnd.docker.distribution.manifest.list.v2+json, \
                                 application/vnd.docker.distribution.manifest.v2+json";

/// The bytes of all blobs, about.
const BYTES: u64 = 1 << 20;
/// How many images are pulled, or put into the source, at the same time.
const AT_ONCE: usize = 4;
/// How long the proxy may take to end.
const FAREWELL: Duration = Duration::from_secs(60);

/// All of it.
pub(crate) struct Fleet {
    pub(crate) corpus: Corpus,
    pub(crate) extent: Extent,
    pub(crate) source: DockerRegistry,
    pub(crate) mirrors: [Mirror; 2],
    pub(crate) proxy: Tidegate,
    _pki: Pki,
    _admin: ReservedPort,
}

/// What differs from a proxy with a store and two targets that are to have all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings {
    /// Further keys of `[store]`.
    pub(crate) store: &'static str,
    /// Further keys of each target.
    pub(crate) target: &'static str,
}

impl Fleet {
    /// Starts all, with the corpus in the source.
    pub(crate) async fn start(settings: Settings) -> Self {
        let pki = Pki::new();
        let source = DockerRegistry::builder().tls(&pki, &[]).start().await;
        let corpus = Corpus::new(1, BYTES);
        fill(&source, &corpus).await;
        let one = Mirror::start("one", &pki).await;
        let two = Mirror::start("two", &pki).await;
        // `tidegate target` asks the proxy there, and reads the port in the configuration.
        let admin = ReservedPort::new();
        let ca = pki.ca_file();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{}\"\n\
             [store]\npath = \"store\"\n{}\n\n[[upstream]]\nname = {UPSTREAM:?}\n\
             default = true\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\n{}{}",
            admin.address(),
            settings.store,
            source.url(),
            one.table(&ca, settings.target),
            two.table(&ca, settings.target),
        );
        Self {
            extent: corpus.extent(),
            corpus,
            source,
            mirrors: [one, two],
            proxy: Tidegate::start(TIDEGATE, &config).await,
            _pki: pki,
            _admin: admin,
        }
    }

    /// All images: repository, tag and image.
    pub(crate) fn images(&self) -> Vec<(&str, &str, &Image)> {
        self.corpus.images().collect()
    }

    /// Pulls all parts of `images` through the proxy.
    ///
    /// # Errors
    /// When one fails, as it does when the proxy is ended meanwhile.
    pub(crate) async fn pull(&self, images: &[(&str, &str, &Image)]) -> Result<(), String> {
        pull(self.proxy.url(), images).await
    }

    /// Waits until both targets have `images`, wholly.
    pub(crate) async fn arrived(&self, images: &[(&str, &str, &Image)]) {
        for mirror in &self.mirrors {
            for (name, tag, image) in images {
                let place = Mirror::place(UPSTREAM, name);
                let registry = &mirror.registry;
                registry
                    .wait_for_tag((&place, tag), image.digest(), ARRIVAL)
                    .await;
                let parts = image.manifests.iter().chain(&image.blobs);
                for part in parts {
                    assert!(
                        registry.holds(&place, &part.digest),
                        "{place}: {}",
                        part.digest
                    );
                }
            }
        }
    }

    /// Ends the proxy as a service manager does, and starts it again.
    pub(crate) async fn end_and_start(&mut self) {
        let process = self.proxy.process_mut();
        process.terminate();
        let status = process.wait(FAREWELL).await;
        assert!(status.success(), "{status}: {}", self.proxy.log());
        self.proxy.restart().await;
    }

    /// The folder of the proxy.
    pub(crate) fn folder(&self) -> &Path {
        self.proxy.folder()
    }
}

async fn fill(source: &DockerRegistry, corpus: &Corpus) {
    let push = Push::to(&source.url(), source.client());
    corpus.push_http(&push).await.unwrap();
}

/// Pulls all parts of `images` from the proxy at `url`, a few at a time; of each repository each
/// blob once.
///
/// # Errors
/// When one fails.
pub(crate) async fn pull(url: &str, images: &[(&str, &str, &Image)]) -> Result<(), String> {
    let client = Client::new();
    let mut had = HashSet::new();
    let mut pulls = Vec::new();
    for (name, tag, image) in images {
        let mut blobs: Vec<&str> = image.blobs.iter().map(|it| it.digest.as_str()).collect();
        blobs.retain(|digest| had.insert((*name, *digest)));
        pulls.push(one(
            &client,
            format!("{url}/v2/{name}"),
            (tag, *image),
            blobs,
        ));
    }
    let pulls = futures_util::stream::iter(pulls).buffer_unordered(AT_ONCE);
    pulls.try_collect().await
}

async fn one(
    client: &Client,
    place: String,
    (tag, image): (&str, &Image),
    blobs: Vec<&str>,
) -> Result<(), String> {
    let index = format!("{place}/manifests/{tag}");
    let manifests = image.manifests.iter();
    let manifests = manifests.map(|part| format!("{place}/manifests/{}", part.digest));
    let blobs = blobs.into_iter();
    let blobs = blobs.map(|digest| format!("{place}/blobs/{digest}"));
    for url in [index].into_iter().chain(manifests).chain(blobs) {
        let reply = client.get(&url).header("accept", ACCEPT).send().await;
        let reply = reply.map_err(|error| format!("{url}: {error}"))?;
        let (status, found) = (reply.status, reply.digest().await);
        let found = found.map_err(|error| format!("{url}: {error}"))?;
        let tagged = url.ends_with(tag) && found == image.digest();
        if status != 200 || !(url.ends_with(&found) || tagged) {
            return Err(format!("{url}: {status}, {found}"));
        }
    }
    Ok(())
}

/// What `/api/v1/targets` says of one of them.
pub(crate) async fn said_of_target(proxy: &Tidegate, name: &str) -> Value {
    let url = format!("{}/api/v1/targets", proxy.admin());
    let reply = Client::new().get(url).send().await.unwrap();
    let said = reply.json().await.unwrap();
    let targets = said.as_array().or(said["targets"].as_array());
    let mut targets = targets.into_iter().flatten();
    let found = targets.find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("{said:#}")).clone()
}
