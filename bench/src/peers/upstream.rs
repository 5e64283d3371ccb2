//! Where the content is that clients pull through a system.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The registry behind a system.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// Whom to ask.
    pub(crate) addr: SocketAddr,
    /// Who signed its certificate, for `localhost` and its address, as a PEM file; `None` where it
    /// speaks plain HTTP.
    pub(crate) ca: Option<PathBuf>,
}

impl Upstream {
    /// How it is asked: scheme, address and port.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.addr)
    }

    /// What it speaks.
    pub(crate) fn scheme(&self) -> &'static str {
        self.ca.as_ref().map_or("http", |_| "https")
    }
}

/// Address and port.
impl fmt::Display for Upstream {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr.fmt(to)
    }
}
