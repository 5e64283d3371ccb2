use std::net::SocketAddr;
use std::path::Path;

use anyhow::bail;
use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http::header;
use serde_json::Value;
use tokio::net::TcpStream;
use url::form_urlencoded;

use crate::cli::probe;
use crate::config::Config;
use crate::oci::Name;

/// A proxy that runs, by its admin listener.
pub(super) struct Running {
    stream: TcpStream,
    address: SocketAddr,
    token: Option<String>,
}

/// A token of `server.admin_login`, where it has one.
const TOKEN: &str = "TIDEGATE_ADMIN_TOKEN";

impl Running {
    /// The one that has this configuration; `None` where none listens.
    pub(super) async fn find(config: &Config) -> Option<Self> {
        let admin = config.admin.listen.filter(|address| address.port() != 0)?;
        let (stream, address) = probe::connect(admin).await?;
        let given = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let tokens = config
            .admin
            .login
            .as_ref()
            .and_then(|it| it.tokens.as_deref());
        Some(Self {
            stream,
            address,
            token: given.or_else(|| readable(tokens?)),
        })
    }

    /// What is at `/api/v1/targets`.
    pub(super) async fn targets(self) -> anyhow::Result<Value> {
        let body = self.ask(Request::get("/api/v1/targets")).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// How many entries were forgotten.
    pub(super) async fn forget(self, target: &str, of: Option<&Name>) -> anyhow::Result<u64> {
        // What stands in a path must be nothing but a name.
        let name: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let mut path = format!("/api/v1/targets/{name}/forget");
        if let Some(of) = of {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("repository", of.as_str())
                .finish();
            path.push('?');
            path.push_str(&query);
        }
        let body = self.ask(Request::post(path)).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        Ok(answer["forgotten"].as_u64().unwrap_or(0))
    }

    async fn ask(self, mut request: http::request::Builder) -> anyhow::Result<Bytes> {
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let address = self.address;
        let (status, body) = probe::ask(self.stream, address, request).await?;
        match status {
            status if status.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED => bail!(
                "http://{address} lets nobody in without a login: put a token of \
                 server.admin_login into {TOKEN}"
            ),
            status => bail!(
                "http://{address} answered {status}: {}",
                String::from_utf8_lossy(&body).trim()
            ),
        }
    }
}

/// The first token of a file that is there in full: whoever can read it may log in with it.
fn readable(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(':'))
        .map(|(_, token)| token)
        .find(|token| !token.starts_with("sha256:"))
        .map(ToOwned::to_owned)
}
