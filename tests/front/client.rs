//! A client that shows what it got: one connection a request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use http::Response;
use http_body_util::BodyExt as _;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

/// An answer that came whole.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// `name: value`, sorted, without `date`.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Bytes,
}

impl Got {
    /// The value of a header; empty for none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        let found = self.headers.iter().find_map(|h| h.strip_prefix(&prefix));
        found.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The code of an OCI error.
    pub(crate) fn code(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        json["errors"][0]["code"].as_str().unwrap().to_owned()
    }

    /// The message of an OCI error.
    pub(crate) fn message(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        json["errors"][0]["message"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = response.into_parts();
        let mut headers: Vec<String> = head
            .headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        Ok(Self {
            status: head.status.as_u16(),
            headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}

pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request = request.header("Host", "mirror.test:5000");
    }
    // A client of today, which gets tags as they were pushed.
    request = request.header("Accept", tidegate::oci::media::ACCEPT_NATIVE);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).unwrap()
}

/// One exchange over HTTP/1.1.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Got {
    let response = begin(address, method, path, headers).await;
    Got::read(response).await.unwrap()
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Got {
    ask(address, "GET", path, &[]).await
}

/// One exchange over HTTP/1.1, from a loopback address of the client's own.
pub(crate) async fn ask_from(
    client: [u8; 4],
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Got {
    let stream = connect_from(client, address).await;
    let response = over_h1(stream, request("GET", path, headers)).await;
    Got::read(response).await.unwrap()
}

/// A connection from a loopback address of the client's own.
pub(crate) async fn connect_from(client: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((client, 0))).unwrap();
    socket.connect(address).await.unwrap()
}

/// The header of an answer over HTTP/1.1; its body is still to come.
pub(crate) async fn begin(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    over_h1(stream, request(method, path, headers)).await
}

pub(crate) async fn over_h1<S>(stream: S, request: Request<Empty<Bytes>>) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

pub(crate) async fn over_h2<S>(stream: S, mut request: Request<Empty<Bytes>>) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let authority = "mirror.test:5000";
    let uri = format!("http://{authority}{}", request.uri());
    *request.uri_mut() = uri.parse().unwrap();
    request.headers_mut().remove("Host");
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}
