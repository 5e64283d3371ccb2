use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::files::Followed;
use crate::files::unusable;

/// The certificate that the front shows, and whose clients' it wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// A PEM file: the certificate, then those that sign it.
    pub cert: PathBuf,
    /// A PEM file: the certificate's private key.
    pub key: PathBuf,
    /// A PEM file of certificate authorities: only clients that show a certificate of theirs are
    /// let in, unless there is another login beside certificates. `None` asks for none.
    pub client_ca: Option<PathBuf>,
}

/// A certificate that follows its files.
#[derive(Debug)]
pub(super) struct Certificate(Followed<ServerConfig>);

/// Whether clients must show a certificate, where there is an authority for theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insistence {
    /// They are turned away without one.
    Must,
    /// They may come without one, to log in otherwise.
    May,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// When one can't be read, or the key is not the certificate's; the file is named.
    pub(super) fn load(files: Tls, clients: Insistence) -> io::Result<Self> {
        let paths = [
            Some(&files.cert),
            Some(&files.key),
            files.client_ca.as_ref(),
        ];
        let paths = paths.into_iter().flatten().cloned().collect();
        let read = move || read_config(&files, clients);
        Followed::new("certificate", paths, read).map(Self)
    }

    /// What to shake hands with: read again where a file has changed. Files that can't be used
    /// change nothing, and are logged once.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.0.current()
    }
}

fn read_config(files: &Tls, clients: Insistence) -> io::Result<Arc<ServerConfig>> {
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
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match clients {
                Insistence::Must => verifier,
                Insistence::May => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
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
