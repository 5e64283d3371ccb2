//! A corpus from one real registry into another by `tidegate sync`: what it costs, counted by their
//! access logs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use fake_registry::Access;
use fake_registry::Corpus;
use fake_registry::DockerRegistry;
use fake_registry::Extent;
use fake_registry::ImageBuilder;
use fake_registry::Pki;
use fake_registry::Process;
use fake_registry::Push;
use tempfile::TempDir;

use crate::need::need;
use crate::scene::TIDEGATE;

/// What tidegate calls the registry that all comes from.
const UPSTREAM: &str = "source.test";
/// The bytes of all blobs, about.
const BYTES: u64 = 1 << 20;
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// Registries write their logs after they have answered.
const LAST_LINES: Duration = Duration::from_millis(500);
/// What a registry is asked beside what is wanted: whether it wants a token, once for each way.
const PINGS: usize = 4;

struct Scene {
    corpus: Corpus,
    extent: Extent,
    source: DockerRegistry,
    target: DockerRegistry,
    _pki: Pki,
    folder: TempDir,
    /// How many requests had been answered before the last look.
    seen: [usize; 2],
}

impl Scene {
    async fn start() -> Self {
        let pki = Pki::new();
        let source = DockerRegistry::builder().tls(&pki, &[]).start().await;
        let target = DockerRegistry::builder().tls(&pki, &[]).start().await;
        let corpus = Corpus::new(1, BYTES);
        let push = Push::to(&source.url(), source.client());
        corpus.push_http(&push).await.unwrap();
        let folder = TempDir::with_prefix("sync-").unwrap();
        let mut references = String::new();
        for (name, tag, _) in corpus.images() {
            let _ = writeln!(references, "{UPSTREAM}/{name}:{tag}");
        }
        std::fs::write(folder.path().join("images.txt"), references).unwrap();
        let ca = pki.ca_file();
        let config = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[store]\npath = \"store\"\n\n\
             [[upstream]]\nname = {UPSTREAM:?}\nurl = {:?}\nca = {ca:?}\n\
             credentials = \"anonymous\"\n\n\
             [[target]]\nname = \"mirror\"\nurl = {:?}\nca = {ca:?}\ncredentials = \"anonymous\"\n\
             repository = \"mirror/{{repository}}\"\n\n\
             [[prefetch]]\nname = \"all\"\nfrom = \"file:images.txt\"\nto = \"mirror\"\n\
             referrers = false\n",
            source.url(),
            target.url(),
        );
        std::fs::write(folder.path().join("proxy.toml"), config).unwrap();
        let mut scene = Self {
            extent: corpus.extent(),
            corpus,
            source,
            target,
            _pki: pki,
            folder,
            seen: [0; 2],
        };
        scene.asked().await;
        scene
    }

    fn spawn(&self) -> Process {
        sync(self.folder.path())
    }

    /// Runs it to its end.
    async fn sync(&self) {
        let mut process = self.spawn();
        let status = process.wait(LIMIT).await;
        assert!(status.success(), "{status}: {}", process.stderr());
    }

    /// What source and target were asked since the last look.
    async fn asked(&mut self) -> [Vec<Access>; 2] {
        tokio::time::sleep(LAST_LINES).await;
        let logs = [self.source.access(), self.target.access()];
        let news = [0, 1].map(|at| logs[at][self.seen[at]..].to_vec());
        self.seen = [logs[0].len(), logs[1].len()];
        news
    }

    fn assert_there(&self) {
        for (name, tag, image) in self.corpus.images() {
            let name = format!("mirror/{name}");
            let there = self.target.tag(&name, tag);
            assert_eq!(there.as_deref(), Some(image.digest()), "{name}:{tag}");
            for blob in image.manifests.iter().chain(&image.blobs) {
                assert!(self.target.holds(&name, &blob.digest), "{name}");
            }
        }
    }
}

fn sync(folder: &Path) -> Process {
    Process::command(TIDEGATE)
        .args(["sync", "--config", "proxy.toml", "--json"])
        .folder(folder)
        .spawn()
}

/// How many requests there were of each kind.
fn kinds(log: &[Access]) -> HashMap<String, usize> {
    let mut kinds: HashMap<String, usize> = HashMap::new();
    for access in log {
        let kind = [
            "/blobs/uploads/",
            "/blobs/",
            "/manifests/",
            "/tags/",
            "/referrers/",
        ];
        let kind = kind.into_iter().find(|it| access.path.contains(it));
        let mount = match access.query.contains("mount=") {
            true => " mount",
            false => "",
        };
        let kind = format!("{} {}{mount}", access.method, kind.unwrap_or(&access.path));
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

/// Bodies of blobs that were asked for more than once.
fn twice(log: &[Access]) -> Vec<&Access> {
    let mut seen = std::collections::HashSet::new();
    let blobs = log
        .iter()
        .filter(|it| it.method == "GET" && it.path.contains("/blobs/") && it.status == 200);
    let digest = |it: &Access| it.path.rsplit('/').next().unwrap_or_default().to_owned();
    blobs.filter(|it| !seen.insert(digest(it))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corpus_costs_what_it_must_and_a_second_run_next_to_nothing() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut scene = Scene::start().await;
    let Extent {
        tags,
        manifests,
        blobs,
        ..
    } = scene.extent;

    scene.sync().await;
    scene.assert_there();
    let [source, target] = scene.asked().await;
    let (at_source, at_target) = (manifests + blobs, scene.extent.least_requests());
    assert!(twice(&source).is_empty(), "{:?}", twice(&source));
    assert!(
        source.len() <= at_source + PINGS,
        "{}: {:#?}",
        source.len(),
        kinds(&source)
    );
    assert!(
        target.len() <= at_target + PINGS,
        "{}: {:#?}",
        target.len(),
        kinds(&target)
    );

    scene.sync().await;
    let [source, target] = scene.asked().await;
    assert!(source.len() <= tags + PINGS / 2, "{:#?}", kinds(&source));
    assert!(target.len() <= tags + PINGS / 2, "{:#?}", kinds(&target));
    assert!(
        source
            .iter()
            .chain(&target)
            .all(|it| it.method != "GET" || it.path == "/v2/")
    );

    // One tag in twenty moves to an image that shares all but two layers with others there.
    let push = Push::to(&scene.source.url(), scene.source.client());
    let images: Vec<_> = scene.corpus.images().step_by(20).collect();
    let mut new = 0;
    for (seed, (name, tag, _)) in images.iter().enumerate() {
        let image = ImageBuilder::new(70 + seed as u64).layers(2).build();
        image.push_http(&push, name, tag).await.unwrap();
        new += image.blobs.len() + image.manifests.len() + 1;
    }
    scene.asked().await;
    scene.sync().await;
    let [source, target] = scene.asked().await;
    assert!(source.len() <= tags + new + PINGS, "{:#?}", kinds(&source));
    let puts = target.iter().filter(|it| it.method == "PUT").count();
    assert_eq!(puts, new, "{:#?}", kinds(&target));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_broken_off_is_gone_on_with() {
    if !need(&["docker-registry"]) {
        return;
    }
    let mut scene = Scene::start().await;
    let Extent {
        manifests, blobs, ..
    } = scene.extent;
    let half = scene.extent.least_requests() / 2;
    let mut process = scene.spawn();
    scene.target.wait_for(|log| log.len() >= half).await;
    process.interrupt();
    process.wait(LIMIT).await;
    scene.sync().await;
    scene.assert_there();
    let [source, target] = scene.asked().await;
    assert!(twice(&source).is_empty(), "{:?}", twice(&source));
    let uploads = target
        .iter()
        .filter(|it| it.method == "PUT" && it.path.contains("/blobs/uploads/") && it.status == 201);
    assert_eq!(uploads.count(), blobs, "{:#?}", kinds(&target));
    let put = target
        .iter()
        .filter(|it| it.method == "PUT" && it.path.contains("/manifests/"));
    assert_eq!(put.count(), manifests, "{:#?}", kinds(&target));
}
