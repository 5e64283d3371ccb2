//! Signing in.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use fake_registry::Fault;
use fake_registry::Gate;
use fake_registry::Pki;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use fake_registry::lines;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::oci::media::OCI_MANIFEST;
use tidegate::registry::Credentials;
use tidegate::registry::Error;
use tidegate::registry::Registry;
use tidegate::registry::Secret;
use tokio::task::JoinSet;

use crate::setup::MANIFEST;
use crate::setup::REPOSITORY;
use crate::setup::basic;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::latest;
use crate::setup::name;
use crate::setup::open;
use crate::setup::put;

/// A registry that wants a token, which anybody gets for anything.
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

fn message(error: Error) -> String {
    match error {
        Error::Refused {
            status: 401,
            message,
            ..
        } => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn fifty_at_once_fetch_one_token() {
    let (tokens, upstream, registry) = public().await;
    let gate = Gate::new();
    tokens.fault(When::any(), Fault::stall_header(&gate));
    let mut askers = JoinSet::new();
    for _ in 0..50 {
        let registry = registry.clone();
        askers.spawn(async move { head(&registry).await });
    }
    let refused = |log: &[fake_registry::Recorded]| {
        log.iter()
            .filter(|request| request.status.is_some())
            .count()
            == 50
    };
    upstream.wait_for(refused).await;
    gate.open();
    for done in askers.join_all().await {
        done.unwrap();
    }
    assert_eq!(tokens.log().len(), 1, "{}", lines(&tokens.log()));
    assert_eq!(refusals(&upstream), 50);

    upstream.clear_log();
    head(&registry).await.unwrap();
    get(&registry).await.unwrap();
    assert_eq!(refusals(&upstream), 0, "the token is sent unasked");
    assert_eq!(upstream.log().len(), 2);
    assert_eq!(tokens.issued(), 1);
}

#[tokio::test]
async fn a_leaving_waiter_takes_no_token_from_others() {
    let (tokens, _upstream, registry) = public().await;
    let gate = Gate::new();
    tokens.fault(When::any(), Fault::stall_header(&gate));
    let first = tokio::spawn({
        let registry = registry.clone();
        async move { head(&registry).await }
    });
    tokens.wait_for(|log| log.len() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = tokio::spawn(async move { head(&registry).await });
    gate.open();
    second.await.unwrap().unwrap();
    assert_eq!(tokens.log().len(), 1, "{}", lines(&tokens.log()));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let (tokens, upstream, registry) = public().await;
    tokens.set_expires_in(Duration::from_secs(3));
    let start = Instant::now();
    while tokens.issued() < 2 {
        head(&registry).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "never renewed");
    }
    // Only the first request, which had none.
    assert_eq!(refusals(&upstream), 1, "{}", lines(&upstream.log()));
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let (tokens, upstream, registry) = public().await;
    head(&registry).await.unwrap();
    tokens.revoke_tokens();
    upstream.clear_log();
    head(&registry).await.unwrap();
    assert_eq!(upstream.log().len(), 2, "{}", lines(&upstream.log()));
    assert_eq!(tokens.issued(), 2);

    let challenge = format!(
        r#"Bearer realm="{}",service="{}""#,
        tokens.realm(),
        tokens.service()
    );
    let refusal = Fault::status(401).header("www-authenticate", &challenge);
    upstream.fault(When::any(), refusal);
    upstream.clear_log();
    let error = get(&registry).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );
    assert_eq!(upstream.log().len(), 2, "{}", lines(&upstream.log()));
    assert_eq!(tokens.issued(), 3);
}

#[tokio::test]
async fn scopes_of_a_repository_are_joined_and_repositories_are_not() {
    let (tokens, upstream, registry) = public().await;
    head(&registry).await.unwrap();
    let challenge = format!(
        r#"Bearer realm="{}",service="{}",scope="repository:{REPOSITORY}:metadata_read""#,
        tokens.realm(),
        tokens.service()
    );
    let refusal = Fault::status(401).header("www-authenticate", &challenge);
    upstream.fault(When::path("/tags/list").times(1), refusal);
    let flow = FlowId::next();
    registry.tag_list(flow, &name(), "").await.unwrap();
    head(&registry).await.unwrap();
    registry.tag_list(flow, &name(), "").await.unwrap();
    let queries: Vec<String> = tokens.log().iter().map(|it| it.query.clone()).collect();
    assert_eq!(queries.len(), 2, "{queries:?}");
    let scope = |text: &str| format!("scope=repository%3Ateam%2Fapp%3A{text}");
    assert!(queries[0].ends_with(&scope("pull")), "{queries:?}");
    assert!(
        queries[1].ends_with(&scope("metadata_read%2Cpull")),
        "{queries:?}"
    );

    let other = "other".parse().unwrap();
    let _ = registry.tag_list(flow, &other, "").await;
    let last = tokens.log().pop().unwrap().query;
    assert!(last.ends_with("scope=repository%3Aother%3Apull"), "{last}");
}

#[tokio::test]
async fn a_second_repository_is_signed_in_at_once() {
    let (tokens, upstream, registry) = public().await;
    head(&registry).await.unwrap();
    upstream.put_manifest("other", "latest", OCI_MANIFEST, MANIFEST);
    let (other, latest) = ("other".parse().unwrap(), latest());
    let flow = FlowId::next();
    registry
        .manifest_head(flow, &other, &latest, "")
        .await
        .unwrap();
    assert_eq!(refusals(&upstream), 1, "only the first request was");
    assert_eq!(tokens.issued(), 2);
}

#[tokio::test]
async fn a_private_repository_opens_to_its_user() {
    let tokens = TokenServer::builder()
        .user("me", "hunter2", &["team/*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    let digest = upstream.put_blob(REPOSITORY, "content");
    let nobody = open(config(&upstream.url()));
    let error = blob(&nobody, &digest).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { status: 401, .. }),
        "{error:?}"
    );

    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    let me = open(me);
    blob(&me, &digest).await.unwrap();
    me.ping(FlowId::next()).await.unwrap();
    let shown = format!("{me:?}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let mut wrong = config(&upstream.url());
    wrong.credentials = basic("me", "hunter3");
    tokens.clear_log();
    let text = message(blob(&open(wrong), &digest).await.unwrap_err());
    assert!(text.contains("the token server 127.0.0.1:"), "{text}");
    assert!(text.contains("wrong password"), "{text}");
    assert!(!text.contains("hunter3"), "{text}");
    assert_eq!(tokens.log().len(), 1, "a wrong password is not tried again");
}

#[tokio::test]
async fn a_token_servers_404_is_not_the_registrys() {
    let (tokens, _upstream, registry) = public().await;
    tokens.fault(When::any(), Fault::status(404));
    let error = head(&registry).await.unwrap_err();
    assert!(
        matches!(&error, Error::Wrong(text) if text.contains("token server")),
        "{error:?}"
    );
    tokens.clear_faults();
    tokens.fault(When::any().times(1), Fault::status(503));
    head(&registry).await.unwrap();
}

#[tokio::test]
async fn basic_is_sent_where_it_is_asked_for() {
    let upstream = Upstream::builder().basic("me", "hunter2").start().await;
    put(&upstream);
    let mut me = config(&upstream.url());
    me.credentials = basic("me", "hunter2");
    let registry = open(me.clone());
    head(&registry).await.unwrap();
    head(&registry).await.unwrap();
    assert_eq!(refusals(&upstream), 1);
    assert_eq!(upstream.log()[0].header("authorization"), None);

    me.credentials = basic("me", "no");
    upstream.clear_log();
    head(&open(me.clone())).await.unwrap_err();
    assert_eq!(upstream.log().len(), 2, "{}", lines(&upstream.log()));

    me.credentials = Credentials::Anonymous;
    let text = message(head(&open(me)).await.unwrap_err());
    assert!(text.contains("none is configured"), "{text}");
}

#[tokio::test]
async fn a_configured_token_is_sent_as_it_is() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let token = tokens.token_for(None, &["repository:team/app:pull"]);
    let mut fixed = config(&upstream.url());
    fixed.credentials = Credentials::Token(Secret::new(&token));
    let registry = open(fixed);
    head(&registry).await.unwrap();
    assert_eq!(refusals(&upstream), 0);
    tokens.revoke_tokens();
    head(&registry).await.unwrap_err();
    assert_eq!(upstream.log().len(), 2, "there is nothing else to try");
    assert!(tokens.log().is_empty());
    let shown = format!("{registry:?}");
    assert!(!shown.contains(&token), "{shown}");
}

#[tokio::test]
async fn a_credential_file_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("login");
    let upstream = Upstream::builder().basic("me", "new").start().await;
    put(&upstream);
    let mut from_file = config(&upstream.url());
    from_file.credentials = Credentials::File(file.clone());
    let registry = open(from_file);
    let error = head(&registry).await.unwrap_err();
    assert!(
        matches!(&error, Error::Config(text) if text.contains("login")),
        "{error:?}"
    );
    std::fs::write(&file, "me:old\n").unwrap();
    head(&registry).await.unwrap_err();
    std::fs::write(&file, "me:new\n").unwrap();
    head(&registry).await.unwrap();
}

#[tokio::test]
async fn no_password_goes_to_a_clear_text_token_server_of_a_safe_registry() {
    let pki = Pki::new();
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().tls(&pki).bearer(&tokens).start().await;
    put(&upstream);
    let mut safe = config(&upstream.url());
    safe.ca = Some(pki.ca_file());
    safe.plain_http = true;
    safe.credentials = basic("me", "hunter2");
    let error = head(&open(safe)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Wrong(text) if text.contains("not HTTPS")),
        "{error:?}"
    );
    assert!(tokens.log().is_empty());
}

#[test]
fn a_password_in_a_url_is_refused_unseen() {
    let url = "https://me:hunter2@registry.test";
    let error = Registry::new(config(url), Ledger::new()).unwrap_err();
    assert!(error.to_string().contains("credentials"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}
