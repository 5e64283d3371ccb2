use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, LOCATION, RANGE, USER_AGENT};
use http_body_util::Full;
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

use super::Body;
use super::Error;
use super::Timeouts;
use super::retry::retry_after;
use super::transport::Transport;
use super::transport::explain;
use crate::ledger::Action;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;

/// One request, as it is to go over the wire.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) flow: FlowId,
    pub(super) action: Action,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) repository: Arc<str>,
    pub(super) reference: Arc<str>,
    pub(super) accept: Option<HeaderValue>,
    pub(super) range: Option<HeaderValue>,
    pub(super) authorization: Option<Arc<HeaderValue>>,
    /// The form of a `POST`.
    pub(super) form: Option<String>,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

/// What each request of a registry needs.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) transport: Transport,
    pub(super) timeouts: Timeouts,
    pub(super) ledger: Ledger,
    pub(super) registry: Arc<str>,
}

/// How many redirects are followed.
const HOPS: usize = 5;
/// How much of an error's body is read, in bytes.
const ERROR_BODY: usize = 64 << 10;
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION")));

impl Wire {
    /// Sends the request and follows redirects: without credentials to any other origin, and never
    /// from https to http. The permit is held until the body's end.
    ///
    /// # Errors
    /// When no answer comes, or the redirects don't end. Any status is an answer.
    pub(super) async fn send(
        &self,
        mut request: Request,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Answer, Error> {
        let mut permit = permit;
        for _ in 0..=HOPS {
            let answer = self.exchange(&request).await?;
            let Some(target) = redirect(&request, &answer)? else {
                let Exchanged {
                    status,
                    headers,
                    body,
                    draft,
                } = answer;
                let body = Body::new(body, draft, self.timeouts.idle_body, permit.take());
                return Ok(Answer {
                    status,
                    headers,
                    body,
                });
            };
            if target.origin() != request.url.origin() {
                request.authorization = None;
            }
            request.url = target;
            request.action = Action::Redirect;
        }
        Err(Error::Wrong(format!(
            "more than {HOPS} redirects, the last one to {}",
            request.url.host_str().unwrap_or_default()
        )))
    }

    async fn exchange(&self, request: &Request) -> Result<Exchanged, Error> {
        let mut draft = self.draft(request);
        let host = draft.receipt.host.clone();
        let message = match message(request) {
            Ok(message) => message,
            Err(error) => {
                draft.seal(End::Failed);
                return Err(Error::Config(format!("{}: {error}", request.url)));
            }
        };
        let limit = self.timeouts.connect + self.timeouts.header;
        let outcome = tokio::time::timeout(limit, self.transport.request(message)).await;
        let error = match outcome {
            Ok(Ok(response)) => {
                let (head, body) = response.into_parts();
                draft.receipt.status = head.status.as_u16();
                draft.receipt.protocol = head.version.into();
                let (status, headers) = (head.status, head.headers);
                return Ok(Exchanged {
                    status,
                    headers,
                    body,
                    draft,
                });
            }
            Ok(Err(error)) => explain(&host, &error),
            Err(_) => {
                let limit = self.timeouts.header;
                Error::TimedOut(format!("{host}: no answer within {limit:?}"))
            }
        };
        draft.seal(End::Failed);
        Err(error)
    }

    fn draft(&self, request: &Request) -> Draft {
        let method = request.method.clone();
        let mut draft = Draft::begin(&self.ledger, Leg::Upstream, request.flow, method);
        let receipt = &mut draft.receipt;
        receipt.registry = self.registry.clone();
        receipt.repository = request.repository.clone();
        receipt.reference = request.reference.clone();
        receipt.action = request.action;
        receipt.request_bytes = request.form.as_ref().map_or(0, String::len) as u64;
        let host = request.url.host_str().unwrap_or_default();
        receipt.host = match request.url.port() {
            Some(port) => format!("{host}:{port}").into(),
            None => host.into(),
        };
        draft
    }
}

struct Exchanged {
    status: StatusCode,
    headers: HeaderMap,
    body: hyper::body::Incoming,
    draft: Draft,
}

fn message(request: &Request) -> Result<http::Request<Full<Bytes>>, http::Error> {
    let mut message = http::Request::builder()
        .method(request.method.clone())
        .uri(request.url.as_str())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(accept) = &request.accept {
        message = message.header(ACCEPT, accept);
    }
    if let Some(range) = &request.range {
        message = message.header(RANGE, range);
    }
    if let Some(authorization) = &request.authorization {
        message = message.header(AUTHORIZATION, HeaderValue::clone(authorization));
    }
    let form = request.form.clone();
    if form.is_some() {
        message = message.header(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
    }
    message.body(Full::from(form.unwrap_or_default()))
}

/// Where a redirect of a `GET` or `HEAD` leads.
fn redirect(request: &Request, answer: &Exchanged) -> Result<Option<Url>, Error> {
    let moves = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    if !moves || request.method == Method::POST {
        return Ok(None);
    }
    let location = answer
        .headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    let target = location.and_then(|location| request.url.join(location).ok());
    let Some(target) = target.filter(|target| matches!(target.scheme(), "http" | "https")) else {
        return Err(Error::Wrong("a redirect to nowhere".into()));
    };
    if request.url.scheme() == "https" && target.scheme() == "http" {
        let host = target.host_str().unwrap_or_default();
        return Err(Error::Wrong(format!(
            "a redirect from https to plain http, at {host}"
        )));
    }
    Ok(Some(target))
}

impl Answer {
    /// The answer, if it is a success; else the error that its status and body tell.
    pub(super) async fn succeed(mut self) -> Result<Self, Error> {
        let encoding = self.headers.get(http::header::CONTENT_ENCODING);
        if self.status.is_success() {
            return match encoding.filter(|encoding| *encoding != "identity") {
                None => Ok(self),
                Some(encoding) => Err(Error::Wrong(format!(
                    "content-encoding {encoding:?}, not asked for"
                ))),
            };
        }
        let told = match self.body.collect(ERROR_BODY).await {
            Ok(Some(body)) => Told::read(&body),
            Ok(None) | Err(_) => Told::default(),
        };
        let status = self.status.as_u16();
        Err(match status {
            404 => Error::NotFound { code: told.code },
            401 | 403 => Error::Refused {
                status,
                message: told.line(self.status),
            },
            416 => Error::Unsatisfiable,
            429 => Error::Throttled {
                retry_after: retry_after(self.status, &self.headers),
            },
            _ => Error::Status {
                status,
                message: told.line(self.status),
            },
        })
    }

    /// A header, where it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What an error's body says (distribution spec, "Error Codes").
#[derive(Default)]
struct Told {
    code: String,
    message: String,
}

impl Told {
    fn read(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Errors {
            errors: Vec<One>,
        }
        #[derive(serde::Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let line = |text: &str| -> String {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            words.chars().take(200).collect()
        };
        let errors = serde_json::from_slice::<Errors>(body).ok();
        match errors.and_then(|errors| errors.errors.into_iter().next()) {
            Some(error) => Self {
                code: line(&error.code),
                message: line(&error.message),
            },
            None => Self::default(),
        }
    }

    fn line(&self, status: StatusCode) -> String {
        match (self.code.as_str(), self.message.as_str()) {
            ("", "") => status
                .canonical_reason()
                .unwrap_or("no reason given")
                .to_owned(),
            ("", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        }
    }
}
