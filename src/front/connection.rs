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
use rustls::ServerConfig;
use socket2::SockRef;
use socket2::TcpKeepalive;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::ledger::Counted;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::OpenConnection;
use crate::login;
use crate::login::User;
use crate::oci::UpstreamName;

use super::exchange::Asker;
use super::exchange::Exchanges;
use super::intercept::Interception;
use super::intercept::meaning;
use super::lane::Lane;
use super::seats::Seat;
use super::tls::Certificate;
use super::wire::Wire;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Connections {
    exchanges: Exchanges,
    ledger: Ledger,
    certificate: Option<Certificate>,
    interception: Option<Interception>,
    limits: Limits,
    builder: auto::Builder<TokioExecutor>,
}

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Time for a request's header; an HTTP/1 connection may be idle as long.
    pub(super) header_timeout: Duration,
    /// Time for a connection without a request, and for a client that takes nothing of an answer.
    pub(super) idle_timeout: Duration,
    /// Requests at a time on an HTTP/2 connection.
    pub(super) max_streams: u32,
}

/// A client's connection, ready for HTTP.
pub(super) struct Guest {
    /// Its address.
    pub(super) peer: SocketAddr,
    /// The upstream that it takes us for.
    pub(super) meant: Option<UpstreamName>,
    /// Whom its certificate names.
    user: Option<User>,
    /// There is one in clear text only.
    lane: Option<Arc<Lane>>,
    /// Its place.
    pub(super) seat: Seat,
}

/// By which door a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// To a registry.
    Front,
    /// To a proxy.
    Proxy,
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
/// How much an answer may run ahead of its client over HTTP/2, in bytes, for each of the streams of
/// a connection, of which there may be many: memory that a slow client holds.
const STREAM_BUFFER: usize = 16 * 1024;
/// The longest header of a request, in bytes; a longer one is answered 431, as is one of more than
/// a hundred lines over HTTP/1 (hyper's own limit). Over HTTP/1 an answer runs ahead as much.
const HEADER: usize = 64 * 1024;
/// How many streams may be reset before we came to them, and how many we may reset for a client's
/// errors, until an HTTP/2 connection is broken off (CVE-2023-44487).
const RESETS: usize = 64;
const ERRORS: usize = 256;
/// When the kernel asks a silent peer whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);

impl Connections {
    pub(super) fn new(
        exchanges: Exchanges,
        ledger: Ledger,
        certificate: Option<Certificate>,
        limits: Limits,
    ) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEADER);
        // The windows and frames of what we send are the client's to choose. Pings find clients
        // that vanished.
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(u32::try_from(HEADER).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESETS)
            .max_local_error_reset_streams(ERRORS)
            .max_send_buf_size(STREAM_BUFFER)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        Self {
            exchanges,
            ledger,
            certificate,
            interception: None,
            limits,
            builder,
        }
    }

    /// Lets clients take us for a proxy, too.
    pub(super) fn intercepting(mut self, interception: Option<Interception>) -> Self {
        self.interception = interception;
        self
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// `stream` with its place in the books, which is filled in when it is dropped.
    pub(super) fn enter(
        &self,
        entrance: Entrance,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Counted<TcpStream> {
        let host = peer.ip().to_canonical().to_string();
        let mut open = OpenConnection::begin(&self.ledger, Leg::Client, host.into());
        open.connection.tls = entrance == Entrance::Front && self.certificate.is_some();
        Counted::new(stream, open)
    }

    /// Serves one connection until it ends, or until it is cut.
    pub(super) async fn serve(
        self: Arc<Self>,
        entrance: Entrance,
        (stream, peer): (TcpStream, SocketAddr),
        seat: Seat,
        phase: watch::Receiver<Phase>,
    ) {
        let mut cut = phase.clone();
        tokio::select! {
            () = self.serve_uncut(entrance, (stream, peer), seat, phase) => {}
            () = reached(&mut cut, Phase::Cut) => {}
        }
    }

    // What only some connections need, or only for a while, is in a box: an idle one is to be small.
    async fn serve_uncut(
        self: Arc<Self>,
        entrance: Entrance,
        (stream, peer): (TcpStream, SocketAddr),
        seat: Seat,
        phase: watch::Receiver<Phase>,
    ) {
        let stream = self.enter(entrance, stream, peer);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let tcp = stream.get_ref();
        let prepared = tcp
            .set_nodelay(true)
            .and_then(|()| SockRef::from(tcp).set_tcp_keepalive(&keepalive));
        if let Err(error) = prepared {
            tracing::debug!(%peer, "lost a connection before it began: {error}");
            return;
        }
        let wire = Wire::new(stream, self.limits.idle_timeout, seat.activity().clone());
        let mut guest = Guest {
            peer,
            meant: None,
            user: None,
            lane: None,
            seat,
        };
        if let (Entrance::Proxy, Some(interception)) = (entrance, &self.interception) {
            return Box::pin(self.intercept(interception, wire, guest, phase)).await;
        }
        let Some(certificate) = &self.certificate else {
            guest.lane = Some(wire.lane());
            return Box::pin(self.converse(wire, guest, phase)).await;
        };
        if let Some(stream) = Box::pin(self.shake_hands(certificate.current(), wire, &guest)).await
        {
            let shown = stream.get_ref().1.peer_certificates();
            guest.user = shown.and_then(<[_]>::first).and_then(login::name_of);
            Box::pin(self.converse(stream, guest, phase)).await;
        }
    }

    pub(super) async fn shake_hands(
        &self,
        config: Arc<ServerConfig>,
        wire: Wire,
        guest: &Guest,
    ) -> Option<TlsStream<Wire>> {
        let peer = guest.peer;
        let handshake = TlsAcceptor::from(config).accept(wire);
        let patience = HANDSHAKE.min(self.limits.header_timeout);
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(patience, handshake) => shaken,
            () = guest.seat.asked_to_leave() => return None,
        };
        match shaken {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%peer, "no TLS handshake: {error}"),
            Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
        }
        None
    }

    /// HTTP, in the version that the client speaks.
    pub(super) async fn converse<S>(
        self: &Arc<Self>,
        stream: S,
        guest: Guest,
        mut phase: watch::Receiver<Phase>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (peer, seat) = (guest.peer, guest.seat);
        let address = peer.ip().to_canonical();
        let client: Arc<str> = address.to_string().into();
        let service = service_fn(|request: Request<Incoming>| {
            let asker = Asker {
                client: client.clone(),
                address,
                user: guest.user.clone(),
                busy: seat.activity().begin(),
                // HTTP/2 cuts bodies into frames, which hold bytes.
                lane: guest
                    .lane
                    .clone()
                    .filter(|_| request.version() < Version::HTTP_2),
            };
            let (all, meant) = (self.clone(), guest.meant.clone());
            // hyper would keep room for it even while there is no request.
            Box::pin(async move {
                let (mut request, _) = request.into_parts();
                if let Some(uri) = meant.and_then(|upstream| meaning(&request.uri, &upstream)) {
                    request.uri = uri;
                }
                Ok::<_, Infallible>(all.exchanges.answer(&request, asker).await)
            })
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let is_to_end = async {
            tokio::select! {
                () = reached(&mut phase, Phase::Draining) => {}
                () = self.idle(&seat) => {}
            }
        };
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = is_to_end => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => Some(ended),
                    () = self.farewell(&seat) => None,
                }
            }
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(%peer, "a connection broke: {error}");
        }
    }

    /// Ends when the connection has had nothing to do for too long, or its client has taken nothing
    /// of what is there for it, or others need its place.
    async fn idle(&self, seat: &Seat) {
        loop {
            let left = self.allowance(seat);
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = seat.asked_to_leave() => return,
            }
        }
    }

    /// Ends when a connection that was told to finish has had the time for it. A request that is
    /// under way is answered to its end, as long as its client takes the answer.
    async fn farewell(&self, seat: &Seat) {
        loop {
            tokio::time::sleep(FAREWELL.min(self.limits.idle_timeout)).await;
            if seat.activity().idle().is_some() || self.allowance(seat).is_zero() {
                return;
            }
        }
    }

    fn allowance(&self, seat: &Seat) -> Duration {
        let limits = &self.limits;
        let activity = seat.activity();
        activity.allowance(limits.header_timeout, limits.idle_timeout)
    }
}

/// Ends when the front is as far as `goal`, or gone.
pub(super) async fn reached(phase: &mut watch::Receiver<Phase>, goal: Phase) {
    let _ = phase.wait_for(|phase| *phase >= goal).await;
}
