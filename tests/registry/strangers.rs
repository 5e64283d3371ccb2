//! Not a relay: where a registry may lead, and where it may not.

use fake_registry::Content;
use fake_registry::Fault;
use fake_registry::TokenServer;
use fake_registry::Upstream;
use fake_registry::When;
use tidegate::registry::Config;
use tidegate::registry::Error;

use crate::setup::REPOSITORY;
use crate::setup::blob;
use crate::setup::config;
use crate::setup::get;
use crate::setup::head;
use crate::setup::open;
use crate::setup::put;
use crate::setup::read;

/// As 127.0.0.1 to the system, but of another kind: who listens there can be asked whether
/// anybody dialled.
fn unspecified(url: &str) -> String {
    url.replace("127.0.0.1", "0.0.0.0")
}

fn open_minded(url: &str) -> Config {
    let mut config = config(url);
    config.allow_private = true;
    config
}

fn refused<T>(outcome: Result<T, Error>) -> String {
    match outcome.map(drop) {
        Err(Error::Wrong(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_redirect_to_an_address_of_another_kind_is_not_followed() {
    let upstream = Upstream::start().await;
    let registry = open(config(&upstream.url()));
    for (place, kind) in [
        ("10.0.0.1", "private"),
        ("192.168.1.1:5000", "private"),
        ("100.64.0.1", "private"),
        ("[fd00::1]", "private"),
        ("[::ffff:10.0.0.1]", "private"),
        ("[2002:a00:1::]", "private"),
        ("[64:ff9b::a00:1]", "private"),
        ("0x0a.1", "private"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("0.0.0.0:1", "unspecified"),
        ("[::]", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("192.0.2.1", "reserved"),
    ] {
        let url = format!("http://{place}/latest/meta-data?token=hunter2");
        let there = upstream.fault(When::any(), Fault::redirect_to(&url, 307));
        let text = refused(head(&registry).await);
        assert!(text.contains(kind), "{place}: {text}");
        assert!(text.contains("`allow_private = true`"), "{place}: {text}");
        assert!(!text.contains("hunter2"), "{place}: {text}");
        assert_eq!(there.hits(), 1, "{place}: it is not tried again");
        there.lift();
    }
}

#[tokio::test]
async fn nobody_is_dialled_where_a_redirect_may_not_lead() {
    let (upstream, inside) = (Upstream::start().await, Upstream::start().await);
    let digest = upstream.put_blob(REPOSITORY, "content");
    inside.put_blob(REPOSITORY, "content");
    let to_inside = Fault::redirect_to_host(&unspecified(&inside.url()));
    upstream.fault(When::any(), to_inside);
    let registry = open(config(&upstream.url()));
    let text = refused(blob(&registry, &digest).await);
    assert!(text.contains("0.0.0.0"), "{text}");
    assert_eq!(inside.connections(), 0);

    let registry = open(open_minded(&upstream.url()));
    let followed = blob(&registry, &digest).await.unwrap();
    assert_eq!(read(followed).await.unwrap(), b"content");
    assert_eq!(inside.connections(), 1);
}

#[tokio::test]
async fn an_address_of_the_upstreams_own_kind_is_fine() {
    let (upstream, cdn) = (Upstream::start().await, Upstream::start().await);
    let digest = upstream.put_blob(REPOSITORY, "content");
    cdn.put_blob(REPOSITORY, "content");
    let registry = open(config(&upstream.url()));
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = cdn.url().replace("127.0.0.1", host);
        let to_cdn = upstream.fault(When::any(), Fault::redirect_to_host(&url));
        let followed = blob(&registry, &digest).await;
        assert_eq!(read(followed.unwrap()).await.unwrap(), b"content", "{host}");
        to_cdn.lift();
    }
}

#[tokio::test]
async fn what_is_configured_is_dialled_wherever_it_is() {
    let (main, spare) = (Upstream::start().await, Upstream::start().await);
    put(&main);
    put(&spare);
    let mut two = config(&unspecified(&main.url()));
    two.fallback = vec![unspecified(&spare.url()).parse().unwrap()];
    let registry = open(two);
    get(&registry).await.unwrap();
    let to_spare = Fault::redirect_to_host(&unspecified(&spare.url()));
    let redirect = main.fault(When::any(), to_spare);
    get(&registry).await.unwrap();
    redirect.lift();
    main.stop().await;
    get(&registry).await.unwrap();
    assert_eq!(spare.log().len(), 2);
}

#[tokio::test]
async fn a_token_server_of_another_kind_is_not_asked() {
    let tokens = TokenServer::builder().anonymous(&["*:*"]).start().await;
    let upstream = Upstream::builder().bearer(&tokens).start().await;
    put(&upstream);
    let realm = unspecified(&tokens.realm());
    let service = tokens.service();
    let challenge = format!(r#"Bearer realm="{realm}",service="{service}""#);
    let elsewhere = Fault::status(401).header("www-authenticate", &challenge);
    let unsigned = || When::any().and(|it| it.header("authorization").is_none());
    upstream.fault(unsigned(), elsewhere);
    let text = refused(head(&open(config(&upstream.url()))).await);
    assert!(text.contains("the token server 0.0.0.0"), "{text}");
    assert!(text.contains("an unspecified address"), "{text}");
    assert_eq!(tokens.connections(), 0);

    head(&open(open_minded(&upstream.url()))).await.unwrap();
    assert_eq!(tokens.log().len(), 1);
}

#[tokio::test]
async fn a_token_server_is_https_or_as_its_registry() {
    let upstream = Upstream::start().await;
    put(&upstream);
    let registry = open(config(&upstream.url()));
    for realm in ["ftp://127.0.0.1/token", "file:///etc/passwd", "data:,x"] {
        let challenge = format!(r#"Bearer realm="{realm}",service="x""#);
        let odd = Fault::status(401).header("www-authenticate", &challenge);
        let odd = upstream.fault(When::any(), odd);
        let text = refused(head(&registry).await);
        assert!(text.contains("not HTTPS"), "{realm}: {text}");
        odd.lift();
    }
}

#[tokio::test]
async fn only_http_is_spoken_to_where_a_redirect_leads() {
    let upstream = Upstream::start().await;
    upstream.put_file("/x", Content::from(bytes::Bytes::from_static(b"x")));
    let registry = open(config(&upstream.url()));
    for place in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "unix:/run/x",
        "//",
        "",
    ] {
        let there = upstream.fault(When::any(), Fault::redirect_to(place, 307));
        refused(head(&registry).await);
        there.lift();
    }
}
