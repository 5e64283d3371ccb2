//! A registry as one client sees it, who signs in itself.

use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::registry::Credentials;
use tidegate::registry::Error;
use tidegate::registry::Registry;
use tidegate::registry::Secret;

use crate::setup::REPOSITORY;
use crate::setup::basic;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::open;
use crate::setup::pair;
use crate::setup::put;
use crate::setup::read;

/// `me:hunter2`.
const ME: &str = "Basic bWU6aHVudGVyMg==";

/// As whoever sends `authorization`.
fn acting(registry: &Registry, authorization: &str) -> Registry {
    let secret = Secret::new(authorization);
    registry.acting_for(Some(&secret)).unwrap()
}

fn challenge<T>(outcome: Result<T, Error>) -> String {
    match outcome.map(drop) {
        Err(Error::Refused {
            status: 401,
            challenge: Some(challenge),
            ..
        }) => {
            let texts = challenge.iter().map(|value| value.to_str().unwrap());
            texts.collect::<Vec<_>>().join("\n")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_challenge_is_for_the_client_to_answer() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let mut configured = config(&upstream.url());
    configured.credentials = basic("me", "hunter2");
    let registry = open(configured);
    let nobody = registry.acting_for(None).unwrap();
    let said = challenge(head(&nobody).await);
    let realm = format!(r#"Bearer realm="{}""#, tokens.realm());
    assert!(said.starts_with(&realm), "{said}");
    assert!(
        said.contains(r#"scope="repository:team/app:pull""#),
        "{said}"
    );
    assert!(tokens.log().is_empty(), "the client asks it itself");
    assert_eq!(upstream.log().len(), 1);

    let token = tokens.token_for(None, &["repository:team/app:pull"]);
    let bearer = format!("Bearer {token}");
    get(&acting(&registry, &bearer)).await.unwrap();
    let asked = upstream.log().pop().unwrap();
    assert_eq!(asked.header("authorization"), Some(bearer.as_str()));
    challenge(head(&acting(&registry, "Bearer expired")).await);
    assert!(tokens.log().is_empty());
}

#[tokio::test]
async fn several_challenges_come_back_as_they_are() {
    let (upstream, registry) = pair().await;
    let nobody = registry.acting_for(None).unwrap();
    let both = r#"Basic realm="a", Bearer realm="https://t.test/token",service="s""#;
    let refusal = Fault::status(401).header("www-authenticate", both);
    upstream.fault(When::any(), refusal);
    assert_eq!(challenge(get(&nobody).await), both);
    upstream.clear_faults();
    let refusal = Fault::status(401).header("www-authenticate", "Basic realm=\"a\"");
    let refusal = refusal.header("www-authenticate", "Bearer realm=\"https://t.test/t\"");
    upstream.fault(When::any(), refusal);
    let apart = "Basic realm=\"a\"\nBearer realm=\"https://t.test/t\"";
    assert_eq!(challenge(get(&nobody).await), apart);
    upstream.clear_faults();
    upstream.fault(When::any(), Fault::status(401));
    let error = get(&nobody).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                status: 401,
                challenge: None,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn nothing_is_kept_from_one_client_for_another() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    put(&upstream);
    let mut passed = config(&upstream.url());
    passed.credentials = Credentials::Passthrough;
    let registry = open(passed);
    for _ in 0..2 {
        head(&acting(&registry, ME)).await.unwrap();
        challenge(head(&registry.acting_for(None).unwrap()).await);
        challenge(head(&acting(&registry, "Basic bm86bm8=")).await);
    }
    let log = upstream.log();
    let sent: Vec<_> = log.iter().map(|it| it.header("authorization")).collect();
    let once = [Some(ME), None, Some("Basic bm86bm8=")];
    assert_eq!(sent, [once, once].concat(), "one request each, as sent");
    let error = head(&registry).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );
    assert!(
        upstream.log()[6..]
            .iter()
            .all(|it| it.header("authorization").is_none())
    );
}

#[tokio::test]
async fn a_clients_words_go_to_the_origin_alone() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    let (cdn, spare) = (Upstream::start().await, Upstream::start().await);
    put(&upstream);
    let digest = upstream.put_blob(REPOSITORY, "content");
    cdn.put_blob(REPOSITORY, "content");
    put(&spare);
    let mut two = config(&upstream.url());
    two.fallback = vec![spare.url().parse().unwrap()];
    let registry = open(two);
    let me = acting(&registry, ME);

    let to_cdn = upstream.fault(When::get("/blobs/"), Fault::redirect_to_host(&cdn.url()));
    let followed = blob(&me, &digest).await.unwrap();
    assert_eq!(read(followed).await.unwrap(), b"content");
    assert_eq!(cdn.log()[0].header("authorization"), None);
    // A challenge from there is none of the origin's.
    cdn.fault(
        When::any(),
        Fault::status(401).header("www-authenticate", "Basic realm=x"),
    );
    let error = blob(&me, &digest).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                status: 401,
                challenge: None,
                ..
            }
        ),
        "{error:?}"
    );
    to_cdn.lift();

    upstream.stop().await;
    let error = head(&me).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(spare.log().is_empty(), "the client did not mean this one");
    head(&registry).await.unwrap();
}

#[tokio::test]
async fn a_limit_of_one_client_is_not_the_others() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    put(&upstream);
    let registry = open(config(&upstream.url()));
    let is_me = When::any().and(|it| it.header("authorization") == Some(ME));
    upstream.fault(is_me, Fault::status(429).header("retry-after", "3600"));
    for _ in 0..3 {
        let error = head(&acting(&registry, ME)).await.unwrap_err();
        assert!(matches!(error, Error::Throttled { .. }), "{error:?}");
    }
    assert_eq!(upstream.log().len(), 1, "what it has had too much of");
    challenge(head(&acting(&registry, "Basic bm86bm8=")).await);
    challenge(head(&registry.acting_for(None).unwrap()).await);
}
