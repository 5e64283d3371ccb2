//! A way through the tap for everybody, whatever their rules of proxies are.
//!
//! Tools in Go use no proxy for this machine's own addresses, and tidegate uses none at all. So each
//! registry has a port of ours instead: what connects there is passed on through the tap by a
//! `CONNECT` to the registry. TLS is between the tool and the tap, as it is behind a proxy, and all
//! contestants come by the same way.

use std::net::SocketAddr;

use anyhow::Context;
use anyhow::ensure;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A port that leads to a registry, through a tap. It is closed when this is dropped.
pub(super) struct Relay {
    /// Host and port.
    pub(super) host: String,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// Leads to `registry`, a host and its port, through the tap that will listen at `tap`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn start(tap: SocketAddr, registry: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("no free port")?;
        let host = listener.local_addr()?.to_string();
        let accepting = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let registry = registry.clone();
                // A connection that fails is one that the tool sees fail.
                tokio::spawn(async move { pass(from, tap, &registry).await });
            }
        });
        Ok(Self { host, accepting })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut from: TcpStream, tap: SocketAddr, registry: &str) -> anyhow::Result<()> {
    let mut to = TcpStream::connect(tap).await?;
    from.set_nodelay(true)?;
    to.set_nodelay(true)?;
    let ask = format!("CONNECT {registry} HTTP/1.1\r\nHost: {registry}\r\n\r\n");
    to.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(to.read_u8().await?);
        ensure!(answer.len() < 4096, "the tap's answer has no end");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "the tap refused");
    tokio::io::copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}
