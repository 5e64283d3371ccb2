//! TLS: both HTTP versions, certificates that change, clients that must show theirs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::IsCa;
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject as _;
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

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Writes `cert.pem` and `key.pem` for `mirror.test`.
fn issue(authority: &Authority, folder: &Path) -> (String, String) {
    let params = CertificateParams::new(vec!["mirror.test".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, authority).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    (cert.pem(), key.serialize_pem())
}

fn files(folder: &Path) -> Tls {
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

async fn connect(
    address: SocketAddr,
    authority: &Authority,
    alpn: &[&str],
    own: Option<(String, String)>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![cert], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("mirror.test").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    issue(&authority, folder.path());
    let house = house(files(folder.path())).await;
    let blob = vec![7; 3 << 20];
    let digest = house.put_blob("docker.io/a/b", &blob).await;
    let path = format!("/v2/a/b/blobs/{digest}");

    let offered = ["h2", "http/1.1"];
    let stream = connect(house.address, &authority, &offered, None)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let got = Got::read(over_h2(stream, request("GET", &path, &[])).await)
        .await
        .unwrap();
    assert_eq!((got.status, &got.body[..]), (200, &blob[..]));

    for offered in [&["http/1.1"][..], &[]] {
        let stream = connect(house.address, &authority, offered, None)
            .await
            .unwrap();
        let got = Got::read(over_h1(stream, request("GET", &path, &[])).await)
            .await
            .unwrap();
        assert_eq!((got.status, &got.body[..]), (200, &blob[..]));
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let (folder, old, new) = (TempDir::new().unwrap(), authority(), authority());
    issue(&old, folder.path());
    let house = house(files(folder.path())).await;
    connect(house.address, &old, &[], None).await.unwrap();

    std::fs::write(folder.path().join("cert.pem"), "no certificate").unwrap();
    // Files are looked at once a second at most: this one is.
    let looked = tokio::time::Instant::now() + Duration::from_millis(1500);
    while tokio::time::Instant::now() < looked {
        connect(house.address, &old, &[], None).await.unwrap();
    }

    issue(&new, folder.path());
    let taken = async {
        while connect(house.address, &new, &[], None).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let taken = tokio::time::timeout(Duration::from_secs(10), taken).await;
    taken.expect("the new certificate was never taken");
    assert!(connect(house.address, &old, &[], None).await.is_err());
}

#[tokio::test]
async fn only_clients_of_the_authority_are_let_in() {
    let (folder, authority, other) = (TempDir::new().unwrap(), authority(), authority());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let strange = issue(&other, folder.path());
    let ours = issue(&authority, folder.path());
    let tls = Tls {
        client_ca: Some(ca),
        ..files(folder.path())
    };
    let house = house(tls).await;
    for (own, is_let_in) in [(Some(ours), true), (Some(strange), false), (None, false)] {
        // With TLS 1.3 the server refuses after the client's handshake is done.
        let ping = async {
            let stream = connect(house.address, &authority, &[], own).await.ok()?;
            let io = hyper_util::rt::TokioIo::new(stream);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.ok()?;
            tokio::spawn(connection);
            sender.send_request(request("GET", "/v2/", &[])).await.ok()
        };
        assert_eq!(ping.await.is_some(), is_let_in);
    }
}

#[tokio::test]
async fn files_that_can_not_be_used_are_named() {
    let (folder, authority) = (TempDir::new().unwrap(), authority());
    let house = House::build().await;
    issue(&authority, folder.path());
    let key = KeyPair::generate().unwrap().serialize_pem();
    for (file, text) in [
        ("key.pem", key.as_str()),
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
