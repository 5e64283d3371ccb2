//! What is never shown: in no error, no log line, no `Debug`.

use std::net::SocketAddr;

use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::ledger::FlowId;
use tidegate::registry::Credentials;
use tidegate::registry::Registry;
use tidegate::registry::Secret;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::journal::lines_with;
use crate::setup::basic;
use crate::setup::config;
use crate::setup::get;
use crate::setup::open;
use crate::setup::put;

/// No other test has this one.
const PASSWORD: &str = "s3cr3t-of-secrets-rs";

/// A server that refuses, and repeats the request's header in doing so.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            let head =
                format!("HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&request[..length]).await.unwrap();
        }
    });
    address
}

fn check(registry: &Registry, error: &dyn std::fmt::Debug, secret: &str) {
    let shown = format!("{error:?} {registry:?}");
    assert!(!shown.contains(secret), "{shown}");
    let logged = lines_with(&[secret]);
    assert!(logged.is_empty(), "{logged:#?}");
}

#[tokio::test]
async fn a_server_that_repeats_what_it_was_sent_is_not_quoted() {
    let address = parrot().await;
    let mut fixed = config(&format!("http://{address}"));
    fixed.credentials = Credentials::Token(Secret::new(PASSWORD));
    let registry = open(fixed);
    let error = registry.ping(FlowId::next()).await.unwrap_err();
    // Its words are left out.
    assert_eq!(error.to_string(), "refused with 403: Forbidden");
    check(&registry, &error, PASSWORD);

    let client = Secret::new(format!("Basic {PASSWORD}"));
    let acting = registry.acting_for(Some(&client)).unwrap();
    let error = acting.ping(FlowId::next()).await.unwrap_err();
    assert_eq!(error.to_string(), "refused with 403: Forbidden");
    check(&acting, &error, PASSWORD);
}

#[tokio::test]
async fn passwords_tokens_and_signatures_are_not_logged() {
    let tokens = TokenServer::builder()
        .user("me", PASSWORD, &["*:*"])
        .start()
        .await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let mut me = config(&upstream.url());
    me.credentials = basic("me", PASSWORD);
    let registry = open(me);
    get(&registry).await.unwrap();
    let bearer = upstream.log()[1]
        .header("authorization")
        .unwrap()
        .to_owned();
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let sent = tokens.log()[0].header("authorization").unwrap().to_owned();
    let signed = format!("/v2/nowhere?signature={PASSWORD}");
    for fault in [
        Fault::status(429),
        Fault::status(503),
        Fault::cut_after(3),
        Fault::redirect_to(&signed, 307),
    ] {
        let fault = upstream.fault(When::any(), fault);
        let error = get(&registry).await.unwrap_err();
        for secret in [PASSWORD, token, sent.strip_prefix("Basic ").unwrap()] {
            check(&registry, &error, secret);
        }
        fault.lift();
    }
    assert!(!lines_with(&[&upstream.host()]).is_empty(), "it does log");
}

#[tokio::test]
async fn a_clients_words_that_fit_no_header_are_not_repeated() {
    let registry = open(config("http://127.0.0.1:1"));
    let odd = Secret::new(format!("Basic {PASSWORD}\n"));
    let error = registry.acting_for(Some(&odd)).map(drop).unwrap_err();
    check(&registry, &error, PASSWORD);
}
