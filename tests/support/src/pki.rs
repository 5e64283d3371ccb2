//! A certificate authority for tests, and what it signs.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::PrivatePkcs8KeyDer;

/// One certificate authority (ECDSA P-256), with its files in a temporary folder of its own.
pub struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
    leaves: AtomicUsize,
}

/// A certificate that a [`Pki`] signed, and its key, in memory and as PEM files.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate, as a PEM file.
    pub cert_file: PathBuf,
    /// The private key (PKCS #8), as a PEM file.
    pub key_file: PathBuf,
    /// The certificate, as PEM.
    pub cert_pem: String,
    /// The private key (PKCS #8), as PEM.
    pub key_pem: String,
    /// The certificate, as DER.
    pub cert_der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Pki {
    /// A new authority.
    ///
    /// # Panics
    /// Where the temporary folder can't be written.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "tidegate test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key pair");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("ca.crt"), issuer.pem()).expect("ca.crt is written");
        Self {
            issuer,
            folder,
            leaves: AtomicUsize::new(0),
        }
    }

    /// The authority's certificate, as a PEM file.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The authority's certificate, as PEM.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate, as DER.
    pub fn ca_der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// The folder with all files of this authority.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A server's certificate for `localhost`, `127.0.0.1` and the host names (or IP addresses)
    /// in `more`.
    pub fn server(&self, more: &[&str]) -> Leaf {
        let names = ["localhost", "127.0.0.1"].iter().chain(more);
        let names: Vec<String> = names.map(ToString::to_string).collect();
        let name = more.first().copied().unwrap_or("localhost");
        self.leaf(name, names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate, with `name` as its common name.
    pub fn client(&self, name: &str) -> Leaf {
        self.leaf(name, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client's certificate without a common name, with these host names or IP addresses.
    pub fn client_without_name(&self, names: &[&str]) -> Leaf {
        let names = names.iter().map(ToString::to_string).collect();
        self.leaf("", names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(&self, name: &str, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> Leaf {
        let key = KeyPair::generate().expect("a key pair");
        let mut params = CertificateParams::new(names).expect("valid host names");
        params.distinguished_name = DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("a signed certificate");
        let number = self.leaves.fetch_add(1, Ordering::Relaxed);
        let file = |end: &str| self.folder.path().join(format!("leaf-{number}.{end}"));
        let leaf = Leaf {
            cert_file: file("crt"),
            key_file: file("key"),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            cert_der: cert.der().clone(),
            key_der: key.serialize_der(),
        };
        fs::write(&leaf.cert_file, &leaf.cert_pem).expect("the certificate is written");
        fs::write(&leaf.key_file, &leaf.key_pem).expect("the key is written");
        leaf
    }

    /// A client's TLS configuration that trusts this authority alone. No ALPN.
    pub fn client_config(&self) -> ClientConfig {
        self.client_builder().with_no_client_auth()
    }

    /// As [`Pki::client_config`], with a client certificate.
    pub fn client_config_with(&self, leaf: &Leaf) -> ClientConfig {
        self.client_builder()
            .with_client_auth_cert(vec![leaf.cert_der.clone()], leaf.key())
            .expect("the certificate fits its key")
    }

    fn client_builder(
        &self,
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der()).expect("a usable CA certificate");
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots)
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

impl Leaf {
    /// The private key, as DER (PKCS #8).
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }

    /// A server's TLS configuration with this certificate; `alpn` in the order of preference.
    pub fn server_config(&self, alpn: &[&str]) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![self.cert_der.clone()], self.key())
            .expect("the certificate fits its key");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
