//! TLS on both sides: with the origin as the tool would have shaken hands, with the tool as the
//! origin has.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::AlertDescription;
use rustls::ClientConfig;
use rustls::ProtocolVersion;
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS12;
use rustls::version::TLS13;
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::TlsConnector;
use tokio_rustls::client;

use super::Shared;
use super::hello;
use super::hello::Hello;
use super::judge::Asked;
use super::judge::Later;
use super::judge::Verdict;
use super::origin;
use super::origin::Version;
use super::serve::Socket;
use super::stream::Greedy;
use super::stream::Rewound;
use super::stream::Stream;
use super::stream::below_tls;
use super::target::Target;

/// How far encrypted bytes may run ahead of the socket, in bytes.
const RUN_AHEAD: usize = 256 << 10;
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What comes of a tool's `ClientHello`.
pub(super) enum Shaken {
    /// It goes on as it is, for we can't, or may not, stand between.
    Tunnel(Stream, Stream),
    /// Both sides have shaken hands.
    Open {
        /// What the tool says.
        tool: Stream,
        /// What the origin says.
        origin: Stream,
        /// What both speak; `None` where they have agreed on nothing.
        version: Option<Version>,
    },
}

type Origin = client::TlsStream<tokio::io::BufReader<Socket>>;

/// Shakes hands with the origin, then with the tool.
///
/// # Errors
/// When one of them does not want to; the other one was told.
pub(super) async fn shake(
    shared: &Shared,
    (mut tool, mut read): (Socket, BytesMut),
    (mut origin, target): (Socket, &Target),
) -> io::Result<Shaken> {
    tool.connection_mut().tls = true;
    origin.connection_mut().tls = true;
    let said = hello::hello(&mut tool, &mut read).await?;
    let tool = Rewound::new(read.freeze(), tool);
    let why = match &said {
        None => "its TLS handshake can't be read",
        Some(hello) if !hello.speaks_http() => "it offers no protocol that is known here",
        Some(_) if shared.mutual.contains_key(target) => "it asks for a client certificate",
        Some(_) => "",
    };
    let Some(hello) = said.filter(|_| why.is_empty()) else {
        tracing::info!("{target}: {why}; its bytes are passed on untouched, and counted");
        return Ok(Shaken::Tunnel(Box::new(tool), Box::new(origin)));
    };
    let asked = Arc::new(Asked::default());
    let shaken = to_origin(shared, origin, target, (&hello, asked.clone())).await;
    if asked.was_asked() {
        // By what we are, the origin can't know the tool: it has to speak for itself.
        tracing::warn!(
            "{target} asks for a client certificate, which only the tool has: its bytes are passed \
             on untouched, and counted, but not its requests"
        );
        shared.mutual.insert(target.clone(), ());
        drop(shaken);
        let mut origin = origin::dial(shared, target).await?;
        origin.connection_mut().tls = true;
        return Ok(Shaken::Tunnel(Box::new(tool), Box::new(origin)));
    }
    let origin = match shaken {
        Ok(origin) => origin,
        Err(error) => return Err(refuse(tool, target, &error).await),
    };
    let (mut tool, verdict) = match to_tool(shared, tool, &origin, (&hello, target)).await {
        Ok(shaken) => shaken,
        Err(error) => {
            tracing::warn!(
                "{target}: the tool ended the TLS handshake: {error}; does it trust {}?",
                shared.authority.file().display()
            );
            return Err(error);
        }
    };
    drop(verdict);
    tool.get_mut().1.set_buffer_limit(Some(RUN_AHEAD));
    let version = version_of(origin.get_ref().1.alpn_protocol());
    Ok(Shaken::Open {
        tool: Box::new(Greedy(tool)),
        origin: Box::new(Greedy(origin)),
        version,
    })
}

async fn to_origin(
    shared: &Shared,
    origin: Socket,
    target: &Target,
    (hello, asked): (&Hello, Arc<Asked>),
) -> io::Result<Origin> {
    let mut versions = Vec::new();
    versions.extend(hello.tls13.then_some(&TLS13));
    versions.extend(hello.tls12.then_some(&TLS12));
    let provider = shared.provider.clone();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Later(provider)))
        .with_client_cert_resolver(asked);
    config.alpn_protocols.clone_from(&hello.alpn);
    config
        .alpn_protocols
        .retain(|name| version_of(Some(name)).is_some());
    config.enable_sni = hello.name.is_some();
    config.resumption = Resumption::disabled();
    let name = server_name(hello, target)?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, below_tls(origin));
    let mut shaken = connecting.await?;
    shaken.get_mut().1.set_buffer_limit(Some(RUN_AHEAD));
    Ok(shaken)
}

type Tool = tokio_rustls::server::TlsStream<tokio::io::BufReader<Rewound<Socket>>>;

async fn to_tool(
    shared: &Shared,
    tool: Rewound<Socket>,
    origin: &Origin,
    (hello, target): (&Hello, &Target),
) -> io::Result<(Tool, Verdict)> {
    let session = origin.get_ref().1;
    let name = server_name(hello, target)?;
    let chain = session.peer_certificates().unwrap_or_default();
    let verdict = shared.judge.judge(chain, &name).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "the origin's certificate can't be read",
        )
    })?;
    if let Some(complaint) = &verdict.complaint {
        let advice = if verdict.trusted {
            ""
        } else {
            "; if it is right, give its authority by --upstream-ca"
        };
        tracing::warn!(
            "{target}: the origin's certificate is invalid ({complaint}), so the one that the tool \
             is shown is, too{advice}"
        );
    }
    let leaf = shared.authority.leaf(&verdict.likeness, verdict.trusted)?;
    let version: &[&SupportedProtocolVersion] = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => &[&TLS12],
        _ => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(shared.provider.clone())
        .with_protocol_versions(version)
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from((*leaf).clone())));
    config.alpn_protocols = Vec::from_iter(session.alpn_protocol().map(<[u8]>::to_vec));
    // Each connection is the origin's own, so none goes on with another's session.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let accepting = TlsAcceptor::from(Arc::new(config)).accept(below_tls(tool));
    Ok((accepting.await?, verdict))
}

/// The name that the tool uses, else the one of its `CONNECT`.
fn server_name(hello: &Hello, target: &Target) -> io::Result<ServerName<'static>> {
    let name = hello.name.as_ref().unwrap_or(&target.host);
    ServerName::try_from(name.clone()).map_err(io::Error::other)
}

/// Tells the tool what the origin told us.
async fn refuse(mut tool: Rewound<Socket>, target: &Target, error: &io::Error) -> io::Error {
    tracing::warn!("{target}: the TLS handshake with the origin failed: {error}");
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    // Where the origin just left, so do we.
    let alert = match cause {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Some(_) => Some(AlertDescription::HandshakeFailure),
        None => None,
    };
    if let Some(alert) = alert {
        // A fatal alert, in clear text (RFC 8446, 5.1 and 6).
        let record = [21, 3, 3, 0, 2, 2, u8::from(alert)];
        let _ = tool.write_all(&record).await;
        let _ = tool.shutdown().await;
    }
    io::Error::new(error.kind(), error.to_string())
}

fn version_of(alpn: Option<&[u8]>) -> Option<Version> {
    match alpn {
        Some(H2) => Some(Version::Http2),
        Some(HTTP1) => Some(Version::Http1),
        _ => None,
    }
}

impl Hello {
    /// Whether it may be HTTP that follows.
    fn speaks_http(&self) -> bool {
        let mut all = self.alpn.iter();
        self.alpn.is_empty() || all.any(|name| version_of(Some(name)).is_some())
    }
}
