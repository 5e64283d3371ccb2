use std::net::SocketAddr;
use std::path::Path;

use anyhow::anyhow;
use anyhow::bail;
use bytes::Bytes;
use http::Request;
use http::StatusCode;
use http::header;
use serde_json::Value;
use tokio::net::TcpStream;
use url::form_urlencoded;

use super::probe;
use crate::config::Config;
use crate::oci::Name;

/// A proxy that runs, by its admin listener.
pub(super) struct Running {
    /// The first connection, until it is used.
    stream: Option<TcpStream>,
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
            stream: Some(stream),
            address,
            token: given.or_else(|| readable(tokens?)),
        })
    }

    /// What is at `/api/v1/targets`.
    pub(super) async fn targets(mut self) -> anyhow::Result<Value> {
        let body = self.ask(Request::get("/api/v1/targets")).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// How many entries were forgotten.
    pub(super) async fn forget(mut self, target: &str, of: Option<&Name>) -> anyhow::Result<u64> {
        let name = escaped(target);
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

    /// Has the proxy run a set: when that run began, it or one that was under way already.
    pub(super) async fn prefetch(&mut self, set: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/prefetch/{}", escaped(set));
        let (status, body) = self.answer(Request::post(path)).await?;
        match status {
            StatusCode::ACCEPTED | StatusCode::CONFLICT => {
                let answer: Value = serde_json::from_slice(&body)?;
                Ok(answer["begun"].as_str().unwrap_or_default().to_owned())
            }
            StatusCode::NOT_FOUND => bail!(
                "the proxy that runs has no set '{set}': it was started with another \
                 configuration; let it read this one (SIGHUP), or restart it"
            ),
            status => Err(self.refusal(status, &body)),
        }
    }

    /// How a set does in the proxy.
    pub(super) async fn set(&mut self, set: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/prefetch/{}", escaped(set));
        let body = self.ask(Request::get(path)).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn ask(&mut self, request: http::request::Builder) -> anyhow::Result<Bytes> {
        let (status, body) = self.answer(request).await?;
        match status.is_success() {
            true => Ok(body),
            false => Err(self.refusal(status, &body)),
        }
    }

    async fn answer(
        &mut self,
        mut request: http::request::Builder,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let address = self.address;
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let again = probe::connect(address).await;
                let gone = || anyhow!("http://{address} answers no more: has the proxy ended?");
                again.ok_or_else(gone)?.0
            }
        };
        let answered = probe::ask(stream, address, request).await?;
        match answered.0 {
            StatusCode::UNAUTHORIZED => bail!(
                "http://{address} lets nobody in without a login: put a token of \
                 server.admin_login into {TOKEN}"
            ),
            _ => Ok(answered),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> anyhow::Error {
        let (address, text) = (self.address, String::from_utf8_lossy(body));
        anyhow!("http://{address} answered {status}: {}", text.trim())
    }
}

/// What stands in a path must be nothing but a name.
fn escaped(name: &str) -> String {
    let escaped: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    escaped.replace('+', "%20")
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
