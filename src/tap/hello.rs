//! What a tool says first.

use std::io;

use bytes::BytesMut;
use rustls::CipherSuite;
use rustls::server::Acceptor;
use rustls::server::ClientHello;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// What a stream begins with.
#[derive(Debug)]
pub(super) enum First {
    /// A TLS handshake.
    Tls,
    /// A request in HTTP/1.
    Http1,
    /// The preface of HTTP/2 (RFC 9113, 3.4).
    Http2,
    /// Neither.
    Other,
}

/// A TLS `ClientHello`, as far as it concerns us.
#[derive(Clone, Debug, Default)]
pub(super) struct Hello {
    /// The name that the tool wants to talk to.
    pub(super) name: Option<String>,
    /// The protocols that it offers, if it offers any.
    pub(super) alpn: Vec<Vec<u8>>,
    /// Whether it speaks TLS 1.2.
    pub(super) tls12: bool,
    /// Whether it speaks TLS 1.3.
    pub(super) tls13: bool,
}

/// The longest `ClientHello`, in bytes.
const LONGEST: usize = 64 << 10;
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT",
];

/// Reads as much as it takes to tell what it is; what was read is in `read`.
///
/// # Errors
/// Those of the stream.
pub(super) async fn first<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
) -> io::Result<First> {
    loop {
        if let Some(first) = tell(read) {
            return Ok(first);
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(First::Other);
        }
    }
}

/// Waits until `origin` says something before it was asked. Whether that is the first frame of
/// HTTP/2 (RFC 9113, 3.4), which waits for nothing.
///
/// # Errors
/// Those of the socket.
pub(super) async fn speaks_first(origin: &TcpStream) -> io::Result<bool> {
    // A frame's header (RFC 9113, 4.1): length, type, flags, stream.
    let mut frame = [0; 9];
    let length = origin.peek(&mut frame).await?;
    Ok(matches!(frame, [0, 0, _, 4, 0, 0, 0, 0, 0]) && length == frame.len())
}

/// `None` while it can't be told yet.
fn tell(bytes: &[u8]) -> Option<First> {
    /// A TLS record with a handshake (RFC 8446, 5.1).
    const HANDSHAKE: u8 = 22;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0";
    let begins = |all: &[u8]| bytes.starts_with(all) || all.starts_with(bytes);
    match bytes {
        [] | [HANDSHAKE] => None,
        [HANDSHAKE, 3, ..] => Some(First::Tls),
        _ if bytes.starts_with(PREFACE) => Some(First::Http2),
        _ => {
            let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
            let is_whole = word.len() < bytes.len();
            if is_whole && METHODS.contains(&word) {
                return Some(First::Http1);
            }
            let may_become = begins(PREFACE) || METHODS.iter().any(|method| begins(method));
            let may_become = may_become && (!is_whole || begins(PREFACE));
            (!may_become || bytes.len() > PREFACE.len()).then_some(First::Other)
        }
    }
}

/// Reads a whole `ClientHello`; what was read is in `read`. `None` where it is none.
///
/// # Errors
/// Those of the stream.
pub(super) async fn hello<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
) -> io::Result<Option<Hello>> {
    loop {
        // The acceptor keeps what it has read; it is short enough to be read again.
        let mut acceptor = Acceptor::default();
        let mut rest = &read[..];
        while !rest.is_empty() {
            if acceptor.read_tls(&mut rest).is_err() {
                return Ok(None);
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(Some(Hello::of(&accepted.client_hello()))),
                Ok(None) => {}
                Err(_) => return Ok(None),
            }
        }
        if read.len() > LONGEST || stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

impl Hello {
    fn of(hello: &ClientHello<'_>) -> Self {
        // Those of TLS 1.3 are apart from all before (RFC 8446, B.4).
        let is_new = |suite: &CipherSuite| u16::from(*suite) >> 8 == 0x13;
        let suites = hello.cipher_suites();
        Self {
            name: hello.server_name().map(ToOwned::to_owned),
            alpn: hello
                .alpn()
                .map(|all| all.map(<[u8]>::to_vec).collect())
                .unwrap_or_default(),
            tls12: !suites.iter().all(is_new),
            tls13: suites.iter().any(is_new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_what_it_is() {
        for (bytes, told) in [
            ("", None),
            ("G", None),
            ("GET", None),
            ("GET /", Some("Http1")),
            ("PATCH /", Some("Http1")),
            ("P", None),
            ("PRI * HTTP/2.0\r\n", Some("Http2")),
            ("PRI * ", None),
            ("PRIVMSG x", Some("Other")),
            ("GETS x", Some("Other")),
            ("EHLO", Some("Other")),
            ("\u{16}", None),
            ("\u{16}\u{3}", Some("Tls")),
            ("\u{16}\u{4}", Some("Other")),
            ("\0\0", Some("Other")),
        ] {
            let found = tell(bytes.as_bytes()).map(|first| format!("{first:?}"));
            assert_eq!(found.as_deref(), told, "{bytes:?}");
        }
    }
}
