//! Plain sockets at both ends, to see and say each byte.

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// An origin that the test speaks for.
pub(crate) struct Origin(TcpListener);

impl Origin {
    pub(crate) async fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn host(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }
}

/// Connects to the tap, and says `text`.
pub(crate) async fn say(address: &str, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Opens a `CONNECT` to `host`.
pub(crate) async fn connect(address: &str, host: &str) -> TcpStream {
    let text = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut stream = say(address, &text).await;
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    stream
}

/// Reads a header, to its empty line, and nothing behind.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await;
        let so_far = String::from_utf8_lossy(&text);
        text.push(byte.unwrap_or_else(|error| panic!("{error} after '{so_far}'")));
    }
    String::from_utf8(text).unwrap()
}

/// Reads as many bytes as text.
pub(crate) async fn text(stream: &mut TcpStream, length: usize) -> String {
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Reads to the end; `None` where it breaks.
pub(crate) async fn rest(stream: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}
