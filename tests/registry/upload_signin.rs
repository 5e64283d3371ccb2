//! Signing in to write: as few requests as it takes.

use fake_registry::Fault;
use fake_registry::Target;
use fake_registry::TokenServer;
use fake_registry::When;
use futures_util::future::join_all;
use http::StatusCode;
use tidegate::ledger::FlowId;
use tidegate::oci::Name;
use tidegate::registry::Error;
use tidegate::registry::MountFrom;
use tidegate::registry::Started;

use crate::setup::REPOSITORY;
use crate::setup::basic;
use crate::setup::name;
use crate::upload_rig::Rig;
use crate::upload_rig::content;
use crate::upload_rig::digest;
use crate::upload_rig::random;

fn refusals(target: &Target) -> usize {
    target.count(|it| it.status == Some(StatusCode::UNAUTHORIZED))
}

async fn with_tokens() -> (TokenServer, Target, Rig) {
    let grants = ["*:pull,push"];
    let tokens = TokenServer::builder().user("me", "hunter2", &grants);
    let tokens = tokens.start().await;
    let target = Target::builder().bearer(&tokens).start().await;
    let rig = Rig::with(&target.url(), |config| {
        config.credentials = basic("me", "hunter2");
    });
    (tokens, target, rig)
}

#[tokio::test]
async fn many_that_begin_at_once_are_told_once_how_to_sign_in() {
    let target = Target::builder().basic("me", "hunter2").start().await;
    let rig = Rig::with(&target.url(), |config| {
        config.credentials = basic("me", "hunter2");
    });
    let names = (0..20).map(|n| format!("team/app-{n}").parse::<Name>().unwrap());
    let names: Vec<_> = names.collect();
    let begun = join_all(names.iter().map(|name| rig.start_in(name))).await;
    assert!(begun.iter().all(Result::is_ok), "{begun:?}");
    assert_eq!((refusals(&target), target.requests().total()), (1, 21));
    rig.check().await;
}

#[tokio::test]
async fn a_registry_that_is_down_lets_all_who_wait_try() {
    let target = Target::start().await;
    target.stop().await;
    let rig = Rig::with(&target.url(), |config| config.retries.attempts = 1);
    let name = name();
    let begun = join_all((0..5).map(|_| rig.start_in(&name))).await;
    assert!(begun.iter().all(Result::is_err));
    rig.check().await;
}

#[tokio::test]
async fn a_token_is_asked_for_once_for_each_scope() {
    let (tokens, target, rig) = with_tokens().await;
    let bytes = random(1000);
    rig.upload(&bytes).await.unwrap();
    rig.upload(&random(100_000)).await.unwrap();
    assert_eq!((refusals(&target), tokens.issued()), (1, 1));
    let other: Name = "other/app".parse().unwrap();
    rig.start_in(&other).await.unwrap();
    assert_eq!((refusals(&target), tokens.issued()), (1, 2));

    let from = name();
    for _ in 0..2 {
        let digest = digest(&bytes);
        let mount = MountFrom {
            digest: &digest,
            from: &from,
        };
        let flow = FlowId::next();
        let started = rig.registry.upload_start(flow, &other, Some(mount)).await;
        assert!(matches!(started, Ok(Started::Mounted)), "{started:?}");
    }
    assert_eq!((refusals(&target), tokens.issued()), (1, 3));
    let scopes: Vec<_> = tokens.log().into_iter().map(|it| it.query).collect();
    assert!(
        scopes[0].contains("repository%3Ateam%2Fapp%3Apull%2Cpush"),
        "{scopes:?}"
    );
    assert!(
        scopes[2].contains("scope=repository%3Aother%2Fapp%3Apull%2Cpush"),
        "{scopes:?}"
    );
    assert!(
        scopes[2].contains("scope=repository%3Ateam%2Fapp%3Apull"),
        "{scopes:?}"
    );
    rig.check().await;
}

#[tokio::test]
async fn a_challenge_for_less_than_is_wanted_is_answered_with_what_is_wanted() {
    let (tokens, target, rig) = with_tokens().await;
    let (realm, service) = (tokens.realm(), tokens.service().to_owned());
    let pull = format!(
        "Bearer realm=\"{realm}\",service=\"{service}\",scope=\"repository:{REPOSITORY}:pull\""
    );
    let challenge = Fault::status(401).header("www-authenticate", &pull);
    target.fault(When::post("/blobs/uploads/").times(1), challenge);
    rig.start().await;
    assert_eq!((refusals(&target), tokens.issued()), (1, 1));
    rig.check().await;
}

#[tokio::test]
async fn a_small_blob_goes_on_with_a_new_token() {
    let (tokens, target, rig) = with_tokens().await;
    let session = rig.start().await;
    tokens.revoke_tokens();
    let bytes = random(1000);
    rig.send(session, &digest(&bytes), content(&bytes))
        .await
        .unwrap();
    assert!(target.holds(REPOSITORY, digest(&bytes).as_str()));
    let sent = [("committed", 1000), ("refused", 1000)];
    assert_eq!(rig.sent().await, sent);
    rig.check().await;
}

#[tokio::test]
async fn a_large_one_is_to_be_started_again_with_a_new_token() {
    let (tokens, target, rig) = with_tokens().await;
    let bytes = random(1 << 20);
    let digest = digest(&bytes);
    let (one, other) = (rig.start().await, rig.start().await);
    tokens.revoke_tokens();
    // Both are on their way when the first of them is refused.
    let both = [one, other].map(|session| rig.send(session, &digest, content(&bytes)));
    for outcome in join_all(both).await {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Restart(_)), "{error:?}");
    }
    assert_eq!(tokens.issued(), 2);
    rig.upload(&bytes).await.unwrap();
    assert!(target.holds(REPOSITORY, digest.as_str()));
    rig.check().await;
}

#[tokio::test]
async fn one_who_may_not_write_is_told_so_in_the_end() {
    let (tokens, target, rig) = with_tokens().await;
    let refusal = || Fault::error(401, "UNAUTHORIZED");
    target.fault(When::put("/blobs/uploads/"), refusal());
    let bytes = random(1 << 20);
    // Without a challenge there is nothing to answer.
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );
    target.clear_faults();
    let challenge = format!(
        "Bearer realm=\"{}\",service=\"{}\"",
        tokens.realm(),
        tokens.service()
    );
    let refusal = refusal().header("www-authenticate", &challenge);
    target.fault(When::put("/blobs/uploads/"), refusal);
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(matches!(error, Error::Restart(_)), "{error:?}");
    let error = rig.upload(&bytes).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );
    rig.check().await;
}
