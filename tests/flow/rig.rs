use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Client;
use fake_registry::Reply;
use fake_registry::RequestBuilder;
use fake_registry::Target;
use fake_registry::Upstream;
use tempfile::TempDir;
use tidegate::flow;
use tidegate::flow::OnDisconnect;
use tidegate::flow::PullThrough;
use tidegate::flow::UpstreamState;
use tidegate::front;
use tidegate::front::Front;
use tidegate::ledger::Books;
use tidegate::ledger::Ledger;
use tidegate::ledger::Leg;
use tidegate::oci::NameFilter;
use tidegate::oci::media;
use tidegate::registry;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Retries;
use tidegate::registry::Timeouts;
use tidegate::store;
use tidegate::store::Store;
use tidegate::target;
use tidegate::target::Complete;
use tidegate::target::Place;
use tidegate::target::State;
use tidegate::target::Supply;
use tidegate::target::Targets;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::log;
use crate::premises::Premises;

/// A MiB, in bytes.
pub(crate) const MIB: u64 = 1 << 20;

/// How a proxy is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) tag_ttl: Duration,
    pub(crate) negative_ttl: Duration,
    pub(crate) auth_ttl: Duration,
    pub(crate) credentials: Credentials,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) has_access_rules: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    /// The most that the store holds, in bytes.
    pub(crate) max_size: Option<u64>,
    /// The most exchanges with each upstream at a time.
    pub(crate) max_concurrent: Option<usize>,
    /// The most ranges of one blob at a time; `None` for what is usual.
    pub(crate) parallel_ranges: Option<usize>,
    /// Whose certificates the upstreams have.
    pub(crate) ca: Option<PathBuf>,
    /// Where `up.test` is, where that is not the scripted one.
    pub(crate) url: Option<String>,
    /// Where else it is.
    pub(crate) fallback: Vec<String>,
    /// Further upstreams: name and URL.
    pub(crate) others: Vec<(&'static str, String)>,
    /// Whether the store keeps what is pulled.
    pub(crate) keeps: bool,
    /// Where what is pulled is mirrored to.
    pub(crate) targets: Vec<Mirrored>,
}

/// A target.
#[derive(Clone, Debug)]
pub(crate) struct Mirrored {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) read: bool,
    pub(crate) complete: Complete,
}

impl Mirrored {
    /// One that is written to, and gets what was pulled.
    pub(crate) fn into(name: &'static str, target: &Target) -> Self {
        Self {
            name,
            url: target.url(),
            read: false,
            complete: Complete::All,
        }
    }

    /// One that is read from as well.
    pub(crate) fn read(name: &'static str, target: &Target) -> Self {
        Self {
            read: true,
            ..Self::into(name, target)
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            tag_ttl: Duration::ZERO,
            negative_ttl: Duration::from_secs(60),
            auth_ttl: Duration::from_secs(3600),
            credentials: Credentials::Anonymous,
            on_disconnect: OnDisconnect::Finish,
            has_access_rules: false,
            timeouts: timeouts(Duration::from_secs(30)),
            allow: Vec::new(),
            deny: Vec::new(),
            max_size: None,
            max_concurrent: None,
            parallel_ranges: None,
            ca: None,
            url: None,
            fallback: Vec::new(),
            others: Vec::new(),
            keeps: true,
            targets: Vec::new(),
        }
    }
}

impl Setup {
    fn flow(&self) -> flow::Config {
        flow::Config {
            negative_ttl: self.negative_ttl,
            on_disconnect: self.on_disconnect,
            has_access_rules: self.has_access_rules,
        }
    }

    /// One that does not wait long for a silent upstream.
    pub(crate) fn impatient() -> Self {
        Self {
            timeouts: timeouts(Duration::from_secs(1)),
            ..Self::default()
        }
    }
}

pub(crate) fn timeouts(limit: Duration) -> Timeouts {
    Timeouts {
        connect: limit,
        header: limit,
        idle_body: limit,
    }
}

/// A proxy over an empty store, in this process, in front of one scripted upstream, `up.test`.
pub(crate) struct Rig {
    pub(crate) up: Upstream,
    pub(crate) client: Client,
    pub(crate) flow: Arc<PullThrough>,
    pub(crate) shelf: Arc<Store>,
    pub(crate) targets: Option<Arc<Targets>>,
    url: String,
    folder: TempDir,
    setup: Setup,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<usize>,
    premises: Premises,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::over(Upstream::start().await, folder, setup).await
    }

    /// In front of a registry that is not as others.
    pub(crate) async fn before(up: Upstream, setup: Setup) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::over(up, folder, setup).await
    }

    /// Takes over another configuration, as a reload does.
    pub(crate) fn reconfigure(&self, setup: &Setup) {
        let upstreams = upstreams(&self.up, setup, &self.premises.ledger());
        self.flow.reconfigure(setup.flow(), upstreams);
    }

    async fn over(up: Upstream, folder: TempDir, setup: Setup) -> Self {
        log::capture();
        let premises = Premises::new();
        let ledger = premises.ledger();
        let config = store::Config {
            path: folder.path().join("store"),
            max_size: setup.max_size,
        };
        let upstreams = upstreams(&up, &setup, &ledger);
        let flow = setup.flow();
        let keeps = setup.keeps;
        let targets = targets(&setup, folder.path(), &ledger);
        let building = async move {
            let store = match keeps {
                true => Store::open(config).await,
                false => Store::spool(config).await,
            };
            let store = store.expect("a store");
            let flow = Arc::new(match targets.clone() {
                Some(to) => PullThrough::mirroring(flow, store.clone(), upstreams, to),
                None => PullThrough::new(flow, store.clone(), upstreams),
            });
            targets.iter().for_each(|it| it.start(flow.supply()));
            let config = front::Config {
                listen: vec![([127, 0, 0, 1], 0).into()],
                default_upstream: "up.test".parse().ok(),
                ..front::Config::default()
            };
            let front = Front::bind(config, flow.clone(), ledger).await;
            (store, (flow, targets), front.expect("a port"))
        };
        let (store, (flow, targets), front) = premises.run(building).await;
        let url = format!("http://{}", front.local_addrs()[0]);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let running = front.run(stopped, Duration::from_secs(5));
        let running = premises.runtime().spawn(running);
        let client = Client::new();
        Self {
            up,
            client,
            flow,
            shelf: store,
            targets,
            url,
            folder,
            setup,
            stop: Some(stop),
            running,
            premises,
        }
    }

    /// The same proxy, ended and started again over the same store.
    pub(crate) async fn restarted(mut self) -> Self {
        drop(self.stop.take());
        assert_eq!((&mut self.running).await.expect("the front ended well"), 0);
        self.flow.settled().await;
        if let Some(targets) = &self.targets {
            targets.settled().await;
        }
        drop(self.flow);
        drop(self.shelf);
        drop(self.targets);
        drop(self.premises);
        Self::over(self.up, self.folder, self.setup).await
    }

    /// What the targets are supplied by.
    pub(crate) fn supply(&self) -> Arc<dyn Supply> {
        self.flow.supply()
    }

    /// Does `work` where the proxy runs.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.premises.runtime().spawn(work)
    }

    /// Waits until all that can be mirrored now is.
    pub(crate) async fn mirrored(&self) {
        let targets = self.targets.as_ref().expect("targets");
        targets.settled().await;
    }

    /// The books, once nothing is under way.
    pub(crate) async fn books(&self) -> Books {
        self.premises.books().await
    }

    /// The books as they are.
    pub(crate) fn ledger(&self) -> Ledger {
        self.premises.ledger()
    }

    /// The store's folder.
    pub(crate) fn store(&self) -> std::path::PathBuf {
        self.folder.path().join("store")
    }

    /// How many files of fills that are not committed there are.
    pub(crate) fn unfinished(&self) -> usize {
        let folder = self.store().join("tidegate/tmp");
        std::fs::read_dir(folder).expect("the folder").count()
    }

    /// How `up.test` does.
    pub(crate) fn state(&self) -> UpstreamState {
        let states = self.flow.upstreams().into_iter();
        let mut own = states.filter(|state| state.name.as_str() == "up.test");
        own.next().expect("an upstream")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/v2/{path}", self.url)
    }

    /// Asks for a path as a client of its own, which `read`s the answer byte by byte: over plain
    /// HTTP/1.1, to the connection's end.
    pub(crate) async fn raw(&self, path: &str) -> Vec<u8> {
        let host = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.expect("a connection");
        let request =
            format!("GET /v2/{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        // A reset ends it as well as an orderly end.
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            all.extend_from_slice(&buffer[..read]);
        }
        all
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.client
            .get(self.url(path))
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) async fn head(&self, path: &str) -> Reply {
        self.accepting(self.client.head(self.url(path)))
            .send()
            .await
            .expect("an answer")
    }

    /// A manifest, as a client asks for it that can read all types.
    pub(crate) async fn manifest(&self, path: &str) -> Reply {
        self.accepting(self.client.get(self.url(path)))
            .send()
            .await
            .expect("an answer")
    }

    pub(crate) fn accepting(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("accept", media::ACCEPT_NATIVE)
    }

    pub(crate) async fn range(&self, path: &str, range: &str) -> Reply {
        self.client
            .get(self.url(path))
            .header("range", range)
            .send()
            .await
            .expect("an answer")
    }

    /// What reached the upstream since the log was cleared, `HEAD` and `GET` apart.
    pub(crate) fn asked(&self) -> (usize, usize) {
        let count = |method: &str| self.up.count(|r| r.method.as_str() == method);
        (count("HEAD"), count("GET"))
    }

    /// Puts an image manifest that names `blobs`.
    pub(crate) fn put_image(&self, repository: &str, tag: &str, blobs: &[&str]) -> String {
        let layers: Vec<_> = blobs
            .iter()
            .map(|digest| {
                serde_json::json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest, "size": 1,
                })
            })
            .collect();
        let json = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "layers": layers,
            "annotations": { "tag": tag },
        });
        self.up
            .put_manifest(repository, tag, media::OCI_MANIFEST, json.to_string())
    }
}

fn upstreams(up: &Upstream, setup: &Setup, ledger: &Ledger) -> Vec<flow::Upstream> {
    let url = setup.url.clone().unwrap_or_else(|| up.url());
    let upstream = |name: &str, url: &str, fallback: &[String]| flow::Upstream {
        registry: Arc::new(registry(name, (url, fallback), setup, ledger)),
        tag_ttl: setup.tag_ttl,
        auth_ttl: setup.auth_ttl,
        names: NameFilter::new(&setup.allow, &setup.deny).expect("globs"),
    };
    let mut upstreams = vec![upstream("up.test", &url, &setup.fallback)];
    let others = setup.others.iter();
    upstreams.extend(others.map(|(name, url)| upstream(name, url, &[])));
    upstreams
}

fn targets(setup: &Setup, folder: &Path, ledger: &Ledger) -> Option<Arc<Targets>> {
    if setup.targets.is_empty() {
        return None;
    }
    let state = State::open(&folder.join("targets.redb")).expect("a place for what is known");
    let config = |it: &Mirrored| target::Config {
        registry: registry::Config {
            leg: Leg::Target,
            ..config(it.name, (&it.url, &[]), setup)
        },
        place: Place::parse("mirror/{upstream}/{repository}").expect("a place"),
        only: NameFilter::default(),
        complete: it.complete,
        read: it.read,
        catalog_ttl: Duration::from_secs(3600),
    };
    let configs = setup.targets.iter().map(config).collect();
    Some(Targets::new(configs, state, ledger.clone()).expect("targets"))
}

fn registry(
    name: &str,
    (url, fallback): (&str, &[String]),
    setup: &Setup,
    ledger: &Ledger,
) -> Registry {
    let config = config(name, (url, fallback), setup);
    Registry::new(config, ledger.clone()).expect("a registry client")
}

fn config(name: &str, (url, fallback): (&str, &[String]), setup: &Setup) -> registry::Config {
    registry::Config {
        name: name.parse().expect("a name"),
        url: url.parse().expect("a URL"),
        leg: Leg::Upstream,
        fallback: fallback
            .iter()
            .map(|url| url.parse().expect("a URL"))
            .collect(),
        credentials: setup.credentials.clone(),
        ca: setup.ca.clone(),
        plain_http: true,
        allow_private: false,
        max_concurrent: setup.max_concurrent,
        parallel_ranges: setup.parallel_ranges,
        rate: None,
        bandwidth: None,
        timeouts: setup.timeouts.clone(),
        retries: Retries {
            attempts: 2,
            base: Duration::from_millis(10),
            cap: Duration::from_secs(1),
        },
    }
}

/// A reply's `X-Cache`.
pub(crate) fn cache(reply: &Reply) -> &str {
    reply.header("x-cache").unwrap_or_default()
}
