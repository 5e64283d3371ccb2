//! One exchange on the wire: a request, its answer's header in time, a metered body.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::header::{ACCEPT_ENCODING, USER_AGENT};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use url::Url;

use super::Body;
use super::Config;
use super::Error;
use super::cause;
use super::fault::Again;
use super::fault::Fault;
use super::guard::Guard;
use super::resolver::Lookup;
use super::retry::Policy;
use super::sending::Sending;
use super::sending::Taken;
use super::sent::Sent;
use super::transport;
use super::transport::HttpClient;
use super::window::Windows;
use crate::ledger::Action;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;

/// All that the exchanges with one endpoint share. Clones share it too.
#[derive(Clone)]
pub(super) struct Wire {
    client: HttpClient,
    header: Duration,
    idle: Duration,
    ledger: Ledger,
    leg: Leg,
    registry: Arc<str>,
    /// How often to try.
    pub(super) policy: Arc<Policy>,
    /// What may be sent now.
    pub(super) windows: Arc<Windows>,
}

/// What a client is given besides its configuration.
#[derive(Clone)]
pub(super) struct Outside {
    /// Where receipts go.
    pub(super) ledger: Ledger,
    /// How names are resolved.
    pub(super) lookup: Lookup,
    /// Where attempts that are made again are counted.
    pub(super) retried: Arc<AtomicU64>,
}

/// What an exchange is about, for its receipt.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// Its cause.
    pub(super) flow: FlowId,
    /// What it does.
    pub(super) action: Action,
    /// The repository's name, or nothing.
    pub(super) repository: Arc<str>,
    /// A tag, a digest, or nothing.
    pub(super) reference: Arc<str>,
}

/// A request, ready to go. It holds secrets, so there is no `Debug`.
#[derive(Clone)]
pub(super) struct Outgoing {
    /// The HTTP method.
    pub(super) method: Method,
    /// Where to; without user name and password.
    pub(super) url: Url,
    /// Besides those that every request has.
    pub(super) headers: HeaderMap,
    /// Usually empty.
    pub(super) body: Bytes,
}

/// Host and port of a URL, as people write them.
pub(super) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

impl Wire {
    /// To the endpoint of `config` at `base`. No connection is made yet.
    pub(super) fn new(config: &Config, base: &Url, outside: &Outside) -> Result<Self, Error> {
        let guard = Arc::new(Guard::new(config, base));
        Ok(Self {
            client: transport::client(config, guard, outside)?,
            header: config.timeouts.header,
            idle: config.timeouts.idle_body,
            ledger: outside.ledger.clone(),
            leg: config.leg,
            registry: config.name.as_str().into(),
            policy: Arc::new(Policy::new(config.retries.clone(), outside.retried.clone())),
            windows: Arc::new(Windows::new(&host_of(base), config.retries.base)),
        })
    }

    /// The same connections, with other windows.
    pub(super) fn with(&self, windows: Arc<Windows>) -> Self {
        Self {
            windows,
            ..self.clone()
        }
    }

    /// One exchange. It leaves one receipt: at the body's end, or here when no answer came.
    pub(super) async fn exchange(
        &self,
        outgoing: &Outgoing,
        subject: &Subject,
    ) -> Result<Response<Body>, Fault> {
        let method = outgoing.method.clone();
        let mut draft = Draft::begin(&self.ledger, self.leg, subject.flow, method);
        let host = host_of(&outgoing.url);
        draft.receipt.registry = self.registry.clone();
        draft.receipt.host = host.as_str().into();
        draft.receipt.repository = subject.repository.clone();
        draft.receipt.reference = subject.reference.clone();
        draft.receipt.action = subject.action;
        let taken = Taken::default();
        let answer = self.header(outgoing, &taken, &host).await;
        draft.receipt.request_bytes = taken.bytes();
        match answer {
            Ok(response) => {
                let (parts, incoming) = response.into_parts();
                draft.receipt.status = parts.status.as_u16();
                draft.receipt.protocol = parts.version.into();
                draft.receipt.note_caches(&parts.headers);
                let body = Body::new(incoming, draft, self.idle);
                let mut response = Response::from_parts(parts, body);
                if response.status().is_client_error() || response.status().is_server_error() {
                    let sent = Sent::with(outgoing, subject.action);
                    response.extensions_mut().insert(sent);
                }
                Ok(response)
            }
            Err(fault) => {
                draft.seal(End::Failed);
                Err(fault)
            }
        }
    }

    /// The answer's header. The time for it runs once there is a connection.
    async fn header(
        &self,
        outgoing: &Outgoing,
        taken: &Taken,
        host: &str,
    ) -> Result<Response<Incoming>, Fault> {
        let mut request = request(outgoing, taken)?;
        let mut connection = capture_connection(&mut request);
        let mut response = std::pin::pin!(self.client.request(request));
        let early = tokio::select! {
            biased;
            response = &mut response => Some(response),
            _ = connection.wait_for_connection_metadata() => None,
        };
        let answer = match early {
            Some(answer) => answer,
            None => tokio::time::timeout(self.header, response)
                .await
                .map_err(|_| Fault {
                    error: Error::TimedOut(format!(
                        "no answer from {host} within {:?}",
                        self.header
                    )),
                    again: Again::Once,
                })?,
        };
        answer.map_err(|error| cause::of_request(host, &error))
    }
}

fn request(outgoing: &Outgoing, taken: &Taken) -> Result<Request<Sending>, Fault> {
    const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder()
        .method(outgoing.method.clone())
        .uri(outgoing.url.as_str())
        .body(Sending::new(outgoing.body.clone(), taken.clone()))
        .map_err(|error| Fault::wrong(format!("no request can be made of its URL: {error}")))?;
    let headers = request.headers_mut();
    headers.clone_from(&outgoing.headers);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    Ok(request)
}
