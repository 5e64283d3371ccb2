//! What a command needs to know to go through the tap, and to trust it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::Tap;
use super::judge::certificates;

/// The environment of a command. Its files go when this is dropped.
#[derive(Debug)]
pub struct Environment {
    folder: TempDir,
    proxy: String,
}

const BUNDLE: &str = "bundle.pem";
/// Where tools look for a proxy.
const PROXIES: [&str; 4] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"];
/// Where tools look for a file of authorities.
const BUNDLES: [&str; 5] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];
/// What would let a tool go past the tap.
const CLEARED: [&str; 2] = ["NO_PROXY", "no_proxy"];

impl Environment {
    /// For commands that are to go through `tap`: to those whom the system trusts, and whom `tap`
    /// was told to trust, its own authority is added.
    ///
    /// # Errors
    /// When the bundle of authorities can't be written, or `tap` has no address.
    pub fn new(tap: &Tap) -> io::Result<Self> {
        let mut bundle = tap.authority().pem().to_owned();
        let mut all = rustls_native_certs::load_native_certs().certs;
        if let Some(path) = &tap.upstream_ca {
            all.extend(certificates(path)?);
        }
        for certificate in all {
            add_pem(&mut bundle, &certificate);
        }
        let folder = tempfile::Builder::new().prefix("tidegate-tap-").tempdir()?;
        std::fs::write(folder.path().join(BUNDLE), bundle)?;
        let proxy = format!("http://{}", reachable(tap.local_addr()?));
        Ok(Self { folder, proxy })
    }

    /// What is set.
    pub fn set(&self) -> Vec<(&'static str, OsString)> {
        let bundle = self.bundle();
        let mut all: Vec<(&'static str, OsString)> = Vec::new();
        all.extend(PROXIES.map(|name| (name, self.proxy.clone().into())));
        all.extend(BUNDLES.map(|name| (name, bundle.clone().into())));
        // It holds the bundle, and nothing else.
        all.push(("SSL_CERT_DIR", self.folder.path().into()));
        // Since version 24, node heeds the others where this is set.
        all.push(("NODE_USE_ENV_PROXY", "1".into()));
        all
    }

    /// What is removed: exceptions, by which a tool would go past the tap.
    pub fn removed(&self) -> [&'static str; 2] {
        CLEARED
    }

    /// A file in PEM: all authorities to trust.
    pub fn bundle(&self) -> PathBuf {
        self.folder.path().join(BUNDLE)
    }
}

/// Where an address is reached that may be the one of all interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// Adds a certificate as PEM (RFC 7468).
fn add_pem(text: &mut String, der: &[u8]) {
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(der);
    for line in encoded.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text.push_str("-----END CERTIFICATE-----\n");
}
