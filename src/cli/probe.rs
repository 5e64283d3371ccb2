use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use http_body_util::Limited;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);

/// The most that is read of an answer, in bytes.
const LONGEST: usize = 64 << 20;

/// Asks the admin listener of a running instance whether it is alive.
pub(super) async fn healthz(admin: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(admin);
    let stream = tokio::time::timeout(TIMEOUT, TcpStream::connect(address))
        .await
        .with_context(|| format!("no answer from http://{address}/healthz in {TIMEOUT:?}"))?
        .with_context(|| format!("http://{address}/healthz: is tidegate running?"))?;
    let request = http::Request::get("/healthz");
    let (status, _) = ask(stream, address, request).await?;
    if !status.is_success() {
        bail!("http://{address}/healthz answered {status}");
    }
    Ok(())
}

/// Connects to the admin listener of a running instance; `None` where nobody listens.
pub(super) async fn connect(admin: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
    let address = reachable(admin);
    let stream = tokio::time::timeout(TIMEOUT, TcpStream::connect(address));
    Some((stream.await.ok()?.ok()?, address))
}

/// Sends one request, and reads the answer.
pub(super) async fn ask(
    stream: TcpStream,
    address: SocketAddr,
    request: http::request::Builder,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let answer = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = request
            .header(http::header::HOST, address.to_string())
            .body(Empty::<Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await;
        connection.abort();
        let body = body.map_err(anyhow::Error::from_boxed)?;
        anyhow::Ok((head.status, body.to_bytes()))
    };
    tokio::time::timeout(TIMEOUT, answer)
        .await
        .with_context(|| format!("no answer from http://{address} in {TIMEOUT:?}"))?
        .with_context(|| format!("http://{address}: is it tidegate that listens there?"))
}

/// Where an address is reached that may be the one of all interfaces.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}
