//! What an intercepting listener does with a connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::oci::UpstreamName;

use super::connection::Connections;
use super::connection::Guest;
use super::connection::Phase;
use super::connection::reached;
use super::intercept;
use super::intercept::Destination;
use super::intercept::Interception;
use super::intercept::NoTunnel;
use super::seats::Seat;
use super::wire::Wire;

/// How long nothing must have moved through a tunnel for it to end when all does.
const STILL: Duration = Duration::from_secs(1);

/// What a `CONNECT` leads to.
enum Next {
    /// To us, in the place of an upstream.
    Upstream(Destination, UpstreamName),
    /// To somebody else.
    Tunnel(TcpStream),
}

type Slot = Mutex<Option<(OnUpgrade, Next)>>;

impl Connections {
    /// Serves a client that takes us for a proxy.
    pub(super) async fn intercept(
        self: &Arc<Self>,
        interception: &Interception,
        wire: Wire,
        mut guest: Guest,
        mut phase: watch::Receiver<Phase>,
    ) {
        let peer = guest.peer;
        let busy = guest.seat.activity().begin();
        let asked = tokio::select! {
            asked = self.await_connect(interception, wire, peer) => asked,
            () = reached(&mut phase, Phase::Draining) => return,
        };
        match asked {
            Ok(Some((mut wire, Next::Upstream(destination, upstream)))) => {
                wire.set_tls();
                drop(busy);
                let config = interception.certificate(&destination);
                let config = config.inspect_err(|error| tracing::error!("{destination}: {error}"));
                let Ok(config) = config else { return };
                if let Some(stream) = Box::pin(self.shake_hands(config, wire, &guest)).await {
                    guest.meant = Some(upstream);
                    Box::pin(self.converse(stream, guest, phase)).await;
                }
            }
            Ok(Some((wire, Next::Tunnel(other)))) => {
                tunnel(wire, other, &guest.seat, &mut phase).await;
                drop(busy);
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%peer, "a proxy's connection broke: {error}"),
        }
    }

    /// Answers until there is a `CONNECT`; the bytes behind it, and what they are for.
    async fn await_connect(
        &self,
        interception: &Interception,
        wire: Wire,
        peer: SocketAddr,
    ) -> io::Result<Option<(Wire, Next)>> {
        let slot = Slot::default();
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(answer(interception, request, peer, &slot).await)
        });
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits().header_timeout)
            .serve_connection(TokioIo::new(wire), service)
            .with_upgrades()
            .await
            .map_err(io::Error::other)?;
        let slot = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some((upgrade, next)) = slot else {
            return Ok(None);
        };
        let upgraded = upgrade.await.map_err(io::Error::other)?;
        let parts = upgraded
            .downcast::<TokioIo<Wire>>()
            .map_err(|_| io::Error::other("an unknown stream"))?;
        if parts.read_buf.is_empty() {
            Ok(Some((parts.io.into_inner(), next)))
        } else {
            Err(io::Error::other("the client did not wait for its answer"))
        }
    }
}

async fn answer(
    interception: &Interception,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    slot: &Slot,
) -> Response<Full<Bytes>> {
    let destination = Destination::of(request.uri());
    let destination = destination.filter(|_| request.method() == Method::CONNECT);
    let Some(destination) = destination else {
        let text = "tidegate: this is a proxy for CONNECT alone; set it as HTTPS_PROXY only\n";
        return said(StatusCode::METHOD_NOT_ALLOWED, text.to_owned());
    };
    let next = match interception.upstream(&destination) {
        Some(upstream) => Next::Upstream(destination, upstream),
        None => match interception.tunnel(peer.ip(), &destination).await {
            Ok(stream) => Next::Tunnel(stream),
            Err(error) => {
                tracing::info!(%peer, "no tunnel: {error}");
                let status = match &error {
                    NoTunnel::Unreachable(..) => StatusCode::BAD_GATEWAY,
                    _ => StatusCode::FORBIDDEN,
                };
                return said(status, format!("tidegate: {error}\n"));
            }
        },
    };
    let upgrade = hyper::upgrade::on(&mut request);
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, next));
    Response::new(Full::default())
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Copies until both sides have ended; when all is to end, until nothing moves any more.
async fn tunnel(wire: Wire, other: TcpStream, seat: &Seat, phase: &mut watch::Receiver<Phase>) {
    let moved = AtomicU64::new(0);
    let settled = async {
        reached(phase, Phase::Draining).await;
        loop {
            let before = moved.load(Ordering::Relaxed);
            tokio::time::sleep(STILL).await;
            if moved.load(Ordering::Relaxed) == before {
                return;
            }
        }
    };
    tokio::select! {
        ended = intercept::copy(wire, other, &moved) => if let Err(error) = ended {
            tracing::debug!("a tunnel broke: {error}");
        },
        () = settled => {}
        () = seat.asked_to_leave() => {}
    }
}
