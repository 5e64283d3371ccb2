//! A tool's connection, from its first byte to its last.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::Shared;
use super::body::ResponseBody;
use super::exchange;
use super::exchange::Exchanges;
use super::hello;
use super::hello::First;
use super::origin;
use super::origin::Sender;
use super::origin::Version;
use super::stream::Rewound;
use super::stream::Stream;
use super::target::Scheme;
use super::target::Target;
use super::tasks::Crew;
use super::tasks::Tasks;
use super::tls;
use super::tls::Shaken;
use crate::ledger::Counted;
use crate::ledger::End;

/// A socket, its bytes counted.
pub(super) type Socket = Counted<TcpStream>;

/// How long an origin may take to see that its connection is not needed any more.
const FAREWELL: Duration = Duration::from_secs(2);
/// How much of a tunnel's bytes is copied at once, in bytes, each way.
const TUNNEL: usize = 256 << 10;
/// How much an answer may run ahead of its tool over HTTP/2, in bytes.
const RUN_AHEAD: usize = 1 << 20;

/// What a `CONNECT` leads to.
struct Connected {
    tool: OnUpgrade,
    target: Target,
    origin: Socket,
}

/// Serves a tool that takes us for a proxy.
pub(super) async fn tool(shared: Arc<Shared>, socket: Socket) {
    let mut crew = Crew::new();
    let exchanges = Exchanges::with_named(shared.clone(), crew.tasks());
    let connected = Mutex::new(None);
    let service = service_fn(async |request: Request<Incoming>| {
        if request.method() == Method::CONNECT {
            Ok(connect(&shared, request, &connected).await)
        } else {
            exchanges.pass(request).await
        }
    });
    let connection = server1().serve_connection(TokioIo::new(socket), service);
    if let Err(error) = crew.run(connection.with_upgrades()).await {
        tracing::debug!("a tool's connection broke: {error}");
    }
    let connected = connected.into_inner();
    let next = connected.unwrap_or_else(PoisonError::into_inner);
    let upgrade = exchanges.upgrade();
    if let Some(upgrade) = upgrade {
        crew.run(go_on(upgrade)).await;
    } else if let Some(next) = next
        && let Err(error) = through(shared.clone(), &mut crew, next).await
    {
        tracing::debug!("a connection broke: {error}");
    }
    drop(exchanges);
    crew.finish(FAREWELL).await;
}

fn server1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_headers(origin::LINES)
        .max_buf_size(origin::HTTP1_BUFFER);
    builder
}

fn server2(tasks: &Tasks) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(tasks.clone());
    builder
        .auto_date_header(false)
        .initial_stream_window_size(origin::STREAM_WINDOW)
        .initial_connection_window_size(origin::CONNECTION_WINDOW)
        .max_frame_size(origin::FRAME)
        .max_header_list_size(origin::HEADER)
        .max_send_buf_size(RUN_AHEAD);
    builder
}

/// Answers a `CONNECT` once its origin is reached.
async fn connect(
    shared: &Shared,
    mut request: Request<Incoming>,
    connected: &Mutex<Option<Connected>>,
) -> Response<ResponseBody> {
    let Some(target) = Target::of_connect(request.uri()) else {
        let text = format!("tidegate tap: '{}' is no host with a port\n", request.uri());
        return exchange::own(StatusCode::BAD_REQUEST, text);
    };
    match origin::dial(shared, &target).await {
        Err(error) => exchange::unreachable(&target, &error),
        Ok(origin) => {
            let tool = hyper::upgrade::on(&mut request);
            let next = Connected {
                tool,
                target,
                origin,
            };
            *connected.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
            Response::new(ResponseBody::empty())
        }
    }
}

/// What goes through a `CONNECT`.
async fn through(shared: Arc<Shared>, crew: &mut Crew, next: Connected) -> io::Result<()> {
    let Connected {
        tool,
        target,
        origin,
    } = next;
    let upgraded = tool.await.map_err(io::Error::other)?;
    let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Socket>>() else {
        return Err(io::Error::other("an unknown stream"));
    };
    let mut tool = io.into_inner();
    let mut read = BytesMut::from(&read_buf[..]);
    // Some protocols let the server speak first.
    let first = tokio::select! {
        biased;
        first = hello::first(&mut tool, &mut read) => first?,
        spoke = hello::speaks_first(origin.get_ref()) => match spoke? {
            // That a server says at once, too.
            true => hello::first(&mut tool, &mut read).await?,
            false => First::Other,
        },
    };
    let version = match first {
        First::Tls => return over_tls(shared, crew, (tool, read), (origin, target)).await,
        First::Other => {
            tracing::info!("{target}: neither HTTP nor TLS; its bytes are counted");
            return tunnel(Rewound::new(read.freeze(), tool), origin).await;
        }
        First::Http1 => Version::Http1,
        First::Http2 => Version::Http2,
    };
    let tool = Box::new(Rewound::new(read.freeze(), tool));
    let origin = (Box::new(origin) as Stream, target, Scheme::Http);
    http(shared, crew, (tool, version), origin).await
}

async fn over_tls(
    shared: Arc<Shared>,
    crew: &mut Crew,
    (tool, read): (Socket, BytesMut),
    (origin, target): (Socket, Target),
) -> io::Result<()> {
    match tls::shake(&shared, (tool, read), (origin, &target)).await? {
        Shaken::Tunnel(tool, origin) => tunnel(tool, origin).await,
        Shaken::Open {
            mut tool,
            origin,
            version,
        } => {
            let mut read = BytesMut::new();
            // Where no protocol was agreed on, it may be any.
            let version = match version {
                Some(version) => version,
                None => match hello::first(&mut tool, &mut read).await? {
                    First::Http1 => Version::Http1,
                    First::Http2 => Version::Http2,
                    First::Tls | First::Other => {
                        tracing::info!("{target}: no HTTP within TLS; its bytes are counted");
                        return tunnel(Rewound::new(read.freeze(), tool), origin).await;
                    }
                },
            };
            let tool = Box::new(Rewound::new(read.freeze(), tool));
            http(
                shared,
                crew,
                (tool, version),
                (origin, target, Scheme::Https),
            )
            .await
        }
    }
}

/// HTTP, in the same version on both sides.
async fn http(
    shared: Arc<Shared>,
    crew: &mut Crew,
    (tool, version): (Stream, Version),
    (origin, target, scheme): (Stream, Target, Scheme),
) -> io::Result<()> {
    let closed = Arc::new(Notify::new());
    let tasks = crew.tasks();
    let sender = Sender::new(origin, version, &tasks, closed.clone());
    let sender = crew.run(sender).await.map_err(io::Error::other)?;
    let exchanges = Exchanges::with_one(shared, (target, scheme), sender);
    let exchanges = Arc::new(exchanges);
    let service = service_fn(|request| {
        let exchanges = exchanges.clone();
        async move { exchanges.pass(request).await }
    });
    let io = TokioIo::new(tool);
    // When the origin goes, so do we, once all is said.
    let ended = match version {
        Version::Http1 => {
            let connection = server1().serve_connection(io, service).with_upgrades();
            let mut connection = pin!(connection);
            crew.run(async {
                tokio::select! {
                    ended = connection.as_mut() => return ended,
                    () = closed.notified() => {}
                }
                if !exchanges.has_upgrade() {
                    connection.as_mut().graceful_shutdown();
                }
                connection.await
            })
            .await
        }
        Version::Http2 => {
            let mut connection = pin!(server2(&tasks).serve_connection(io, service));
            crew.run(async {
                tokio::select! {
                    ended = connection.as_mut() => return ended,
                    () = closed.notified() => connection.as_mut().graceful_shutdown(),
                }
                connection.await
            })
            .await
        }
    };
    if let Some(upgrade) = exchanges.upgrade() {
        crew.run(go_on(upgrade)).await;
    }
    ended.map_err(io::Error::other)
}

/// Bytes that are no HTTP, both ways, until both sides have ended.
async fn tunnel<A, B>(mut tool: A, mut origin: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    tokio::io::copy_bidirectional_with_sizes(&mut tool, &mut origin, TUNNEL, TUNNEL).await?;
    Ok(())
}

/// What follows `101 (Switching Protocols)`: it is counted as the body of request and answer.
async fn go_on(upgrade: exchange::Upgrade) {
    let exchange::Upgrade {
        tool,
        origin,
        entry,
    } = upgrade;
    let (Ok(tool), Ok(origin)) = (tool.await, origin.await) else {
        entry.ended(End::Failed);
        return;
    };
    let (from_tool, to_tool) = tokio::io::split(TokioIo::new(tool));
    let (from_origin, to_origin) = tokio::io::split(TokioIo::new(origin));
    let sent = copy(from_tool, to_origin, |bytes| entry.sent(bytes));
    let received = copy(from_origin, to_tool, |bytes| entry.received(bytes));
    let ended = tokio::try_join!(sent, received);
    entry.ended(if ended.is_ok() {
        End::Complete
    } else {
        End::Failed
    });
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: impl Fn(usize),
) -> io::Result<()> {
    use tokio::io::AsyncWriteExt as _;

    let mut buffer = BytesMut::with_capacity(TUNNEL);
    loop {
        buffer.clear();
        let read = from.read_buf(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        count(read);
        to.write_all(&buffer).await?;
        to.flush().await?;
    }
}
