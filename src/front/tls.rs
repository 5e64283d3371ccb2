use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

/// The certificate that the front shows, and whose clients' it wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file: the certificate, then those that sign it.
    pub cert: PathBuf,
    /// A PEM file: the certificate's private key.
    pub key: PathBuf,
    /// A PEM file of certificate authorities: only clients that show a certificate of theirs are
    /// let in. `None` lets everybody in.
    pub client_ca: Option<PathBuf>,
}

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A certificate that follows its files.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    // What the files were when they were last read, whether they could be used or not.
    read: Vec<Stamp>,
    looked: Instant,
}

/// Changes when a file is written, replaced, or its link turned; `None` where there is no file.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read, or the key is not the certificate's; the file is named.
    pub(super) fn load(files: Tls) -> io::Result<Self> {
        let read = stamps(&files);
        let config = read_config(&files)?;
        let state = Mutex::new(State {
            config,
            read,
            looked: Instant::now(),
        });
        Ok(Self { files, state })
    }

    /// What to shake hands with: read again where a file has changed. Files that can't be used
    /// change nothing, and are logged once.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            state.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != state.read {
                state.read = stamps;
                match read_config(&self.files) {
                    Ok(config) => {
                        state.config = config;
                        tracing::info!(cert = %self.files.cert.display(), "took a new certificate");
                    }
                    Err(error) => tracing::error!("keeping the old certificate: {error}"),
                }
            }
        }
        state.config.clone()
    }
}

fn read_config(files: &Tls) -> io::Result<Arc<ServerConfig>> {
    let certificates = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(&files.key, &format!("no private key in PEM: {error}")))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in self::certificates(path)? {
                let added = roots.add(authority);
                added.map_err(|error| unusable(path, &error.to_string()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| unusable(path, &error.to_string()))?,
            )
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| {
            let problem = format!("does not go with {}: {error}", files.key.display());
            unusable(&files.cert, &problem)
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = all.map_err(|error| unusable(path, &error.to_string()))?;
    if all.is_empty() {
        return Err(unusable(path, "no certificate in PEM"));
    }
    Ok(all)
}

fn unusable(path: &Path, problem: &str) -> io::Error {
    let text = format!("{}: {problem}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn stamps(files: &Tls) -> Vec<Stamp> {
    [
        Some(&files.cert),
        Some(&files.key),
        files.client_ca.as_ref(),
    ]
    .into_iter()
    .flatten()
    .map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    })
    .collect()
}
