//! Tokens and logins that end, change or can't be had, while there is work.

use std::sync::Arc;
use std::time::Duration;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use tidegate::ledger::FlowId;
use tidegate::registry::Credentials;
use tidegate::registry::Error;
use tidegate::registry::Registry;
use tokio::task::JoinSet;

use crate::journal;
use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::head;
use crate::setup::name;
use crate::setup::open;
use crate::setup::put;
use crate::setup::read;

/// Between the requests of a client that asks again and again.
const PACE: Duration = Duration::from_millis(20);

async fn public() -> (TokenServer, Upstream, Arc<Registry>) {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let registry = open(config(&upstream.url()));
    (tokens, upstream, Arc::new(registry))
}

fn refusals(upstream: &Upstream) -> usize {
    upstream.count(|request| request.status.is_some_and(|status| status == 401))
}

async fn tags_of(registry: &Registry, repository: &str) -> Result<(), Error> {
    let repository = repository.parse().unwrap();
    let listing = registry.tag_list(FlowId::next(), &repository, "").await;
    listing.map(drop)
}

#[tokio::test]
async fn a_token_that_ends_in_mid_pull_is_fetched_anew_once() {
    let (tokens, upstream, registry) = public().await;
    let digest = upstream.put_generated_blob(REPOSITORY, 80_000, 1);
    let gate = Gate::new();
    upstream.fault(
        When::get("/blobs/").times(1),
        Fault::stall_after(10_000, &gate),
    );
    let mut whole = blob(&registry, &digest).await.unwrap();
    let first = whole.body.chunk().await.unwrap().unwrap();
    tokens.revoke_tokens();

    let mut parts = JoinSet::new();
    for part in 1..8 {
        let (registry, digest) = (registry.clone(), digest.parse().unwrap());
        parts.spawn(async move {
            let (flow, name) = (FlowId::next(), name());
            let range = Some(part * 10_000..(part + 1) * 10_000);
            let part = registry
                .blob_get(flow, &name, &digest, range)
                .await
                .unwrap();
            assert!(part.partial);
            read(part).await.unwrap().len()
        });
    }
    let lengths = parts.join_all().await;
    assert_eq!(lengths, [10_000; 7]);
    assert_eq!(tokens.issued(), 2, "{}", lines(&tokens.log()));
    assert!(refusals(&upstream) <= 8, "{}", lines(&upstream.log()));
    gate.open();
    let rest = read(whole).await.unwrap();
    assert_eq!(
        first.len() + rest.len(),
        80_000,
        "what runs is not disturbed"
    );
}

#[tokio::test]
async fn a_token_server_that_is_down_is_missed_by_newcomers_alone() {
    let (tokens, upstream, registry) = public().await;
    head(&registry).await.unwrap();
    tokens.stop().await;
    for _ in 0..5 {
        head(&registry).await.unwrap();
    }
    let error = tags_of(&registry, "other").await.unwrap_err();
    let Error::Unreachable(text) = error else {
        panic!("{error:?}");
    };
    let who = format!("the token server {}", tokens.host());
    assert!(text.contains(&who) && text.contains("refused"), "{text}");

    tokens.restart().await;
    upstream.clear_log();
    let missing = tags_of(&registry, "other").await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
    assert_eq!(refusals(&upstream), 0);

    tokens.hole().await;
    let mut hasty = config(&upstream.url());
    hasty.timeouts.header = Duration::from_millis(100);
    let error = head(&open(hasty)).await.unwrap_err();
    assert!(
        matches!(&error, Error::TimedOut(text) if text.contains(&who)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_token_that_ends_soon_does_until_the_next_one_comes() {
    let (tokens, upstream, registry) = public().await;
    // Renewed from 6.4 s on, good until 7.6 s.
    tokens.set_expires_in(Duration::from_secs(8));
    head(&registry).await.unwrap();
    let gate = Gate::new();
    tokens.fault(When::any(), Fault::stall_header(&gate));
    let renewed = async {
        while tokens.log().len() < 2 {
            head(&registry).await.unwrap();
            tokio::time::sleep(PACE).await;
        }
    };
    // Whoever waited for the renewal would wait for ever.
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .unwrap();
    assert_eq!(refusals(&upstream), 1, "only the first request was");
    gate.open();
    tokens.wait_for(|log| log[1].status.is_some()).await;
    head(&registry).await.unwrap();
    assert_eq!(tokens.issued(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_is_told_and_tried_again() {
    let (tokens, upstream, registry) = public().await;
    tokens.set_expires_in(Duration::from_secs(5));
    head(&registry).await.unwrap();
    let down = tokens.fault(When::any(), Fault::status(403));
    let warned = || journal::lines_with(&["can't be renewed", &tokens.host()]);
    let told = async {
        while down.hits() == 0 || warned().is_empty() {
            let _ = head(&registry).await;
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), told)
        .await
        .unwrap();
    assert_eq!(down.hits(), 1);
    down.lift();
    let renewed = async {
        while tokens.issued() < 2 {
            let _ = head(&registry).await;
            tokio::time::sleep(PACE).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), renewed)
        .await
        .unwrap();
    head(&registry).await.unwrap();
    assert!(!upstream.log().is_empty());
}

#[tokio::test]
async fn a_changed_password_file_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("login");
    let tokens = TokenServer::builder()
        .user("me", "old", &["*:*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    std::fs::write(&file, "me:old\n").unwrap();
    let mut from_file = config(&upstream.url());
    from_file.credentials = Credentials::File(file.clone());
    let registry = open(from_file);
    head(&registry).await.unwrap();

    // As at a rotation: the token ends, and its password is another one by then.
    tokens.set_user("me", "new", &["*:*"]);
    tokens.revoke_tokens();
    let error = head(&registry).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    std::fs::write(&file, "me:new\n").unwrap();
    head(&registry).await.unwrap();

    // A user who may do more, while the token of the other one is still good.
    tokens.set_user("me", "new", &[]);
    tokens.set_user("you", "there", &["*:*"]);
    tokens.revoke_tokens();
    head(&registry).await.unwrap_err();
    std::fs::write(&file, "you:there\n").unwrap();
    head(&registry).await.unwrap();
}
