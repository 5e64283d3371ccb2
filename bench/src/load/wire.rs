//! A client's connection: plain, or TLS with the one cipher that all are measured with.

use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::ClientConnection;
use rustls::RootCertStore;
use rustls::StreamOwned;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;

use fake_registry::Pki;

/// The cipher of all connections: what servers and clients of today prefer where the processor
/// has instructions for it.
pub(crate) const CIPHER: &str = "TLS_AES_128_GCM_SHA256";

/// What is read from the socket at a time, in bytes: rustls alone would take 4 KiB.
const READ: usize = 256 * 1024;

/// A connection.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, Wide>>),
}

/// A socket that is read in long pieces.
pub(super) struct Wide(BufReader<TcpStream>);

/// Trusts `pki`, and speaks TLS 1.3 with [`CIPHER`] alone.
///
/// # Errors
/// When the provider has no such cipher.
pub(crate) fn client_config(pki: &Pki) -> anyhow::Result<Arc<ClientConfig>> {
    let mut provider: CryptoProvider = aws_lc_rs::default_provider();
    let is_wanted = aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.retain(|suite| *suite == is_wanted);
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca_der())?;
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Wire {
    /// Connects; no answer for `silence` is an error.
    pub(super) fn connect(
        addr: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        silence: Duration,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence))?;
        let Some(config) = tls else {
            return Ok(Self::Plain(stream));
        };
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(Arc::clone(config), name)?;
        let wide = Wide(BufReader::with_capacity(READ, stream));
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, wide))))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Read for Wide {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wide {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
