use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use anyhow::bail;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the admin listener of a running instance whether it is alive.
pub(super) async fn healthz(admin: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(admin);
    let status = tokio::time::timeout(TIMEOUT, status(address))
        .await
        .with_context(|| format!("no answer from http://{address}/healthz in {TIMEOUT:?}"))?
        .with_context(|| format!("http://{address}/healthz: is tidegate running?"))?;
    if !status.is_success() {
        bail!("http://{address}/healthz answered {status}");
    }
    Ok(())
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

async fn status(address: SocketAddr) -> anyhow::Result<StatusCode> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get("/healthz")
        .header(http::header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let status = sender.send_request(request).await?.status();
    connection.abort();
    Ok(status)
}
