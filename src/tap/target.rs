use std::fmt;
use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;

use http::Uri;
use http::uri::Authority;
use tokio::net::TcpStream;

/// Where a tool wants to go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// A name or an address, without brackets.
    pub(super) host: String,
    /// The port.
    pub(super) port: u16,
}

impl Target {
    /// That of a `CONNECT` (RFC 9110, 9.3.6): it has a port.
    pub(super) fn of_connect(uri: &Uri) -> Option<Self> {
        let authority = uri.authority()?;
        Some(Self::of(authority, authority.port_u16()?))
    }

    /// That of a URI in absolute form (RFC 9112, 3.2.2), in clear text.
    pub(super) fn of_absolute(uri: &Uri) -> Option<Self> {
        let is_clear = uri.scheme()? == &http::uri::Scheme::HTTP;
        let authority = uri.authority().filter(|_| is_clear)?;
        Some(Self::of(authority, authority.port_u16().unwrap_or(80)))
    }

    fn of(authority: &Authority, port: u16) -> Self {
        let host = authority.host();
        Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        }
    }

    /// Host and port as people write them: without the port that `scheme` has anyway.
    pub(super) fn shown(&self, scheme: Scheme) -> String {
        let host = &self.host;
        let brackets = if host.contains(':') {
            ("[", "]")
        } else {
            ("", "")
        };
        let host = format!("{}{host}{}", brackets.0, brackets.1);
        if self.port == scheme.port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Connects. Names below `localhost` are this machine (RFC 6761, 6.3).
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        let stream = if host.ends_with(".localhost") {
            let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let both = both.map(|address: IpAddr| SocketAddr::new(address, self.port));
            TcpStream::connect(&both[..]).await?
        } else {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
                .await?
                .collect();
            TcpStream::connect(&*found).await?
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(Scheme::Any))
    }
}

/// By which scheme a target is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
    /// Not known, so that each port is worth saying.
    Any,
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Any => 0,
        }
    }

    /// As in a URL.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http | Self::Any => "http",
        }
    }
}
