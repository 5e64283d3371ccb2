//! One request, from a tool to its origin and back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::Uri;
use http::header::{CONTENT_TYPE, EXPECT, HOST, PROXY_AUTHORIZATION, UPGRADE};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio::sync::Mutex;
use tokio::sync::Notify;
use url::Url;

use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::Leg;

use super::Shared;
use super::body::Gate;
use super::body::RequestBody;
use super::body::ResponseBody;
use super::describe::Subject;
use super::entry::Entry;
use super::origin;
use super::origin::Sender;
use super::origin::Version;
use super::target::Scheme;
use super::target::Target;
use super::tasks::Tasks;

/// The exchanges of one of a tool's connections.
pub(super) struct Exchanges {
    shared: Arc<Shared>,
    way: Way,
    next: std::sync::Mutex<Option<Upgrade>>,
}

/// To whom requests go.
enum Way {
    /// To one origin, by one connection.
    One {
        target: Target,
        scheme: Scheme,
        sender: Mutex<Sender>,
    },
    /// In clear text, to whom each request names: the tool would have a connection for each.
    Named {
        senders: Mutex<HashMap<Target, Sender>>,
        tasks: Tasks,
    },
}

/// What comes after an answer that ended HTTP on its connection.
pub(super) struct Upgrade {
    /// The tool's connection.
    pub(super) tool: OnUpgrade,
    /// The origin's.
    pub(super) origin: OnUpgrade,
    /// Counts what goes on.
    pub(super) entry: Arc<Entry>,
}

/// Why a tool is given no answer. Its connection, or its stream, ends as the origin's did.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The origin's did.
    #[error(transparent)]
    Origin(#[from] hyper::Error),
    /// The request was not sent, and may be sent again.
    #[error("the origin takes no more requests by this connection")]
    Refused(#[source] h2::Error),
}

type Answer = Result<Response<ResponseBody>, Broken>;

/// A request's way.
struct Errand {
    url: Url,
    subject: Subject,
    entry: Arc<Entry>,
    gate: Option<Arc<Gate>>,
    upgrade: Option<OnUpgrade>,
}

impl Exchanges {
    /// All with the one at the other end of `sender`.
    pub(super) fn with_one(
        shared: Arc<Shared>,
        (target, scheme): (Target, Scheme),
        sender: Sender,
    ) -> Self {
        let sender = Mutex::new(sender);
        Self::new(
            shared,
            Way::One {
                target,
                scheme,
                sender,
            },
        )
    }

    /// Each with whom it names.
    pub(super) fn with_named(shared: Arc<Shared>, tasks: Tasks) -> Self {
        let senders = Mutex::default();
        Self::new(shared, Way::Named { senders, tasks })
    }

    fn new(shared: Arc<Shared>, way: Way) -> Self {
        Self {
            shared,
            way,
            next: std::sync::Mutex::default(),
        }
    }

    /// What follows the last answer, once.
    pub(super) fn upgrade(&self) -> Option<Upgrade> {
        self.next().take()
    }

    /// Whether something other than HTTP follows.
    pub(super) fn has_upgrade(&self) -> bool {
        self.next().is_some()
    }

    fn next(&self) -> MutexGuard<'_, Option<Upgrade>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on a request, and its answer.
    pub(super) async fn pass(&self, request: Request<Incoming>) -> Answer {
        match &self.way {
            Way::One {
                target,
                scheme,
                sender,
            } => {
                let (errand, request) = self.begin(request, target, *scheme);
                // Over HTTP/2 the others go on meanwhile.
                let again = sender.lock().await.again();
                let sent = match again {
                    Some(mut sender) => send(&mut sender, request).await,
                    None => send(&mut *sender.lock().await, request).await,
                };
                match sent {
                    Ok(response) => Ok(self.answer(errand, response)),
                    Err(unanswered) => {
                        errand.entry.ended(End::Failed);
                        Err(unanswered.into())
                    }
                }
            }
            Way::Named { senders, tasks } => {
                let Some(target) = Target::of_absolute(request.uri()) else {
                    return Ok(no_proxy_request(request.uri()));
                };
                let (errand, request) = self.begin(request, &target, Scheme::Http);
                let mut senders = senders.lock().await;
                let kept = senders.remove(&target);
                match self.send_named(&target, kept, request, tasks).await {
                    Ok((sender, response)) => {
                        senders.insert(target, sender);
                        Ok(self.answer(errand, response))
                    }
                    Err(failure) => {
                        errand.entry.ended(End::Failed);
                        failure.into_answer(&target)
                    }
                }
            }
        }
    }

    /// By the connection that is there, else by a new one.
    async fn send_named(
        &self,
        target: &Target,
        kept: Option<Sender>,
        mut request: Request<RequestBody>,
        tasks: &Tasks,
    ) -> Result<(Sender, Response<Incoming>), Failure> {
        if let Some(mut sender) = kept.filter(|sender| !sender.is_closed()) {
            match send(&mut sender, request).await {
                Ok(response) => return Ok((sender, response)),
                Err(Unsent::Back(back)) => request = *back,
                Err(Unsent::Gone(error)) => return Err(Failure::Broken(error.into())),
            }
        }
        let stream = origin::dial(&self.shared, target).await;
        let stream = stream.map_err(Failure::Unreachable)?;
        let closed = Arc::new(Notify::new());
        let sender = Sender::new(Box::new(stream), Version::Http1, tasks, closed).await;
        let mut sender = sender.map_err(|error| Failure::Broken(error.into()))?;
        let sent = send(&mut sender, request).await;
        let response = sent.map_err(|unsent| Failure::Broken(unsent.into()))?;
        Ok((sender, response))
    }

    fn begin(
        &self,
        mut request: Request<Incoming>,
        target: &Target,
        scheme: Scheme,
    ) -> (Errand, Request<RequestBody>) {
        let host = target.shown(scheme);
        let url = url(request.uri(), scheme, &host);
        let subject = self.shared.memory.describe(request.method(), &url);
        let method = request.method().clone();
        let draft = Draft::begin(&self.shared.ledger, Leg::Tap, subject.flow, method);
        let entry = Arc::new(Entry::new(draft, &subject, &host));
        entry.note(|receipt| receipt.protocol = request.version().into());
        let wants_upgrade = request.headers().contains_key(UPGRADE);
        let upgrade = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
        if matches!(self.way, Way::Named { .. }) {
            as_origin_form(&mut request);
        }
        let gate = gate(&mut request);
        let errand = Errand {
            url,
            subject,
            entry: entry.clone(),
            gate: gate.clone(),
            upgrade,
        };
        (
            errand,
            request.map(|body| RequestBody::new(body, entry, gate)),
        )
    }

    fn answer(&self, errand: Errand, mut response: Response<Incoming>) -> Response<ResponseBody> {
        let status = response.status();
        errand.entry.note(|receipt| {
            receipt.status = status.as_u16();
            receipt.note_caches(response.headers());
            if let Some(mount) = &mut receipt.mount {
                mount.accepted = status == StatusCode::CREATED;
            }
        });
        let said = (status, response.headers());
        self.shared.memory.learn(&errand.url, &errand.subject, said);
        if status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(tool) = errand.upgrade
        {
            let upgrade = Upgrade {
                tool,
                origin: hyper::upgrade::on(&mut response),
                entry: errand.entry,
            };
            *self.next() = Some(upgrade);
            return response.map(|_| ResponseBody::empty());
        }
        let is_http1 = response.version() < http::Version::HTTP_2;
        let pretends = is_http1 && status == StatusCode::NOT_MODIFIED;
        response.map(|body| {
            let body = ResponseBody::new(body, errand.entry, errand.gate);
            if pretends { body.pretending() } else { body }
        })
    }
}

/// Why a request by a connection of its own got no answer.
enum Failure {
    Unreachable(std::io::Error),
    Broken(Broken),
}

impl Failure {
    fn into_answer(self, target: &Target) -> Answer {
        match self {
            Self::Broken(broken) => Err(broken),
            Self::Unreachable(error) => Ok(unreachable(target, &error)),
        }
    }
}

/// Why a request got no answer by a connection.
enum Unsent {
    /// It can be sent by another one.
    Back(Box<Request<RequestBody>>),
    Gone(hyper::Error),
}

async fn send(
    sender: &mut Sender,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, Unsent> {
    if !sender.is_ready().await {
        return Err(Unsent::Back(Box::new(request)));
    }
    let sent = sender.send(request).await;
    sent.map_err(|unanswered| match unanswered.unsent {
        Some(request) => Unsent::Back(Box::new(request)),
        None => Unsent::Gone(unanswered.error),
    })
}

impl From<Unsent> for Broken {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Back(_) => Self::Refused(h2::Reason::REFUSED_STREAM.into()),
            Unsent::Gone(error) => Self::Origin(error),
        }
    }
}

/// What a tool is told whose origin can't be reached: by itself it would have had no answer.
pub(super) fn unreachable(target: &Target, error: &std::io::Error) -> Response<ResponseBody> {
    tracing::warn!("{target} can't be reached: {error}");
    let text = format!("tidegate tap: {target} can't be reached: {error}\n");
    own(StatusCode::BAD_GATEWAY, text)
}

fn no_proxy_request(uri: &Uri) -> Response<ResponseBody> {
    let text = format!(
        "tidegate tap: this is a proxy, to be set as HTTP_PROXY and HTTPS_PROXY; '{uri}' names \
         nobody to pass it on to\n"
    );
    own(StatusCode::BAD_REQUEST, text)
}

/// An answer of ours.
pub(super) fn own(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Own(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The whole address of a request.
fn url(uri: &Uri, scheme: Scheme, host: &str) -> Url {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let url = Url::parse(&format!("{}://{host}{path}", scheme.as_str()));
    // What is no URL is about nothing.
    url.unwrap_or_else(|_| Url::parse("http://invalid/").expect("a URL"))
}

/// As an origin wants it (RFC 9112, 3.2.1), without what is for a proxy.
fn as_origin_form(request: &mut Request<Incoming>) {
    let authority = request.uri().authority().map(ToString::to_string);
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    let headers = request.headers_mut();
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove("proxy-connection");
    if !headers.contains_key(HOST)
        && let Some(Ok(host)) = authority.map(HeaderValue::try_from)
    {
        headers.insert(HOST, host);
    }
}

/// A gate for a body that waits for `100 (Continue)`: it opens when the origin says so.
fn gate(request: &mut Request<Incoming>) -> Option<Arc<Gate>> {
    let expected = request.headers().get(EXPECT)?;
    let waits = expected.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !waits || request.version() != http::Version::HTTP_11 {
        return None;
    }
    let gate = Arc::new(Gate::default());
    let opened = gate.clone();
    hyper::ext::on_informational(request, move |said| {
        if said.status() == StatusCode::CONTINUE {
            opened.open();
        }
    });
    Some(gate)
}
