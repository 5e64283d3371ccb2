//! What needs names that resolve as a test says: the seam is [`Outside::lookup`], all else is real.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use fake_registry::Access;
use fake_registry::DockerRegistry;
use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::Method;
use tower_service::Service as _;

use super::*;
use crate::ledger::Leg;

const MANIFEST: &[u8] = b"{}";

/// A resolver that knows what it is told. A name may have several addresses.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Names {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        let mut names = self.0.lock().unwrap();
        names.insert(name.to_owned(), addresses.collect());
    }

    fn lookup(&self) -> resolver::Lookup {
        let names = self.0.clone();
        Arc::new(move |name| {
            let found = names.lock().unwrap().get(name.as_str()).cloned();
            let found = found.unwrap_or_default().into_iter();
            let found = found.map(|address| SocketAddr::new(address, 0)).collect();
            Box::pin(std::future::ready(Ok(found)))
        })
    }

    fn open(&self, url: &str) -> Registry {
        let limit = Duration::from_secs(10);
        let config = Config {
            name: "registry.test".parse().unwrap(),
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
                connect: limit,
                header: limit,
                idle_body: limit,
            },
            retries: Retries {
                attempts: 1,
                base: Duration::from_millis(1),
                cap: Duration::from_millis(1),
            },
        };
        let (ledger, lookup) = (Ledger::new(), self.lookup());
        let retried = Arc::default();
        let outside = Outside {
            ledger,
            lookup,
            retried,
            allowance: Allowance::new(&config),
            known: Vec::new(),
        };
        Registry::outside(config, &outside).unwrap()
    }
}

/// Where `server` is, by `name`.
fn called(server: &fake_registry::Server, name: &str) -> String {
    format!("http://{name}:{}", server.address().port())
}

async fn upstream() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.put_manifest("team/app", "latest", "a/b", MANIFEST);
    upstream
}

fn tag() -> (Name, Reference) {
    ("team/app".parse().unwrap(), "latest".parse().unwrap())
}

async fn get(registry: &Registry) -> Result<(), Error> {
    let (name, latest) = tag();
    let got = registry.manifest_get(FlowId::next(), &name, &latest, "");
    got.await.map(drop)
}

async fn head(registry: &Registry) -> Result<(), Error> {
    let (name, latest) = tag();
    let got = registry.manifest_head(FlowId::next(), &name, &latest, "");
    got.await.map(drop)
}

fn refused(outcome: Result<(), Error>) -> String {
    match outcome {
        Err(Error::Wrong(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_name_that_resolves_to_another_kind_is_not_dialled() {
    let (up, inside, names) = (upstream().await, upstream().await, Names::default());
    names.set("registry.test", &["127.0.0.1"]);
    let registry = names.open(&called(&up, "registry.test"));
    let to_inside = Fault::redirect_to_host(&called(&inside, "inside.test"));
    up.fault(When::any(), to_inside);
    // The last one is this machine, as systems have it: a dial would be seen.
    for (address, kind) in [
        ("10.0.0.1", "private"),
        ("fd00::1", "private"),
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("0.0.0.0", "unspecified"),
    ] {
        names.set("inside.test", &[address]);
        let text = refused(get(&registry).await);
        assert!(text.contains("inside.test at "), "{text}");
        assert!(text.contains(kind), "{address}: {text}");
        assert!(text.contains("allow_private"), "{text}");
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_name_that_resolves_anew_gets_around_nothing() {
    let (up, cdn, names) = (upstream().await, upstream().await, Names::default());
    names.set("registry.test", &["127.0.0.1"]);
    names.set("cdn.test", &["127.0.0.1"]);
    let registry = names.open(&called(&up, "registry.test"));
    up.fault(
        When::any(),
        Fault::redirect_to_host(&called(&cdn, "cdn.test")),
    );
    get(&registry).await.unwrap();
    names.set("cdn.test", &["0.0.0.0"]);
    // Its connections close, so that it is to be dialled again.
    cdn.restart().await;
    let error = get(&registry).await;
    // The closed connection may have been tried first.
    let error = match error {
        Err(Error::Unreachable(_)) => get(&registry).await,
        other => other,
    };
    refused(error);
    assert_eq!(cdn.connections(), 1);
}

#[tokio::test]
async fn of_several_addresses_only_those_are_dialled_that_may_be() {
    let names = Names::default();
    names.set("cdn.test", &["0.0.0.0", "10.0.0.1", "1.1.1.1", "::1"]);
    let registry = names.open("http://registry.test");
    let guard = guard::Guard::new(&registry.config, &registry.config.url);
    let mut resolver = resolver::Resolver {
        lookup: names.lookup(),
        guard: Some(Arc::new(guard)),
    };
    let found = resolver.call("cdn.test".parse().unwrap()).await.unwrap();
    let found: Vec<_> = found.map(|address| address.ip().to_string()).collect();
    assert_eq!(found, ["1.1.1.1"]);
}

#[tokio::test]
async fn a_token_server_is_looked_up_as_carefully() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let (up, names) = (upstream().await, Names::default());
    names.set("registry.test", &["127.0.0.1"]);
    names.set("tokens.test", &["0.0.0.0"]);
    let realm = format!("{}/token", called(&tokens, "tokens.test"));
    let challenge = format!(r#"Bearer realm="{realm}",service="registry.test""#);
    let refusal = Fault::status(401).header("www-authenticate", &challenge);
    up.fault(When::any().times(2), refusal);
    let registry = names.open(&called(&up, "registry.test"));
    let text = refused(get(&registry).await);
    assert!(text.contains("the token server tokens.test"), "{text}");
    assert_eq!(tokens.connections(), 0);
    names.set("tokens.test", &["127.0.0.1"]);
    get(&registry).await.unwrap();
}

#[tokio::test]
async fn docker_hubs_limits_are_as_its_family_has_them() {
    let (up, names) = (upstream().await, Names::default());
    names.set("registry-1.docker.io", &["127.0.0.1"]);
    let registry = names.open(&called(&up, "registry-1.docker.io"));
    let told = Fault::extra_header("ratelimit-limit", "100;w=21600")
        .header("ratelimit-remaining", "7;w=21600");
    up.fault(When::head("/manifests/"), told);
    head(&registry).await.unwrap();
    let mut limits = registry.limits();
    limits.retain(|limit| limit.quota.is_some());
    assert_eq!(limits[0].window, "manifest-get", "{limits:?}");
    assert!(!registry.has_spare(Action::ManifestGet));
    assert!(registry.has_spare(Action::ManifestHead), "they are free");
    assert!(registry.has_spare(Action::BlobGet));

    let too_much = Fault::status(429).header("retry-after", "60");
    up.fault(When::get("/manifests/"), too_much);
    for _ in 0..3 {
        let error = get(&registry).await.unwrap_err();
        assert!(matches!(error, Error::Throttled { .. }), "{error:?}");
    }
    head(&registry).await.unwrap();
    let gets = up.count(|it| it.method == Method::GET);
    assert_eq!(gets, 1, "{}", fake_registry::lines(&up.log()));
}

/// All of a blob that was uploaded in `way` is there.
async fn goes(registry: &Registry, way: way::Way, bytes: &Bytes) {
    let (flow, (name, _)) = (FlowId::next(), tag());
    registry.endpoints[0].ways.set(way);
    let Started::Session(session) = registry.upload_start(flow, &name, None).await.unwrap() else {
        panic!("it was no mount");
    };
    let digest = Digest::of(bytes);
    let mut rest = bytes.clone();
    let chunks = std::iter::from_fn(move || {
        let next = rest.split_to(rest.len().min(100_001));
        (!next.is_empty()).then_some(Ok(next))
    });
    let content = Content {
        size: bytes.len() as u64,
        chunks: stream::iter(chunks.collect::<Vec<_>>()).boxed(),
    };
    let sent = registry.upload(flow, session, &digest, content).await;
    sent.unwrap_or_else(|error| panic!("{way:?}: {error}"));
    let got = registry.blob_get(flow, &name, &digest, None).await;
    let mut got = got.unwrap().body;
    let whole = got.whole(bytes.len()).await.unwrap().bytes;
    assert!(whole == *bytes, "{way:?}: other bytes");
}

#[tokio::test]
async fn a_real_registry_takes_a_blob_in_each_way() {
    if !fake_registry::need(&["docker-registry"]) {
        return;
    }
    let docker = DockerRegistry::builder().start().await;
    let registry = Names::default().open(&docker.url());
    let ways = [way::Way::Put, way::Way::Patch, way::Way::Chunks(300_000)];
    for (seed, way) in ways.into_iter().enumerate() {
        let large = vec![seed as u8 + 1; 1_000_000];
        for bytes in [&large[..1000], &large[..300_000], &large] {
            goes(&registry, way, &Bytes::copy_from_slice(bytes)).await;
        }
    }
    let patches = |log: &[Access]| log.iter().filter(|it| it.method == "PATCH").count();
    docker.wait_for(|log| patches(log) == 3 + 4).await;
}
