//! For clients that know only `HTTPS_PROXY`: a proxy whose `CONNECT`s to configured upstreams we
//! answer ourselves, with certificates of our own authority. All others are tunnels, whose bytes
//! nobody looks at.
//!
//! It is no open proxy: a client of this machine gets a tunnel to wherever it could go by itself;
//! one from elsewhere to public addresses alone, by ports that are not the system's own but for 443,
//! and only where nobody has to log in, as a tunnel asks for no login.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use http::uri::PathAndQuery;
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::authority::Authority;
use crate::authority::Likeness;
use crate::oci::UpstreamName;
use crate::registry;

use super::route::Query;

/// Where to intercept, and by which authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The folder of the certificate authority; it is made where there is none.
    pub authority: PathBuf,
}

/// Who is meant by a host and its port, in lower case.
pub type Hosts = BTreeMap<String, UpstreamName>;

/// What intercepted connections share.
#[derive(Debug)]
pub(super) struct Interception {
    authority: Authority,
    hosts: Arc<ArcSwap<Hosts>>,
    needs_login: bool,
}

/// Whom a client wants to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    host: String,
    port: u16,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoTunnel {
    /// Clients from elsewhere get none where others have to log in.
    #[error("who comes from elsewhere gets no tunnel here, for there is a login")]
    Stranger,
    /// A port that is not for this.
    #[error("port {0} is none that others may reach from here")]
    Port(u16),
    /// An address that is not public.
    #[error("{0} is at no public address, and who comes from elsewhere gets no other")]
    Private(Destination),
    /// It can't be reached.
    #[error("{0} can't be reached: {1}")]
    Unreachable(Destination, io::Error),
}

/// How long to wait for a tunnel's other end.
const CONNECT: Duration = Duration::from_secs(30);
/// How much of a tunnel's bytes is copied at once, in bytes.
const BUFFER: usize = 64 << 10;
/// The first port that is not the system's own.
const FIRST_FREE: u16 = 1024;
const HTTPS: u16 = 443;

impl Interception {
    /// Opens the authority. `needs_login` says whether clients have to log in to the front.
    ///
    /// # Errors
    /// When the authority can't be used; its folder is named.
    pub(super) fn new(
        config: &Intercept,
        hosts: Arc<ArcSwap<Hosts>>,
        needs_login: bool,
    ) -> io::Result<Self> {
        Ok(Self {
            authority: Authority::open(&config.authority)?,
            hosts,
            needs_login,
        })
    }

    /// Who is meant by `destination`, where it is one of ours.
    pub(super) fn upstream(&self, destination: &Destination) -> Option<UpstreamName> {
        let key = destination.to_string().to_ascii_lowercase();
        self.hosts.load().get(&key).cloned()
    }

    /// How to shake hands with who takes us for `destination`.
    pub(super) fn certificate(&self, destination: &Destination) -> io::Result<Arc<ServerConfig>> {
        let leaf = Likeness::good_for(&destination.host);
        let leaf = self.authority.leaf(&leaf, true)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from((*leaf).clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// The other end of a tunnel for a client at `client`.
    ///
    /// # Errors
    /// When there is none for this client.
    pub(super) async fn tunnel(
        &self,
        client: IpAddr,
        destination: &Destination,
    ) -> Result<TcpStream, NoTunnel> {
        let is_ours = client.to_canonical().is_loopback();
        let port = destination.port;
        if !is_ours && self.needs_login {
            return Err(NoTunnel::Stranger);
        }
        if !is_ours && port != HTTPS && port < FIRST_FREE {
            return Err(NoTunnel::Port(port));
        }
        let unreachable = |error| NoTunnel::Unreachable(destination.clone(), error);
        let reached = async {
            let host = (destination.host.as_str(), port);
            let mut found: Vec<SocketAddr> = tokio::net::lookup_host(host)
                .await
                .map_err(unreachable)?
                .collect();
            // What is looked at is what is dialled.
            found.retain(|address| is_ours || registry::is_public(address.ip()));
            if found.is_empty() {
                return Err(NoTunnel::Private(destination.clone()));
            }
            let stream = TcpStream::connect(&found[..]).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            Ok(stream)
        };
        let late = |_| unreachable(io::ErrorKind::TimedOut.into());
        tokio::time::timeout(CONNECT, reached).await.map_err(late)?
    }
}

impl Destination {
    /// That of a `CONNECT` (RFC 9110, 9.3.6).
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        Some(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16()?,
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The request's URI, said to mean `upstream`, whatever else it says.
pub(super) fn meaning(uri: &Uri, upstream: &UpstreamName) -> Option<Uri> {
    let rest = Query::of(uri.query().unwrap_or_default()).rest;
    let and = if rest.is_empty() { "" } else { "&" };
    let path = format!("{}?ns={upstream}{and}{rest}", uri.path());
    let path = PathAndQuery::try_from(path).ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

/// Bytes both ways, until both ends have said all. `moved` counts them.
///
/// # Errors
/// When one of the ends breaks.
pub(super) async fn copy<A, B>(client: A, other: B, moved: &AtomicU64) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = tokio::io::split(client);
    let (from_other, to_other) = tokio::io::split(other);
    let there = one_way(from_client, to_other, moved);
    let back = one_way(from_other, to_client, moved);
    tokio::try_join!(there, back)?;
    Ok(())
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        moved.fetch_add(read as u64, Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_meant_whatever_the_query_says() {
        let upstream = "quay.io".parse().unwrap();
        for (asked, meant) in [
            ("/v2/", "/v2/?ns=quay.io"),
            (
                "https://quay.io/v2/a/tags/list?n=1&ns=x&last=b",
                "https://quay.io/v2/a/tags/list?ns=quay.io&n=1&last=b",
            ),
        ] {
            let uri = meaning(&asked.parse().unwrap(), &upstream).unwrap();
            assert_eq!(uri.to_string(), meant);
        }
    }

    #[tokio::test]
    async fn who_comes_from_elsewhere_does_not_get_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let config = Intercept {
            listen: ([127, 0, 0, 1], 0).into(),
            authority: folder.path().to_owned(),
        };
        let there = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = there.local_addr().unwrap().port();
        let open = Interception::new(&config, Arc::default(), false).unwrap();
        let closed = Interception::new(&config, Arc::default(), true).unwrap();
        let to = |host: &str, port| Destination {
            host: host.to_owned(),
            port,
        };
        let (own, other): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), "192.0.2.7".parse().unwrap());
        for all in [&open, &closed] {
            assert!(all.tunnel(own, &to("127.0.0.1", port)).await.is_ok());
        }
        let refused = closed.tunnel(other, &to("1.1.1.1", 443)).await;
        assert!(matches!(refused, Err(NoTunnel::Stranger)));
        let refused = open.tunnel(other, &to("1.1.1.1", 25)).await;
        assert!(matches!(refused, Err(NoTunnel::Port(25))));
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "169.254.169.254",
            "::1",
            "localhost",
        ] {
            let refused = open.tunnel(other, &to(host, port)).await;
            assert!(matches!(refused, Err(NoTunnel::Private(_))), "{host}");
        }
    }
}
