//! The connection to an origin: one for each of the tool's.

use std::io;
use std::sync::Arc;

use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper::rt::Executor as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::ledger::Counted;
use crate::ledger::Leg;
use crate::ledger::OpenConnection;

use super::Shared;
use super::body::RequestBody;
use super::stream::Stream;
use super::target::Scheme;
use super::target::Target;
use super::tasks::Tasks;

/// How much one HTTP/1 connection may have read ahead, in bytes.
pub(super) const HTTP1_BUFFER: usize = 512 << 10;
/// How much may be sent ahead of one reader over HTTP/2, in bytes, and of all of a connection.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;
pub(super) const CONNECTION_WINDOW: u32 = 16 << 20;
/// The largest frame of HTTP/2 that we take, in bytes.
pub(super) const FRAME: u32 = 256 << 10;
/// The longest header over HTTP/2, in bytes.
pub(super) const HEADER: u32 = 256 << 10;
/// The most lines of a header over HTTP/1.
pub(super) const LINES: usize = 1024;

/// The version of HTTP that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Sends requests by one connection.
#[derive(Debug)]
pub(super) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Why a request got no answer.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// What went wrong.
    pub(super) error: hyper::Error,
    /// The request, where nothing of it was sent.
    pub(super) unsent: Option<Request<RequestBody>>,
}

/// Dials `target`.
pub(super) async fn dial(shared: &Shared, target: &Target) -> io::Result<Counted<TcpStream>> {
    let socket = target.connect().await?;
    let host = target.shown(Scheme::Any).into();
    let open = OpenConnection::begin(&shared.ledger, Leg::Tap, host);
    Ok(Counted::new(socket, open))
}

impl Sender {
    /// Speaks HTTP by `stream`; `closed` is told when the connection is no more.
    pub(super) async fn new(
        stream: Stream,
        version: Version,
        tasks: &Tasks,
        closed: Arc<Notify>,
    ) -> hyper::Result<Self> {
        let io = TokioIo::new(stream);
        match version {
            Version::Http1 => {
                let mut builder = http1::Builder::new();
                builder
                    .preserve_header_case(true)
                    .max_headers(LINES)
                    .max_buf_size(HTTP1_BUFFER);
                let (sender, connection) = builder.handshake(io).await?;
                tasks.execute(async move {
                    log(connection.with_upgrades().await);
                    closed.notify_one();
                });
                Ok(Self::Http1(sender))
            }
            Version::Http2 => {
                let mut builder = http2::Builder::new(tasks.clone());
                builder
                    .initial_stream_window_size(STREAM_WINDOW)
                    .initial_connection_window_size(CONNECTION_WINDOW)
                    .max_frame_size(FRAME)
                    .max_header_list_size(HEADER);
                let (sender, connection) = builder.handshake(io).await?;
                tasks.execute(async move {
                    log(connection.await);
                    closed.notify_one();
                });
                Ok(Self::Http2(sender))
            }
        }
    }

    /// Whether it can send no more.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until a request can be sent; whether one can.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Another one for the same connection, where it takes several requests at a time.
    pub(super) fn again(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Sends a request; the header of the answer.
    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let sent = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error| Unanswered {
            unsent: error.take_message(),
            error: error.into_error(),
        })
    }
}

fn log(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!("a connection to an origin broke: {error}");
    }
}
