//! What a system speaks TLS with, and what its clients trust.

use std::path::PathBuf;
use std::sync::Arc;

use fake_registry::Pki;
use rustls::ClientConfig;

use crate::load;

/// A certificate for `localhost`, and who trusts it. Its files go with it.
pub(crate) struct Certificate {
    /// As PEM.
    pub(crate) cert: PathBuf,
    /// As PEM.
    pub(crate) key: PathBuf,
    /// What clients speak TLS with.
    pub(crate) trust: Arc<ClientConfig>,
    _pki: Pki,
}

impl Certificate {
    /// A new one, signed by an authority of its own.
    ///
    /// # Errors
    /// When clients can't be made to trust it.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let pki = Pki::new();
        let leaf = pki.server(&[]);
        Ok(Self {
            cert: leaf.cert_file,
            key: leaf.key_file,
            trust: load::client_config(&pki)?,
            _pki: pki,
        })
    }
}
