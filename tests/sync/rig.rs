use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Image;
use fake_registry::PATIENCE;
use fake_registry::Target;
use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::flow;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::NameFilter;
use tidegate::oci::Repository;
use tidegate::oci::Tag;
use tidegate::prefetch;
use tidegate::prefetch::Destination;
use tidegate::prefetch::Filter;
use tidegate::prefetch::Item;
use tidegate::prefetch::ItemOutcome;
use tidegate::prefetch::Pattern;
use tidegate::prefetch::Progress;
use tidegate::prefetch::Prune;
use tidegate::prefetch::Quiet;
use tidegate::prefetch::Report;
use tidegate::prefetch::Set;
use tidegate::prefetch::Source;
use tidegate::prefetch::Sources;
use tidegate::prefetch::TagSet;
use tidegate::prefetch::Tally;
use tidegate::prefetch::Tell;
use tidegate::prefetch::Verify;
use tidegate::prefetch::World;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::store;
use tidegate::store::Store;
use tidegate::target::Complete;
use tidegate::target::Pace;
use tidegate::target::Place;
use tidegate::target::State;
use tidegate::target::Targets;
use tokio::task::JoinHandle;

use crate::premises::Premises;

/// What the target is called.
pub(crate) const MIRROR: &str = "mirror";

/// What a run of sets needs, in this process: one scripted upstream, `up.test`, a store, and maybe a
/// scripted target. Its parts can be ended and begun again over the same disk.
pub(crate) struct Rig {
    pub(crate) up: Upstream,
    pub(crate) target: Option<Target>,
    others: Vec<(String, String)>,
    folder: TempDir,
    keeps: bool,
    running: Option<Running>,
}

struct Running {
    world: World,
    premises: Premises,
}

impl Rig {
    /// A store, and no target.
    pub(crate) async fn new() -> Self {
        Self::before(Upstream::start().await, None).await
    }

    /// A store, and a target.
    pub(crate) async fn mirroring() -> Self {
        let target = Target::start().await;
        Self::before(Upstream::start().await, Some(target)).await
    }

    pub(crate) async fn before(up: Upstream, target: Option<Target>) -> Self {
        Self::over(up, target, true).await
    }

    /// With a store that keeps nothing.
    pub(crate) async fn keeping_nothing() -> Self {
        let target = Target::start().await;
        Self::over(Upstream::start().await, Some(target), false).await
    }

    async fn over(up: Upstream, target: Option<Target>, keeps: bool) -> Self {
        let mut rig = Self {
            up,
            target,
            others: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            keeps,
            running: None,
        };
        rig.begin().await;
        rig
    }

    /// Has one more upstream from now on.
    pub(crate) async fn with_upstream(&mut self, name: &str, url: &str) {
        self.end().await;
        self.others.push((name.to_owned(), url.to_owned()));
        self.begin().await;
    }

    /// Ends it, and begins again over the same disk, as another process does.
    pub(crate) async fn again(&mut self) {
        self.end().await;
        self.begin().await;
    }

    async fn end(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        let (world, premises) = (running.world, running.premises);
        world.flow.drain();
        if let Some(targets) = &world.targets {
            targets.wind_down(PATIENCE).await;
        }
        world.flow.settled().await;
        drop(world);
        drop(premises);
    }

    async fn begin(&mut self) {
        let tally = Arc::<Tally>::default();
        let premises = Premises::with(vec![tally.clone()]);
        let ledger = premises.ledger();
        let (folder, keeps) = (self.folder.path().to_owned(), self.keeps);
        let mut upstreams = vec![upstream("up.test", &self.up.url(), &ledger)];
        let others = self.others.iter();
        upstreams.extend(others.map(|(name, url)| upstream(name, url, &ledger)));
        let target = self.target.as_ref().map(|target| target.url());
        let building =
            async move { world(&folder, (upstreams, target, keeps), (tally, ledger)).await };
        let world = premises.run(building).await;
        self.running = Some(Running { world, premises });
    }

    pub(crate) fn world(&self) -> &World {
        &self.running.as_ref().expect("it is running").world
    }

    pub(crate) fn flow(&self) -> &Arc<PullThrough> {
        &self.world().flow
    }

    pub(crate) fn target(&self) -> &Target {
        self.target.as_ref().expect("a target")
    }

    /// Does `work` where the parts run.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let running = self.running.as_ref().expect("it is running");
        running.premises.runtime().spawn(work)
    }

    /// Begins a run.
    pub(crate) fn start(&self, set: &Set, progress: &Arc<Progress>) -> JoinHandle<Report> {
        let (set, world, progress) = (set.clone(), self.world().clone(), progress.clone());
        self.spawn(async move { prefetch::run(&set, &world, Pace::Background, progress).await })
    }

    /// Runs a set, with fresh logs on both sides.
    pub(crate) async fn run(&self, set: &Set) -> Report {
        self.clear();
        self.start(set, &Arc::default()).await.expect("no panic")
    }

    pub(crate) fn clear(&self) {
        self.up.clear_log();
        self.target.iter().for_each(|target| target.clear_log());
    }

    /// What the upstream was asked since the last run began, one line each, sorted, without
    /// addresses' common start.
    pub(crate) fn asked(&self) -> Vec<String> {
        let lines = self.up.log().into_iter();
        let lines = lines.map(|it| format!("{} {}", it.method, it.path.replacen("/v2/", "", 1)));
        let mut lines: Vec<String> = lines.collect();
        lines.sort_unstable();
        lines
    }

    /// How many requests the target had since the last run began.
    pub(crate) fn at_target(&self) -> usize {
        self.target().requests().total()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        // The books are checked when all has ended.
        if let Some(targets) = &running.world.targets {
            targets.close();
        }
        drop(running.world);
        drop(running.premises);
    }
}

async fn world(
    folder: &Path,
    (upstreams, target, keeps): (Vec<flow::Upstream>, Option<String>, bool),
    (tally, ledger): (Arc<Tally>, Ledger),
) -> World {
    let config = store::Config {
        path: folder.join("store"),
        max_size: None,
    };
    let store = match keeps {
        true => Store::open(config).await,
        false => Store::spool(config).await,
    };
    let store = store.expect("a store");
    let targets = target.map(|url| {
        let state = State::open(&folder.join("targets.redb")).expect("a file");
        let config = tidegate::target::Config {
            registry: registry::Config {
                leg: Leg::Target,
                ..config_of(MIRROR, &url)
            },
            place: Place::parse("{upstream}/{repository}").unwrap(),
            only: NameFilter::default(),
            complete: Complete::All,
            read: false,
            catalog_ttl: Duration::from_secs(3600),
        };
        Targets::new(vec![config], state, ledger).expect("targets")
    });
    let config = flow::Config {
        negative_ttl: Duration::ZERO,
        on_disconnect: OnDisconnect::Finish,
        has_access_rules: false,
    };
    let flow = Arc::new(match targets.clone() {
        Some(targets) => PullThrough::mirroring(config, store, upstreams, targets),
        None => PullThrough::new(config, store, upstreams),
    });
    if let Some(targets) = &targets {
        targets.start(tally.watching(flow.supply()));
    }
    World {
        sources: Sources::new(flow.clone()),
        flow,
        targets,
        tally,
        tell: Tell::All,
    }
}

fn upstream(name: &str, url: &str, ledger: &Ledger) -> flow::Upstream {
    let registry = Registry::new(config_of(name, url), ledger.clone()).expect("a client");
    flow::Upstream {
        registry: Arc::new(registry),
        tag_ttl: Duration::from_secs(3600),
        auth_ttl: Duration::from_secs(3600),
        names: NameFilter::default(),
    }
}

fn config_of(name: &str, url: &str) -> registry::Config {
    let limit = Duration::from_secs(20);
    registry::Config {
        name: name.parse().unwrap(),
        leg: Leg::Upstream,
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
            attempts: 2,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(10),
        },
    }
}

/// `up.test/<name>`.
pub(crate) fn repository(name: &str) -> Repository {
    Repository::new("up.test".parse().unwrap(), name.parse().unwrap())
}

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// Where a repository is at the target.
pub(crate) fn there(name: &str) -> String {
    format!("up.test/{name}")
}

/// These tags of a repository, named one by one, into the store; without what refers to them.
pub(crate) fn literal(name: &str, tags: &[&str]) -> Set {
    let tags: Vec<Tag> = tags.iter().map(|text| tag(text)).collect();
    Set {
        tags: TagSet::Literal(tags.into()),
        ..all_of(name)
    }
}

/// All tags of a repository, into the store; without what refers to them.
pub(crate) fn all_of(name: &str) -> Set {
    Set {
        name: "set".into(),
        from: vec![Source::Repository(repository(name))],
        tags: TagSet::default(),
        immutable: Vec::new(),
        min_tags: 0,
        platforms: Vec::new(),
        referrers: false,
        to: vec![Destination::Store],
        verify: Verify::Tags,
        prune: Prune::Off,
        prune_max: 10,
        schedule: None,
        quiet: Quiet::default(),
        bandwidth: None,
    }
}

/// Tags whose names fit a glob.
pub(crate) fn including(pattern: &str) -> TagSet {
    TagSet::Chosen(Filter {
        include: vec![pattern.parse::<Pattern>().unwrap()],
        ..Filter::default()
    })
}

/// The newest by version.
pub(crate) fn latest(count: usize) -> TagSet {
    TagSet::Chosen(Filter {
        latest: NonZeroUsize::new(count),
        ..Filter::default()
    })
}

/// To the target.
pub(crate) fn to_target() -> Vec<Destination> {
    vec![Destination::Target(MIRROR.into())]
}

/// To the store, and to the target.
pub(crate) fn to_both() -> Vec<Destination> {
    vec![Destination::Store, Destination::Target(MIRROR.into())]
}

/// Puts an image at the upstream.
pub(crate) fn put(up: &Upstream, image: &Image, repository: &str, tag: &str) {
    image.push_to(up, repository, tag);
}

/// The item about `image`.
pub(crate) fn item<'a>(report: &'a Report, image: &str) -> &'a Item {
    let found = report.items.iter().find(|item| item.image == image);
    found.unwrap_or_else(|| panic!("nothing is said of {image}: {report:#?}"))
}

/// How many items came to this.
pub(crate) fn count(report: &Report, outcome: ItemOutcome) -> usize {
    report
        .items
        .iter()
        .filter(|item| item.outcome == outcome)
        .count()
}
