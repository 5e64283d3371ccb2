//! What a person is told when there is no connection.

use std::time::Duration;

use fake_registry::Pki;
use fake_registry::ReservedPort;
use fake_registry::Upstream;
use tidegate::ledger::FlowId;
use tidegate::ledger::Ledger;
use tidegate::registry::Config;
use tidegate::registry::Error;
use tidegate::registry::Registry;

use crate::setup::config;
use crate::setup::open;

async fn unreachable(config: Config) -> String {
    match open(config).ping(FlowId::next()).await {
        Err(Error::Unreachable(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_listens() {
    let port = ReservedPort::new();
    let text = unreachable(config(&format!("http://{}", port.address()))).await;
    assert!(text.contains(&port.address().to_string()), "{text}");
    assert!(text.contains("connection refused"), "{text}");
}

#[tokio::test]
async fn a_name_does_not_resolve() {
    let text = unreachable(config("https://registry.invalid")).await;
    assert!(text.contains("registry.invalid"), "{text}");
    assert!(text.contains("does not resolve"), "{text}");
}

#[tokio::test]
async fn nobody_shakes_hands() {
    let pki = Pki::new();
    let upstream = Upstream::builder().tls(&pki).start().await;
    upstream.hole().await;
    let mut hasty = config(&upstream.url());
    hasty.timeouts.connect = Duration::from_millis(100);
    hasty.retries.attempts = 5;
    let error = open(hasty).ping(FlowId::next()).await.unwrap_err();
    let text = format!("no connection to {} within 100ms", upstream.host());
    assert_eq!(error, Error::TimedOut(text));
    assert_eq!(upstream.connections(), 2, "tried again once");
}

#[tokio::test]
async fn a_certificate_is_not_trusted() {
    let upstream = Upstream::builder().tls(&Pki::new()).start().await;
    let text = unreachable(config(&upstream.url())).await;
    assert!(text.contains(&upstream.host()), "{text}");
    assert!(
        text.contains("not trusted") && text.contains("`ca`"),
        "{text}"
    );
    assert_eq!(upstream.connections(), 1, "it will not change");
}

#[tokio::test]
async fn a_certificate_is_for_another_name() {
    let pki = Pki::new();
    let upstream = Upstream::builder().tls(&pki).start().await;
    // Another way to say loopback, which the certificate does not name.
    let mut other = config(&upstream.url().replace("127.0.0.1", "0.0.0.0"));
    other.ca = Some(pki.ca_file());
    let text = unreachable(other).await;
    assert!(
        text.contains("certificate is bad") && text.contains("127.0.0.1"),
        "{text}"
    );
}

#[tokio::test]
async fn plain_http_where_tls_was_expected() {
    let upstream = Upstream::start().await;
    let text = unreachable(config(&upstream.url().replace("http:", "https:"))).await;
    assert!(text.contains("is it plain HTTP?"), "{text}");
}

#[test]
fn a_configuration_that_cant_work_is_told_at_once() {
    let refused = |config: Config| {
        Registry::new(config, Ledger::new())
            .unwrap_err()
            .to_string()
    };
    let mut plain = config("http://registry.test:5000");
    plain.plain_http = false;
    let text = refused(plain);
    assert!(
        text.contains("registry.test:5000") && text.contains("plain_http"),
        "{text}"
    );

    let text = refused(config("ftp://registry.test"));
    assert!(text.contains("ftp"), "{text}");
    let text = refused(config("https://registry.test/?x=1"));
    assert!(text.contains("no query"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let mut authority = config("https://registry.test");
    authority.ca = Some(folder.path().join("corp.crt"));
    let text = refused(authority.clone());
    assert!(
        text.contains("corp.crt") && text.contains("No such file"),
        "{text}"
    );
    std::fs::write(folder.path().join("corp.crt"), "no certificate").unwrap();
    let text = refused(authority);
    assert!(
        text.contains("corp.crt") && text.contains("no PEM certificate"),
        "{text}"
    );
}
