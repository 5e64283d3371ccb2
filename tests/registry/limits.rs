//! Limits of a registry: who has had too much is left alone, by everybody.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Recorded;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use http::Method;
use tidegate::ledger::Action;
use tidegate::ledger::FlowId;
use tidegate::registry::Error;
use tidegate::registry::Limit;
use tidegate::registry::Registry;
use tokio::task::JoinSet;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::logged;
use crate::setup::name;
use crate::setup::open;
use crate::setup::pair;
use crate::setup::put;
use crate::setup::read;

const HOUR: Duration = Duration::from_secs(3600);

fn too_much(seconds: &str) -> Fault {
    Fault::status(429).header("retry-after", seconds)
}

/// How long the caller is told to wait.
fn pause<T>(outcome: Result<T, Error>) -> Duration {
    match outcome.map(drop) {
        Err(Error::Throttled {
            retry_after: Some(pause),
        }) => pause,
        other => panic!("{other:?}"),
    }
}

async fn fifty_heads(registry: &Arc<Registry>) -> Vec<Result<(), Error>> {
    let mut askers = JoinSet::new();
    for _ in 0..50 {
        let registry = registry.clone();
        askers.spawn(async move { head(&registry).await });
    }
    askers.join_all().await
}

/// The limits that the registry has told of.
fn told(registry: &Registry) -> Vec<Limit> {
    let mut limits = registry.limits();
    limits.retain(|limit| limit.paused.is_some() || limit.quota.is_some());
    limits
}

fn window(registry: &Registry, name: &str) -> Limit {
    let limits = registry.limits();
    let found = limits.iter().find(|limit| limit.window == name);
    found.unwrap_or_else(|| panic!("{limits:?}")).clone()
}

#[tokio::test]
async fn a_429_pauses_its_window_for_everybody() {
    let (upstream, registry) = pair().await;
    let digest = upstream.put_blob(REPOSITORY, "content");
    let registry = Arc::new(registry);
    upstream.fault(When::head("/manifests/").times(1), too_much("3600"));
    assert_eq!(pause(head(&registry).await), HOUR);
    for refused in fifty_heads(&registry).await {
        let left = pause(refused);
        assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    }
    let parsed = digest.parse().unwrap();
    pause(registry.blob_head(FlowId::next(), &name(), &parsed).await);
    assert_eq!(upstream.log().len(), 1, "{}", lines(&upstream.log()));

    let paused = window(&registry, "heads").paused.unwrap();
    assert!(paused <= HOUR && paused > HOUR / 2, "{paused:?}");
    assert!(!registry.has_spare(Action::ManifestHead));
    assert!(registry.has_spare(Action::BlobGet));
    read(blob(&registry, &digest).await.unwrap()).await.unwrap();
    registry
        .tag_list(FlowId::next(), &name(), "")
        .await
        .unwrap();
    assert_eq!(upstream.log().len(), 3, "other windows are open");
    let warned = logged(&upstream.host(), "too many requests (429), paused");
    assert_eq!(warned.len(), 1, "{warned:#?}");
    assert!(warned[0].contains("WARN") && warned[0].contains("(heads)"));
}

#[tokio::test]
async fn many_at_once_are_one_pause() {
    let (upstream, registry) = pair().await;
    let registry = Arc::new(registry);
    let gate = Gate::new();
    let late = too_much("3600").and(Fault::stall_header(&gate));
    upstream.fault(When::any(), late);
    let asked = tokio::spawn(async move { fifty_heads(&registry).await });
    upstream.wait_for(|log| log.len() == 50).await;
    gate.open();
    for refused in asked.await.unwrap() {
        assert!(pause(refused) <= HOUR);
    }
    assert_eq!(upstream.log().len(), 50);
    let warned = logged(&upstream.host(), "too many requests");
    assert_eq!(warned.len(), 1, "{warned:#?}");
}

#[tokio::test]
async fn a_503_pauses_where_it_says_for_how_long() {
    let (upstream, registry) = pair().await;
    let busy = Fault::status(503).header("retry-after", "3600");
    upstream.fault(When::any().times(1), busy);
    let error = head(&registry).await.unwrap_err();
    assert!(
        matches!(error, Error::Status { status: 503, .. }),
        "{error:?}"
    );
    pause(head(&registry).await);
    assert_eq!(upstream.log().len(), 1);
}

/// Notes when each request came, at which nothing goes wrong.
fn clock(upstream: &Upstream) -> Arc<Mutex<Vec<Instant>>> {
    let times = Arc::<Mutex<Vec<Instant>>>::default();
    let noted = times.clone();
    let note = move |_: &Recorded| {
        noted.lock().unwrap().push(Instant::now());
        false
    };
    upstream.fault(When::any().and(note), Fault::status(500));
    times
}

#[tokio::test]
async fn a_short_pause_is_waited_out_by_all() {
    let (upstream, _) = pair().await;
    let mut patient = config(&upstream.url());
    patient.retries.cap = Duration::from_secs(15);
    let registry = Arc::new(open(patient));
    let times = clock(&upstream);
    upstream.fault(When::any().times(1), too_much("1"));
    let first = tokio::spawn({
        let registry = registry.clone();
        async move { head(&registry).await }
    });
    upstream
        .wait_for(|log| log.iter().any(|it| it.status.is_some()))
        .await;
    // Not before the answer is read may others be expected to know of it.
    while told(&registry).is_empty() {
        tokio::task::yield_now().await;
    }
    for done in fifty_heads(&registry).await {
        done.unwrap();
    }
    first.await.unwrap().unwrap();
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 52);
    for time in &times[1..] {
        assert!(*time - times[0] >= Duration::from_secs(1));
    }
    assert_eq!(logged(&upstream.host(), "answers again").len(), 1);
}

#[tokio::test]
async fn one_request_goes_first_after_a_pause() {
    let (upstream, _) = pair().await;
    let mut patient = config(&upstream.url());
    patient.retries.cap = Duration::from_secs(15);
    let registry = Arc::new(open(patient));
    let times = clock(&upstream);
    let gate = Gate::new();
    upstream.fault(When::any().times(1), too_much("1"));
    upstream.fault(When::any().after(1), Fault::stall_header(&gate));
    let asked = tokio::spawn({
        let registry = registry.clone();
        async move {
            let first = head(&registry).await;
            first.unwrap();
        }
    });
    while told(&registry).is_empty() {
        tokio::task::yield_now().await;
    }
    let others = tokio::spawn(async move { fifty_heads(&registry).await });
    upstream.wait_for(|log| log.len() == 3).await;
    gate.open();
    asked.await.unwrap();
    for done in others.await.unwrap() {
        done.unwrap();
    }
    let times = times.lock().unwrap();
    let gap = times[2] - times[1];
    assert!(
        gap >= Duration::from_millis(100),
        "the next came {gap:?} later"
    );
}

#[tokio::test]
async fn pauses_grow_where_the_registry_names_none() {
    let (upstream, _) = pair().await;
    let mut single = config(&upstream.url());
    single.retries.attempts = 1;
    single.retries.base = Duration::from_millis(100);
    single.retries.cap = Duration::from_secs(15);
    let registry = open(single);
    let throttled = upstream.fault(When::any(), Fault::status(429));
    for least in [100, 200, 400] {
        let least = Duration::from_millis(least);
        let told = pause(head(&registry).await);
        assert!(told >= least && told <= least * 3 / 2, "{told:?}");
    }
    throttled.lift();
    head(&registry).await.unwrap();
    assert!(told(&registry).is_empty(), "{:?}", registry.limits());
    upstream.fault(When::any(), Fault::status(429));
    let told = pause(head(&registry).await);
    assert!(
        told <= Duration::from_millis(150),
        "from the start: {told:?}"
    );
    assert_eq!(upstream.log().len(), 5);
}

#[tokio::test]
async fn who_goes_down_after_a_pause_is_told_as_down() {
    let (upstream, _) = pair().await;
    let mut single = config(&upstream.url());
    single.retries.attempts = 1;
    single.retries.cap = Duration::from_secs(15);
    let registry = open(single);
    upstream.fault(When::any(), Fault::status(429));
    pause(head(&registry).await);
    upstream.stop().await;
    for _ in 0..3 {
        let error = head(&registry).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    }
    assert!(told(&registry).is_empty(), "nobody waits for it");
}

#[tokio::test]
async fn a_throttled_head_never_becomes_a_get() {
    for fault in [Fault::status(429), too_much("1"), too_much("3600")] {
        let (upstream, registry) = pair().await;
        upstream.fault(When::any(), fault);
        pause(head(&registry).await);
        pause(head(&registry).await);
        let log = upstream.log();
        assert!(
            log.iter().all(|it| it.method == Method::HEAD),
            "{}",
            lines(&log)
        );
    }
}

#[tokio::test]
async fn a_token_servers_429_pauses_nothing_else() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let registry = Arc::new(open(config(&upstream.url())));
    head(&registry).await.unwrap();
    tokens.fault(When::any(), too_much("3600"));
    let other = "other".parse().unwrap();
    for _ in 0..3 {
        pause(registry.tag_list(FlowId::next(), &other, "").await);
    }
    assert_eq!(tokens.log().len(), 2, "{}", lines(&tokens.log()));
    head(&registry).await.unwrap();
    let limits = told(&registry);
    assert_eq!(limits.len(), 1, "{limits:?}");
    assert_eq!(limits[0].window, "token");
}

#[tokio::test]
async fn a_429_of_a_cdn_pauses_what_is_redirected_there() {
    let (upstream, registry) = pair().await;
    let cdn = Upstream::start().await;
    let digest = upstream.put_blob(REPOSITORY, "content");
    upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    cdn.fault(When::any(), too_much("3600"));
    for _ in 0..3 {
        pause(blob(&registry, &digest).await);
    }
    assert_eq!((upstream.log().len(), cdn.log().len()), (1, 1));
    get(&registry).await.unwrap();
    assert_eq!(
        window(&registry, "blob-get, redirected").host.as_ref(),
        upstream.host()
    );
}

#[tokio::test]
async fn a_fallback_helps_where_the_main_one_has_had_too_much() {
    let ((main, _), (spare, _)) = (pair().await, pair().await);
    let mut two = config(&main.url());
    two.fallback = vec![spare.url().parse().unwrap()];
    let registry = open(two);
    main.fault(When::any(), too_much("3600"));
    for _ in 0..3 {
        head(&registry).await.unwrap();
    }
    assert_eq!((main.log().len(), spare.log().len()), (1, 3));
    spare.fault(When::any(), too_much("7200"));
    let told = pause(head(&registry).await);
    assert!(told <= HOUR, "the main one's pause counts: {told:?}");
}

#[tokio::test]
async fn quota_headers_are_kept_by_window() {
    let (upstream, registry) = pair().await;
    let quota = |remaining: &str| {
        Fault::extra_header("ratelimit-limit", "100;w=21600")
            .header("ratelimit-remaining", &format!("{remaining};w=21600"))
            .header("docker-ratelimit-source", "192.0.2.1")
    };
    let plenty = upstream.fault(When::head("/manifests/"), quota("76"));
    assert!(told(&registry).is_empty());
    head(&registry).await.unwrap();
    let limits = told(&registry);
    assert_eq!(limits.len(), 1, "{limits:?}");
    let kept = limits[0].quota.clone().unwrap();
    assert_eq!(
        (limits[0].window.as_str(), limits[0].paused),
        ("heads", None)
    );
    assert_eq!((kept.limit, kept.remaining), (Some(100), 76));
    assert_eq!(kept.window, Some(6 * HOUR));
    assert_eq!(kept.source.as_deref(), Some("192.0.2.1"));
    assert!(kept.seen.elapsed().unwrap() < HOUR);
    assert!(registry.has_spare(Action::ManifestHead));
    plenty.lift();

    // People's requests go on to the last; what can wait does not.
    let little = upstream.fault(When::head("/manifests/"), quota("15"));
    head(&registry).await.unwrap();
    assert!(!registry.has_spare(Action::ManifestHead));
    assert!(registry.has_spare(Action::ManifestGet));
    let warned = || logged(&upstream.host(), "of 100 requests are left");
    assert!(warned().is_empty());
    little.lift();
    upstream.fault(When::head("/manifests/"), quota("9"));
    head(&registry).await.unwrap();
    head(&registry).await.unwrap();
    assert_eq!(warned().len(), 1, "once: {:#?}", warned());
    assert!(warned()[0].contains("WARN") && warned()[0].contains("9 of 100"));
}
