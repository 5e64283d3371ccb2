use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::Version;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::activity::Activity;
use super::exchange::Asker;
use super::exchange::Exchanges;
use super::lane::Lane;
use super::tls::Certificate;
use super::wire::Wire;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) exchanges: Exchanges,
    pub(super) certificate: Option<Certificate>,
    pub(super) header_timeout: Duration,
    pub(super) idle_timeout: Duration,
    builder: auto::Builder<TokioExecutor>,
}

/// What connections are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Serve.
    Open,
    /// Finish what is under way, take nothing new.
    Draining,
    /// Break off.
    Cut,
}

/// How long a connection that was told to finish may take for its farewell.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How much an answer may run ahead of its client before it waits, in bytes: with the part that it
/// was given last, memory that a slow client holds.
const SEND_BUFFER: usize = 64 * 1024;
/// The same for one of the streams of an HTTP/2 connection, of which there may be many.
const STREAM_BUFFER: usize = 16 * 1024;
/// When the kernel asks a silent peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Connections {
    pub(super) fn new(
        exchanges: Exchanges,
        certificate: Option<Certificate>,
        header_timeout: Duration,
        idle_timeout: Duration,
    ) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(header_timeout)
            .max_buf_size(SEND_BUFFER);
        // The windows and frames of what we send are the client's to choose. Pings find clients
        // that vanished.
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(256)
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        Self {
            exchanges,
            certificate,
            header_timeout,
            idle_timeout,
            builder,
        }
    }

    /// Serves one connection until it ends, or until it is cut.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) {
        let mut cut = phase.clone();
        tokio::select! {
            () = self.serve_uncut(stream, peer, phase) => {}
            () = reached(&mut cut, Phase::Cut) => {}
        }
    }

    async fn serve_uncut(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        phase: watch::Receiver<Phase>,
    ) {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let prepared = stream
            .set_nodelay(true)
            .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
        if let Err(error) = prepared {
            tracing::debug!(%peer, "lost a connection before it began: {error}");
            return;
        }
        let wire = Wire::new(stream, self.idle_timeout);
        let Some(certificate) = &self.certificate else {
            let lane = wire.lane();
            return self.converse(wire, (peer, Some(lane)), phase).await;
        };
        let handshake = TlsAcceptor::from(certificate.current()).accept(wire);
        match tokio::time::timeout(HANDSHAKE.min(self.header_timeout), handshake).await {
            Ok(Ok(stream)) => self.converse(stream, (peer, None), phase).await,
            Ok(Err(error)) => tracing::debug!(%peer, "no TLS handshake: {error}"),
            Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
        }
    }

    /// HTTP, in the version that the client speaks. There is a lane in clear text only.
    async fn converse<S>(
        self: &Arc<Self>,
        stream: S,
        (peer, lane): (SocketAddr, Option<Arc<Lane>>),
        mut phase: watch::Receiver<Phase>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let activity = Activity::new();
        let client: Arc<str> = peer.ip().to_canonical().to_string().into();
        let service = service_fn(|request: Request<Incoming>| {
            let busy = activity.begin();
            // HTTP/2 cuts bodies into frames, which hold bytes.
            let lane = lane.clone().filter(|_| request.version() < Version::HTTP_2);
            let asker = Asker {
                client: client.clone(),
                busy,
                lane,
            };
            let all = self.clone();
            async move {
                let (request, _) = request.into_parts();
                Ok::<_, Infallible>(all.exchanges.answer(&request, asker).await)
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = reached(&mut phase, Phase::Draining) => {
                connection.as_mut().graceful_shutdown();
                Some(connection.as_mut().await)
            }
            () = self.idle(&activity) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(FAREWELL, connection.as_mut()).await.ok()
            }
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(%peer, "a connection broke: {error}");
        }
    }

    /// Ends when the connection has had nothing to do for too long.
    async fn idle(&self, activity: &Activity) {
        loop {
            let left = activity.allowance(self.header_timeout, self.idle_timeout);
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// Ends when the front is as far as `goal`, or gone.
async fn reached(phase: &mut watch::Receiver<Phase>, goal: Phase) {
    let _ = phase.wait_for(|phase| *phase >= goal).await;
}
