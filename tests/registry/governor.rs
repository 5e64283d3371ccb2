//! The governor at the wire: who goes first, what is learned, what is configured.

use std::num::NonZeroU32;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Limiter;
use fake_registry::Recorded;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use http::Method;
use tidegate::ledger::FlowId;
use tidegate::ledger::Journal;
use tidegate::ledger::Ledger;
use tidegate::ledger::Move;
use tidegate::ledger::Record;
use tidegate::ledger::Rotation;
use tidegate::registry::Config;
use tidegate::registry::Limit;
use tidegate::registry::Priority;
use tidegate::registry::Rate;
use tidegate::registry::Registry;
use tidegate::report;
use tokio::task::JoinSet;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::open;
use crate::setup::put;

/// A registry, and a client for it of which nobody waits for the requests.
async fn pair(change: impl FnOnce(&mut Config)) -> (Upstream, Arc<Registry>, Arc<Registry>) {
    let upstream = Upstream::start().await;
    put(&upstream);
    let mut config = config(&upstream.url());
    change(&mut config);
    let foreground = Arc::new(open(config));
    let background = Arc::new(foreground.at_pace(Priority::Background));
    (upstream, foreground, background)
}

fn limit(registry: &Registry, window: &str) -> Option<Limit> {
    registry.limits().into_iter().find(|it| it.window == window)
}

/// Until `enough` is true of the window.
async fn until(registry: &Registry, window: &str, enough: impl Fn(&Limit) -> bool) {
    let looking = async {
        while !limit(registry, window).is_some_and(|it| enough(&it)) {
            tokio::task::yield_now().await;
        }
    };
    let looked = tokio::time::timeout(fake_registry::PATIENCE, looking).await;
    looked.unwrap_or_else(|_| panic!("{:?}", registry.limits()));
}

fn heads(registry: &Arc<Registry>, many: usize) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..many {
        let registry = registry.clone();
        all.spawn(async move { head(&registry).await.unwrap() });
    }
    all
}

#[tokio::test]
async fn a_client_goes_before_those_who_have_waited_longer() {
    let (upstream, foreground, background) = pair(|it| it.max_concurrent = Some(1)).await;
    let gate = Gate::new();
    upstream.fault(When::any().times(1), Fault::stall_header(&gate));
    let work = heads(&background, 4);
    until(&background, "heads", |it| {
        it.in_flight == 1 && it.waiting == 3
    })
    .await;
    let client = tokio::spawn({
        let foreground = foreground.clone();
        async move { get(&foreground).await.unwrap() }
    });
    until(&foreground, "reads", |it| it.waiting_foreground == 1).await;
    upstream.wait_for(|log| log.len() == 1).await;
    assert!(foreground.is_busy());
    gate.open();
    client.await.unwrap();
    work.join_all().await;
    let methods: Vec<_> = upstream.log().iter().map(|it| it.method.clone()).collect();
    assert_eq!(methods[1], Method::GET, "{}", lines(&upstream.log()));
    assert_eq!(methods.len(), 5);
}

#[tokio::test]
async fn background_work_leaves_room_for_clients() {
    let (upstream, foreground, background) = pair(|it| it.max_concurrent = Some(4)).await;
    let gate = Gate::new();
    upstream.fault(When::head("/manifests/"), Fault::stall_header(&gate));
    let work = heads(&background, 10);
    until(&background, "heads", |it| {
        it.in_flight == 3 && it.waiting == 7
    })
    .await;
    for _ in 0..5 {
        get(&foreground).await.unwrap();
    }
    let work_at = |log: &[Recorded]| log.iter().filter(|it| it.method == Method::HEAD).count();
    upstream.wait_for(|log| work_at(log) == 3).await;
    gate.open();
    work.join_all().await;
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_the_place_to_the_next() {
    let (upstream, _, background) = pair(|it| it.max_concurrent = Some(1)).await;
    let gate = Gate::new();
    upstream.fault(When::any().times(1), Fault::stall_header(&gate));
    let first = heads(&background, 1);
    until(&background, "heads", |it| it.in_flight == 1).await;
    let second = heads(&background, 1);
    until(&background, "heads", |it| it.waiting == 1).await;
    let third = heads(&background, 1);
    until(&background, "heads", |it| it.waiting == 2).await;
    drop(second);
    until(&background, "heads", |it| it.waiting == 1).await;
    gate.open();
    first.join_all().await;
    third.join_all().await;
    until(&background, "heads", |it| it.in_flight + it.waiting == 0).await;
    assert_eq!(upstream.log().len(), 2);
}

#[tokio::test]
async fn who_waits_for_a_token_holds_nothing() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let mut narrow = config(&upstream.url());
    narrow.max_concurrent = Some(1);
    let registry = Arc::new(open(narrow));
    head(&registry).await.unwrap();
    let gate = Gate::new();
    tokens.fault(When::any(), Fault::stall_header(&gate));
    let waiting = tokio::spawn({
        let registry = registry.clone();
        let other = "other".parse().unwrap();
        async move { registry.tag_list(FlowId::next(), &other, "").await }
    });
    tokens.wait_for(|log| log.len() == 2).await;
    head(&registry).await.unwrap();
    gate.open();
    waiting.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn so_many_at_once_are_found_and_nothing_fails() {
    let (upstream, _, background) = pair(|it| it.retries.cap = Duration::from_secs(20)).await;
    let limiter = Limiter::at_once(4).delay(Duration::from_millis(2));
    upstream.limit(When::any(), &limiter);
    for _ in 0..10 {
        heads(&background, 40).join_all().await;
    }
    assert_eq!(limiter.let_in(), 400);
    let limit = limit(&background, "heads").unwrap();
    assert!(limit.decreases > 0 && limit.size < 64, "{limit:?}");
    // A third would be much: it is for a machine that has other things to do.
    assert!(limiter.refused() < 130, "{}", limiter.refused());
}

#[tokio::test]
async fn an_answer_that_does_not_come_makes_it_smaller() {
    let (upstream, foreground, _) = pair(|it| it.retries.attempts = 1).await;
    head(&foreground).await.unwrap();
    let before = limit(&foreground, "heads").unwrap();
    upstream.stop().await;
    head(&foreground).await.unwrap_err();
    let after = limit(&foreground, "heads").unwrap();
    assert_eq!((before.decreases, after.decreases), (0, 1));
    assert!(after.size < before.size, "{after:?}");
    assert_eq!(after.rate, None, "nobody has spoken of a rate");
}

#[tokio::test]
async fn what_was_learned_outlives_another_configuration() {
    let (upstream, foreground, _) = pair(|it| it.retries.attempts = 1).await;
    upstream.fault(When::any().times(1), Fault::status(429));
    head(&foreground).await.unwrap_err();
    let mut other = config(&upstream.url());
    other.max_concurrent = Some(3);
    let next = Registry::succeeding(&foreground, other.clone(), Ledger::new()).unwrap();
    let learned = limit(&next, "heads").unwrap();
    assert!(learned.decreases == 1 && learned.size <= 3, "{learned:?}");
    other.credentials = crate::setup::basic("me", "secret");
    let stranger = Registry::succeeding(&next, other, Ledger::new()).unwrap();
    assert_eq!(stranger.limits(), []);
}

#[tokio::test]
async fn a_configured_rate_is_kept() {
    let rate = Rate {
        requests: NonZeroU32::new(1200).unwrap(),
        per: Duration::from_secs(60),
    };
    let (upstream, _, background) = pair(|it| it.rate = Some(rate)).await;
    let started = Instant::now();
    heads(&background, 11).join_all().await;
    // One leaves at once, as half of the burst is for clients.
    assert!(started.elapsed() >= Duration::from_millis(490));
    assert_eq!(upstream.log().len(), 11);
}

#[tokio::test]
async fn a_configured_bandwidth_is_kept() {
    let bytes = NonZeroU64::new(1 << 20).unwrap();
    let (upstream, foreground, _) = pair(|it| it.bandwidth = Some(bytes)).await;
    let digest = upstream.put_generated_blob(REPOSITORY, 640 << 10, 1);
    let started = Instant::now();
    let mut blob = blob(&foreground, &digest).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = blob.body.chunk().await {
        pieces.push(piece.unwrap().len());
    }
    let elapsed = started.elapsed();
    assert_eq!(pieces.iter().sum::<usize>(), 640 << 10);
    // The burst is 128 KiB, and the last piece, of whatever size, is paid for afterwards.
    let paid = (640 << 10) - (128 << 10) - pieces.last().unwrap();
    let least = Duration::from_secs_f64(paid as f64 / f64::from(1 << 20));
    assert!(elapsed >= least, "{elapsed:?} for {pieces:?}");
}

#[tokio::test]
async fn the_journal_tells_of_windows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let journal = Journal::open(&path, Rotation::NEVER).unwrap();
    let upstream = Upstream::start().await;
    put(&upstream);
    let mut single = config(&upstream.url());
    single.retries.attempts = 1;
    let registry = Registry::new(single, Ledger::with(vec![journal.clone()])).unwrap();
    head(&registry).await.unwrap();
    upstream.fault(When::any(), Fault::status(429));
    head(&registry).await.unwrap_err();
    journal.close();
    let mut moves = Vec::new();
    for records in report::read(&path, &[]).unwrap() {
        for record in records {
            if let Record::Window(window) = record.unwrap() {
                assert_eq!(
                    (&*window.registry, &*window.window),
                    ("registry.test", "heads")
                );
                moves.push((window.moved, window.size, window.decreases));
            }
        }
    }
    assert_eq!(moves, [(Move::Growth, 4, 0), (Move::Decrease, 2, 1)]);
}
