//! TLS: each side gets what it would have got from the other.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use fake_registry::Pki;
use fake_registry::need;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject as _;
use tidegate::ledger::Leg;
use tidegate::ledger::Protocol;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::nginx::Nginx;
use crate::rig::Rig;

/// TLS with `host`, by `stream`, for who trusts `ca` alone.
pub(crate) async fn trusting(
    ca: &Path,
    alpn: &[&str],
    host: &str,
    stream: TcpStream,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let (host, _) = host.rsplit_once(':').unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await.unwrap()
}

/// A certificate, in files.
struct Shown {
    folder: tempfile::TempDir,
}

impl Shown {
    fn cert(&self) -> PathBuf {
        self.folder.path().join("leaf.crt")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("leaf.key")
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Of an authority of its own, for `name`, good to the first of January of `year`.
    fn new(name: &str, year: i32) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.distinguished_name
            .push(DnType::CommonName, "some authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = ca.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let shown = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(shown.ca(), signed.pem()).unwrap();
        std::fs::write(shown.cert(), leaf.pem()).unwrap();
        std::fs::write(shown.key(), key.serialize_pem()).unwrap();
        shown
    }

    async fn origin(&self) -> Nginx {
        let tls = format!(
            "ssl_certificate {}; ssl_certificate_key {};",
            self.cert().display(),
            self.key().display()
        );
        Nginx::start("ssl", &tls).await
    }
}

/// What curl says, straight to the origin, and through the tap: its exit codes.
async fn codes(origin: &Nginx, ca: &Path, more: &[&str]) -> (i32, i32) {
    let rig = Rig::new();
    let url = format!("https://origin.localhost:{}/small", origin.port());
    let mut command = vec!["curl", "-sS", "-o", "/dev/null", url.as_str()];
    command.extend(more);
    let mut direct = fake_registry::Process::command("curl")
        .args(&command[1..])
        .env("CURL_CA_BUNDLE", ca)
        .env_remove("HTTPS_PROXY")
        .spawn();
    let direct = direct.wait(std::time::Duration::from_secs(60)).await;
    let ran = rig.run(Some(ca), &command).await;
    let is_bad = ran.code != 0 || more.contains(&"-k");
    let said = "the origin's certificate is invalid";
    assert_eq!(ran.stderr.contains(said), is_bad, "{}", ran.stderr);
    (direct.code().unwrap(), ran.code)
}

/// The tool sees it fail as it would without the tap, and a tool that looks away sees nothing.
#[tokio::test]
async fn an_invalid_certificate_is_as_invalid_through_the_tap() {
    if !need(&["curl", "nginx"]) {
        return;
    }
    let good = Shown::new("origin.localhost", 2100);
    let stranger = Shown::new("origin.localhost", 2100);
    let expired = Shown::new("origin.localhost", 2020);
    let other = Shown::new("other.localhost", 2100);
    for (what, shown, ca, code) in [
        ("good", &good, &good, 0),
        ("unknown CA", &stranger, &good, 60),
        ("expired", &expired, &expired, 60),
        ("wrong name", &other, &other, 60),
    ] {
        let origin = shown.origin().await;
        assert_eq!(codes(&origin, &ca.ca(), &[]).await, (code, code), "{what}");
        if code != 0 {
            let looking_away = codes(&origin, &ca.ca(), &["-k"]).await;
            assert_eq!(looking_away, (0, 0), "{what}");
        }
    }
}

/// One that is its own authority is trusted where it is named.
#[tokio::test]
async fn a_certificate_that_signed_itself_is_trusted_where_it_is_named() {
    if !need(&["curl", "nginx"]) {
        return;
    }
    let shown = Shown::new("x", 2100);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["origin.localhost".to_owned()]).unwrap();
    // As `openssl req -x509` makes them.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    std::fs::write(shown.cert(), own.pem()).unwrap();
    std::fs::write(shown.key(), key.serialize_pem()).unwrap();
    let origin = shown.origin().await;
    assert_eq!(codes(&origin, &shown.cert(), &[]).await, (0, 0));
}

/// With a name and without, over TLS 1.2 and 1.3, in the version of HTTP that the origin speaks.
#[tokio::test]
async fn the_origin_decides_on_the_protocol() {
    if !need(&["curl", "nginx"]) {
        return;
    }
    let pki = Pki::new();
    let leaf = pki.server(&["origin.localhost"]);
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;",
        leaf.cert_file.display(),
        leaf.key_file.display()
    );
    for (listen, offered, protocol, told) in [
        ("ssl http2", "--http2", Protocol::H2, "2"),
        ("ssl http2", "--http1.1", Protocol::H1, "1.1"),
        ("ssl", "--http2", Protocol::H1, "1.1"),
        ("ssl http2", "--no-alpn", Protocol::H1, "1.1"),
    ] {
        let origin = Nginx::start(listen, &tls).await;
        // An address is no name that is told.
        for host in ["origin.localhost", "127.0.0.1"] {
            for version in ["--tls-max=1.2", "--tlsv1.3"] {
                let rig = Rig::new();
                let url = format!("https://{host}:{}/small", origin.port());
                let version = version.split('=').collect::<Vec<_>>();
                let mut command = vec!["curl", "-sS", "-w", "|%{http_version}", offered, &url];
                command.extend(version);
                let ran = rig.run(Some(&pki.ca_file()), &command).await;
                assert_eq!((ran.code, &*ran.stderr), (0, ""), "{command:?}");
                assert_eq!(ran.stdout, format!("small|{told}"), "{command:?}");
                let receipt = ran.books.exchange();
                assert_eq!(receipt.protocol, protocol, "{command:?}");
                assert_eq!(&*receipt.host, format!("{host}:{}", origin.port()));
                for leg in [Leg::Client, Leg::Tap] {
                    assert!(ran.books.connection(leg).tls);
                }
            }
        }
    }
}

/// curl over HTTP/2, many streams: the log of the origin says the same.
#[tokio::test]
async fn curl_over_http2_is_counted_as_nginx_counts() {
    if !need(&["curl", "nginx"]) {
        return;
    }
    let pki = Pki::new();
    let leaf = pki.server(&["origin.localhost"]);
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        leaf.cert_file.display(),
        leaf.key_file.display()
    );
    let origin = Nginx::start("ssl http2", &tls).await;
    let rig = Rig::new();
    let url = format!("https://origin.localhost:{}/large?[1-20]", origin.port());
    let none = format!("https://origin.localhost:{}/none", origin.port());
    let command = [
        "curl",
        "-sS",
        "--no-progress-meter",
        "--parallel",
        "-o",
        "/dev/null",
        &url,
        "-o",
        "/dev/null",
        &none,
    ];
    let ran = rig.run(Some(&pki.ca_file()), &command).await;
    assert_eq!((ran.code, &*ran.stderr), (0, ""));
    let mut counted: Vec<_> = ran
        .books
        .exchanges()
        .iter()
        .map(|one| (one.status, one.response_bytes, one.protocol.as_str()))
        .collect();
    counted.sort_unstable();
    let mut said = origin.log(21).await;
    said.sort_unstable();
    let said: Vec<_> = said
        .iter()
        .map(|(status, bytes)| (*status, *bytes, "h2"))
        .collect();
    assert_eq!(counted, said);
    assert_eq!(
        ran.books.connections(Leg::Tap).len(),
        ran.books.connections(Leg::Client).len()
    );
}

/// Only the tool can show its certificate: the bytes pass untouched.
#[tokio::test]
async fn who_asks_for_a_clients_certificate_gets_it_from_the_tool() {
    if !need(&["curl", "nginx"]) {
        return;
    }
    let pki = Pki::new();
    let leaf = pki.server(&["origin.localhost"]);
    let tls = format!(
        "ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {};\n\
         ssl_verify_client on;",
        leaf.cert_file.display(),
        leaf.key_file.display(),
        pki.ca_file().display()
    );
    let origin = Nginx::start("ssl", &tls).await;
    let own = pki.client("me");
    let rig = Rig::new();
    let url = format!("https://origin.localhost:{}/small", origin.port());
    let (cert, key) = (
        own.cert_file.to_str().unwrap(),
        own.key_file.to_str().unwrap(),
    );
    let command = [
        "curl", "-sS", "--cert", cert, "--key", key, &url, "--next", "-sS",
    ];
    let ca = pki.ca_file();
    let again = [&command[..], &["--cert", cert, "--key", key, &url]].concat();
    let ran = rig.run(Some(&ca), &again).await;
    assert_eq!(
        (ran.code, &*ran.stdout),
        (0, "smallsmall"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("asks for a client certificate"),
        "{}",
        ran.stderr
    );
    assert!(ran.books.exchanges().is_empty());
    assert!(ran.books.connections(Leg::Client).iter().all(|one| one.tls));
}
