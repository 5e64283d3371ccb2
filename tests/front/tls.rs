//! TLS: both HTTP versions, certificates that change, clients that must show theirs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Pki;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tidegate::front::Front;
use tidegate::front::Tls;
use tidegate::ledger::Ledger;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Got;
use crate::client::over_h1;
use crate::client::over_h2;
use crate::client::request;
use crate::house::House;
use crate::house::Plan;

/// Puts a certificate for `mirror.test` and its key where the front looks for them.
pub(crate) fn issue(authority: &Pki, folder: &Path) {
    let leaf = authority.server(&["mirror.test"]);
    std::fs::write(folder.join("key.pem"), leaf.key_pem).unwrap();
    std::fs::write(folder.join("cert.pem"), leaf.cert_pem).unwrap();
}

pub(crate) fn files(folder: &Path) -> Tls {
    Tls {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_ca: None,
    }
}

async fn house(tls: Tls) -> House {
    let mut plan = Plan::default();
    plan.front.tls = Some(tls);
    plan.build().await
}

pub(crate) async fn connect(
    address: SocketAddr,
    authority: &Pki,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_as(address, authority.client_config(), alpn).await
}

pub(crate) async fn connect_as(
    address: SocketAddr,
    mut config: ClientConfig,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("mirror.test").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let (folder, authority) = (TempDir::new().unwrap(), Pki::new());
    issue(&authority, folder.path());
    let house = house(files(folder.path())).await;
    let blob = vec![7; 3 << 20];
    let digest = house.put_blob("docker.io/a/b", &blob).await;
    let path = format!("/v2/a/b/blobs/{digest}");

    let offered = ["h2", "http/1.1"];
    let stream = connect(house.address, &authority, &offered).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let got = Got::read(over_h2(stream, request("GET", &path, &[])).await)
        .await
        .unwrap();
    assert_eq!((got.status, &got.body[..]), (200, &blob[..]));

    for offered in [&["http/1.1"][..], &[]] {
        let stream = connect(house.address, &authority, offered).await.unwrap();
        let got = Got::read(over_h1(stream, request("GET", &path, &[])).await)
            .await
            .unwrap();
        assert_eq!((got.status, &got.body[..]), (200, &blob[..]));
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let (folder, old, new) = (TempDir::new().unwrap(), Pki::new(), Pki::new());
    issue(&old, folder.path());
    let house = house(files(folder.path())).await;
    connect(house.address, &old, &[]).await.unwrap();

    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    // Files are looked at once a second at most: this one is.
    let looked = tokio::time::Instant::now() + Duration::from_millis(1500);
    while tokio::time::Instant::now() < looked {
        connect(house.address, &old, &[]).await.unwrap();
    }

    issue(&new, folder.path());
    let taken = async {
        while connect(house.address, &new, &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(10), taken).await;
    taken.expect("the new certificate was never taken");
    assert!(connect(house.address, &old, &[]).await.is_err());
}

#[tokio::test]
async fn only_clients_of_the_authority_are_let_in() {
    let (folder, authority, other) = (TempDir::new().unwrap(), Pki::new(), Pki::new());
    issue(&authority, folder.path());
    let tls = Tls {
        client_ca: Some(authority.ca_file()),
        ..files(folder.path())
    };
    let house = house(tls).await;
    for (config, is_let_in) in [
        (authority.client_config_with(&authority.client("us")), true),
        (authority.client_config_with(&other.client("them")), false),
        (authority.client_config(), false),
    ] {
        // With TLS 1.3 the server refuses after the client's handshake is done.
        let ping = async {
            let stream = connect_as(house.address, config, &[]).await.ok()?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
            tokio::spawn(connection);
            sender.send_request(request("GET", "/v2/", &[])).await.ok()
        };
        assert_eq!(ping.await.is_some(), is_let_in);
    }
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let (folder, authority) = (TempDir::new().unwrap(), Pki::new());
    let house = House::build().await;
    issue(&authority, folder.path());
    let other = authority.server(&["other.test"]);
    for (file, text) in [
        ("key.pem", other.key_pem.as_str()),
        ("cert.pem", ""),
        ("key.pem", "x"),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
        let mut plan = Plan::default();
        plan.front.tls = Some(files(folder.path()));
        let bound = Front::bind(plan.front, house.flow.clone(), Ledger::new()).await;
        let error = bound.unwrap_err().to_string();
        assert!(error.contains(&*folder.path().to_string_lossy()), "{error}");
        issue(&authority, folder.path());
    }
}
