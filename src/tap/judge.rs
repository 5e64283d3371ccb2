//! Who an origin is, as far as we can tell.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::Error;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::crypto::verify_tls12_signature;
use rustls::crypto::verify_tls13_signature;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::PemObject as _;

use crate::authority::Likeness;

/// Judges origins by the system's authorities, and by those that were added.
#[derive(Debug)]
pub(super) struct Judge {
    // `None` where there is no authority at all.
    verifier: Option<Arc<WebPkiServerVerifier>>,
    added: Vec<CertificateDer<'static>>,
}

/// What is to be said to a tool of an origin's certificate.
#[derive(Debug)]
pub(super) struct Verdict {
    /// What the tool looks at.
    pub(super) likeness: Likeness,
    /// Whether an authority vouches for it that is trusted here.
    pub(super) trusted: bool,
    /// What is wrong with it, be it its names or its time.
    pub(super) complaint: Option<String>,
}

impl Judge {
    /// Trusts the system's authorities, and those in the PEM file `added`.
    ///
    /// # Errors
    /// When the file can't be used; it is named.
    pub(super) fn new(provider: &Arc<CryptoProvider>, added: Option<&Path>) -> io::Result<Self> {
        let added = added.map(certificates).transpose()?.unwrap_or_default();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots.add_parsable_certificates(added.iter().cloned());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        // It fails where there is no authority.
        let verifier = verifier.build().ok();
        Ok(Self { verifier, added })
    }

    /// Judges who showed `chain`, and goes by the name of `name`; `None` where the certificate
    /// can't be read.
    pub(super) fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Option<Verdict> {
        let (leaf, others) = chain.split_first()?;
        let likeness = Likeness::of(leaf)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let verify = |now| -> Result<(), Error> {
            match &self.verifier {
                None => Err(CertificateError::UnknownIssuer.into()),
                // One that was added is trusted as it is, though it signed itself.
                Some(_) if self.added.contains(leaf) => Ok(()),
                Some(verifier) => {
                    let now = UnixTime::since_unix_epoch(now);
                    let found = verifier.verify_server_cert(leaf, others, name, &[], now);
                    found.map(|_| ())
                }
            }
        };
        let found = verify(now);
        // The leaf's names and its time are for the tool to see: who vouches for it is another
        // question, which is asked for a time at which it is good.
        let vouched = if likeness.is_out_of_time(now) {
            verify(likeness.moment(now))
        } else {
            found.clone()
        };
        Some(Verdict {
            trusted: matches!(
                vouched,
                Ok(_)
                    | Err(Error::InvalidCertificate(
                        CertificateError::NotValidForName
                            | CertificateError::NotValidForNameContext { .. }
                    ))
            ),
            likeness,
            complaint: found.err().map(|error| match error {
                Error::InvalidCertificate(error) => error.to_string(),
                error => error.to_string(),
            }),
        })
    }
}

/// The certificates in a PEM file.
///
/// # Errors
/// When there is none; the file is named.
pub(super) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let unusable = |why: &dyn std::fmt::Display| {
        let text = format!("the CA file {} is unusable: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| unusable(&error))?;
    if all.is_empty() {
        return Err(unusable(&"it has no PEM certificate"));
    }
    Ok(all)
}

/// Lets every certificate through, for the judgement comes later, but not one whose key the origin
/// does not have.
#[derive(Debug)]
pub(super) struct Later(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for Later {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Has no client certificate, but remembers whether it was asked for one.
#[derive(Debug, Default)]
pub(super) struct Asked(AtomicBool);

impl Asked {
    pub(super) fn was_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
