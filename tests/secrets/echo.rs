//! A server that repeats in its errors what it was sent, as some do.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// It ends when this is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        Self { address, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A registry asks for `Basic` first; then there is an error of its own for each endpoint.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default();
    let header = |line: &&str| line.to_ascii_lowercase().starts_with("authorization:");
    let authorization = head.lines().find(header);
    let (status, more) = match authorization {
        None if target.starts_with("/v2/") => (401, "WWW-Authenticate: Basic realm=\"echo\"\r\n"),
        _ if target.contains("/tags/") => (401, "WWW-Authenticate: Basic realm=\"echo\"\r\n"),
        _ if target.contains("/manifests/denied") => (403, ""),
        _ if target.contains("/manifests/limited") => (429, "Retry-After: 60\r\n"),
        _ if target.contains("/manifests/") => (503, "Retry-After: 60\r\n"),
        _ if target.contains("/plain") => (400, ""),
        _ => (403, ""),
    };
    let said = format!(
        "you sent {} for {target}",
        authorization.unwrap_or_default()
    );
    let body = if target.contains("/plain") {
        said
    } else {
        let errors = serde_json::json!({"errors": [{"code": "UNKNOWN", "message": said}]});
        errors.to_string()
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    if !head.starts_with("HEAD") {
        stream.write_all(body.as_bytes()).await?;
    }
    stream.shutdown().await
}
