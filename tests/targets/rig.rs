use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::SystemTime;

use fake_registry::Image;
use fake_registry::PATIENCE;
use fake_registry::Target;
use tempfile::TempDir;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::NameFilter;
use tidegate::oci::Repository;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::target::Complete;
use tidegate::target::Config;
use tidegate::target::Place;
use tidegate::target::Pulled;
use tidegate::target::State;
use tidegate::target::TargetState;
use tidegate::target::Targets;
use tokio::time::timeout;

use crate::shelf::Shelf;
use crate::shelf::shelf;

/// What the first target is called.
pub(crate) const NAME: &str = "mirror";

/// Targets in this process, over scripted registries, fed from a shelf.
pub(crate) struct Rig {
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) targets: Arc<Targets>,
    configs: Vec<Config>,
    ledger: Ledger,
    folder: Arc<TempDir>,
    /// How many seconds later it is than it is.
    later: Arc<AtomicU64>,
}

/// A target at `url`, with limits that fit a test.
pub(crate) fn config(name: &str, url: &str) -> Config {
    let limit = Duration::from_secs(20);
    Config {
        registry: registry::Config {
            name: name.parse().unwrap(),
            leg: Leg::Target,
            url: url.parse().unwrap(),
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
                connect: limit,
                header: limit,
                idle_body: limit,
            },
            retries: Retries {
                attempts: 3,
                base: Duration::from_millis(1),
                cap: Duration::from_millis(10),
            },
        },
        place: Place::parse("{upstream}/{repository}").unwrap(),
        only: NameFilter::default(),
        complete: Complete::All,
        read: false,
        catalog_ttl: Duration::from_secs(3600),
    }
}

/// `up.test/<name>`.
pub(crate) fn repository(name: &str) -> Repository {
    Repository::new("up.test".parse().unwrap(), name.parse().unwrap())
}

/// Where that is at a target.
pub(crate) fn there(name: &str) -> String {
    format!("up.test/{name}")
}

/// That a client was served `digest`.
pub(crate) fn pulled(name: &str, tag: Option<&str>, digest: &str) -> Pulled {
    Pulled {
        repository: repository(name),
        digest: digest.parse().unwrap(),
        tag: tag.map(|tag| tag.parse().unwrap()),
        flow: FlowId::next(),
    }
}

impl Rig {
    /// One target that is `target`, and a shelf with `images`.
    pub(crate) fn new<'a>(target: &Target, images: impl IntoIterator<Item = &'a Image>) -> Self {
        Self::with(vec![config(NAME, &target.url())], shelf(images))
    }

    pub(crate) fn with(configs: Vec<Config>, shelf: Arc<Shelf>) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::over(configs, shelf, folder)
    }

    fn over(configs: Vec<Config>, shelf: Arc<Shelf>, folder: Arc<TempDir>) -> Self {
        let ledger = Ledger::new();
        let later = Arc::new(AtomicU64::new(0));
        let clock = later.clone();
        let clock = move || SystemTime::now() + Duration::from_secs(clock.load(Relaxed));
        let file = folder.path().join("targets.redb");
        let state = State::with_clock(&file, Arc::new(clock)).unwrap();
        let targets = Targets::new(configs.clone(), state, ledger.clone()).unwrap();
        Self {
            shelf,
            targets,
            configs,
            ledger,
            folder,
            later,
        }
    }

    /// It is so much later now, for the catalog.
    pub(crate) fn pass(&self, seconds: u64) {
        self.later.fetch_add(seconds, Relaxed);
    }

    /// Begins.
    pub(crate) fn start(&self) {
        self.targets.start(self.shelf.clone());
    }

    /// A client pulls an image by a tag, and all its manifests by digest.
    pub(crate) fn pull(&self, name: &str, tag: &str, image: &Image) {
        self.targets.pulled(pulled(name, Some(tag), image.digest()));
        for manifest in &image.manifests {
            self.targets.pulled(pulled(name, None, &manifest.digest));
        }
    }

    /// Waits until nothing is under way.
    pub(crate) async fn settled(&self) {
        let settled = timeout(PATIENCE, self.targets.settled()).await;
        assert!(settled.is_ok(), "not settled: {:#?}", self.targets.states());
    }

    /// Waits until nothing is owed.
    pub(crate) async fn done(&self) {
        self.until("all is done", |state| state.owed == 0).await;
        self.settled().await;
    }

    /// Waits until the first target is as `wanted` says.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&TargetState) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !wanted(&self.state()) {
            let state = self.state();
            assert!(
                tokio::time::Instant::now() < deadline,
                "not {what}: {state:#?}"
            );
            // Backoff is in real time, and nothing tells of it.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How the first target does.
    pub(crate) fn state(&self) -> TargetState {
        self.targets.states().remove(0)
    }

    /// Ends as a process that is killed does, and begins anew, not started.
    pub(crate) async fn restarted(self) -> Self {
        let (configs, shelf) = (self.configs.clone(), self.shelf.clone());
        let (ledger, folder) = (self.ledger.clone(), self.folder.clone());
        let file = folder.path().join("targets.redb");
        self.targets.abandon().await;
        drop(self);
        check(&ledger).await;
        let reopened = async {
            while let Err(error) = State::open(&file) {
                assert!(error.to_string().contains("another process"), "{error}");
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, reopened)
            .await
            .expect("the file is let go of");
        Self::over(configs, shelf, folder)
    }

    /// Ends, and looks at the books.
    pub(crate) async fn close(self) {
        self.settled().await;
        check(&self.ledger).await;
    }
}

/// Whether the books balance, once all is closed.
async fn check(ledger: &Ledger) {
    let closed = async {
        while ledger.books().open > 0 {
            tokio::task::yield_now().await;
        }
    };
    let closed = timeout(PATIENCE, closed).await;
    let books = ledger.books();
    assert!(closed.is_ok(), "{books:#?}");
    assert!(books.agree() && books.imbalance == 0, "{books:#?}");
}

impl Drop for Rig {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.ledger.books().imbalance, 0);
        }
    }
}

/// That all of `image` is at `target`, under its tag.
pub(crate) fn assert_there(target: &Target, name: &str, tag: &str, image: &Image) {
    let name = there(name);
    assert_eq!(
        target.tag(&name, tag).as_deref(),
        Some(image.digest()),
        "{name}:{tag}"
    );
    for part in image.manifests.iter().chain(&image.blobs) {
        assert!(
            target.holds(&name, &part.digest),
            "{name} lacks {}",
            part.digest
        );
    }
}
