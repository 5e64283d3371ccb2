//! A certificate authority of our own, for who lets us look into TLS: the tap, and the intercepting
//! listener.
//!
//! It is made on first use, in a folder of its own, and used again from then on: `ca.crt` is for
//! those who are to trust it, `ca.key` (mode 0600) is for us alone. Its keys are ECDSA P-256.
//!
//! A leaf is like the certificate of the origin for which it stands ([`Likeness`]): with its names
//! and its time, and signed by nobody whom one knows if the origin's is. So it is the client that
//! judges, as it would have judged the origin.

use std::fmt;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use moka::sync::Cache;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DistinguishedName;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivatePkcs8KeyDer;

mod folder;
mod likeness;

pub use likeness::Likeness;

/// How many leaves are kept. Another one costs a signature.
const LEAVES: u64 = 1000;
/// How long a leaf is kept, at most: less than the life of those that are like nothing.
const KEEP: std::time::Duration = std::time::Duration::from_secs(24 * 60 * 60);

type Signer = Issuer<'static, KeyPair>;

/// The authority, and the leaves that it has signed.
pub struct Authority {
    folder: PathBuf,
    certificate: CertificateDer<'static>,
    pem: String,
    trusted: Signer,
    // It signs for origins whose own authority nobody knows.
    untrusted: Signer,
    key: KeyPair,
    leaves: Cache<(Likeness, bool), Arc<CertifiedKey>>,
}

impl Authority {
    /// The authority whose files are in `folder`; where there are none, they are made.
    ///
    /// # Errors
    /// When the folder can't be written, or what is there is no authority's. The folder or the file
    /// is named.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (key, pem) = folder::open(folder, &|key| {
            let made = params(key, "tidegate CA").self_signed(key);
            made.map(|certificate| certificate.pem())
                .map_err(io::Error::other)
        })?;
        let certificate = folder::certificate(folder, &pem, &key)?;
        let trusted = Issuer::new(params(&key, "tidegate CA"), key);
        let stranger = KeyPair::generate().map_err(io::Error::other)?;
        let name = "unknown: the origin's certificate is signed by nobody whom tidegate trusts";
        let untrusted = Issuer::new(params(&stranger, name), stranger);
        Ok(Self {
            folder: folder.to_owned(),
            certificate,
            pem,
            trusted,
            untrusted,
            key: KeyPair::generate().map_err(io::Error::other)?,
            leaves: Cache::builder()
                .max_capacity(LEAVES)
                .time_to_live(KEEP)
                .build(),
        })
    }

    /// The authority's certificate, in PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file of the authority's certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.join(folder::CERTIFICATE)
    }

    /// A certificate that looks like `likeness`, and its key. Where it is not `trusted`, who looks
    /// at it finds nobody who vouches for it.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn leaf(&self, likeness: &Likeness, trusted: bool) -> io::Result<Arc<CertifiedKey>> {
        let sign = || self.sign(likeness, trusted).map(Arc::new);
        self.leaves
            .try_get_with((likeness.clone(), trusted), sign)
            .map_err(|error| io::Error::other(error.to_string()))
    }

    fn sign(&self, likeness: &Likeness, trusted: bool) -> io::Result<CertifiedKey> {
        let mut params = CertificateParams::default();
        likeness.shape(&mut params);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = if trusted {
            &self.trusted
        } else {
            &self.untrusted
        };
        let leaf = params
            .signed_by(&self.key, issuer)
            .map_err(io::Error::other)?;
        let mut chain = vec![leaf.der().clone()];
        if trusted {
            chain.push(self.certificate.clone());
        }
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let provider = aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain, key.into(), &provider).map_err(io::Error::other)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.folder.display())
    }
}

/// An authority's certificate. Two of them must not have one name, so a piece of the key is in it.
fn params(key: &KeyPair, name: &str) -> CertificateParams {
    use sha2::Digest as _;
    use std::fmt::Write as _;

    let hash = sha2::Sha256::digest(key.public_key_raw());
    let mut piece = String::new();
    for byte in &hash[..4] {
        let _ = write!(piece, "{byte:02x}");
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let distinguished = &mut params.distinguished_name;
    distinguished.push(DnType::CommonName, format!("{name} ({piece})"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    likeness::valid(&mut params, likeness::DAY, 3650 * likeness::DAY);
    params
}
