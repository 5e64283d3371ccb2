//! One exchange on the wire: a request, its answer's header in time, a metered body.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, USER_AGENT};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::capture_connection;
use url::Url;

use super::Body;
use super::Config;
use super::Error;
use super::Priority;
use super::access::Access;
use super::allowance::Allowance;
use super::bandwidth::Toll;
use super::cause;
use super::fault::Again;
use super::fault::Fault;
use super::guard::Guard;
use super::resolver::Lookup;
use super::retry::Policy;
use super::sending::Cargo;
use super::sending::Late;
use super::sending::Progress;
use super::sending::Sending;
use super::sent::Sent;
use super::switch::Switch;
use super::transport::Clients;
use super::window::Windows;
use crate::ledger::Action;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::ledger::Ledger;
use crate::ledger::Leg;
use crate::ledger::Mount;
use crate::ledger::Unspent;

/// All that the exchanges with one endpoint share. Clones share it too.
#[derive(Clone)]
pub(super) struct Wire {
    clients: Clients,
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
    /// What the configuration allows.
    pub(super) allowance: Arc<Allowance>,
    /// The windows of the client that this one is in the place of, where they are the same places,
    /// with the same credentials.
    pub(super) known: Vec<Arc<Windows>>,
}

impl Outside {
    /// Those that are known, else new ones.
    fn windows(&self, config: &Config, base: &Url) -> Arc<Windows> {
        let host = host_of(base);
        let mut known = self.known.iter();
        if let Some(known) = known.find(|it| it.is_at(&host)) {
            known.set(config);
            return known.clone();
        }
        let allowance = self.allowance.clone();
        Arc::new(Windows::new(&host, config, &self.ledger, allowance))
    }
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
    /// What is to be allowed there.
    pub(super) access: Access,
    /// Whether somebody waits for it.
    pub(super) pace: Priority,
    /// Whether it can be done without: it leaves now or not at all, over a connection that it shares
    /// with no other request in flight.
    pub(super) is_extra: bool,
}

impl Subject {
    /// What makes a sign-in another one.
    pub(super) fn matter(&self) -> (Arc<str>, Access) {
        (self.repository.clone(), self.access.clone())
    }
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
    /// The body; usually empty.
    pub(super) cargo: Cargo,
    /// Whether it is not for the registry's own host, but for one that the registry has named.
    pub(super) is_elsewhere: bool,
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
            clients: Clients::new(config, guard, outside)?,
            header: config.timeouts.header,
            idle: config.timeouts.idle_body,
            ledger: outside.ledger.clone(),
            leg: config.leg,
            registry: config.name.as_str().into(),
            policy: Arc::new(Policy::new(config.retries.clone(), outside.retried.clone())),
            windows: outside.windows(config, base),
        })
    }

    /// The same connections, with other windows.
    pub(super) fn with(&self, windows: Arc<Windows>) -> Self {
        Self {
            windows,
            ..self.clone()
        }
    }

    /// One exchange. It leaves one receipt: at the body's end, or here when no answer came. An answer
    /// that comes before the request's body is through ends that body, and then the connection.
    pub(super) async fn exchange(
        &self,
        outgoing: &Outgoing,
        subject: &Subject,
    ) -> Result<Response<Body>, Fault> {
        let host = host_of(&outgoing.url);
        let mut draft = self.draft(outgoing, subject);
        draft.receipt.host = host.as_str().into();
        let mut going = Going::new(draft, outgoing.cargo.size());
        let answer = self
            .header(outgoing, (&going.progress, subject), &host)
            .await;
        let Some(Gone {
            mut draft,
            mut sent,
            is_whole,
        }) = going.end()
        else {
            return Err(Fault::wrong("an exchange that has ended twice"));
        };
        match answer {
            Ok((response, switch)) => {
                let (parts, incoming) = response.into_parts();
                draft.receipt.status = parts.status.as_u16();
                draft.receipt.protocol = parts.version.into();
                draft.receipt.note_caches(&parts.headers);
                if let Some(mount) = &mut draft.receipt.mount {
                    mount.accepted = parts.status == StatusCode::CREATED;
                }
                let toll = self.windows.toll(subject.pace);
                let mut body = Body::new(incoming, draft, self.idle, toll);
                body.comes_by(switch.clone());
                let is_http1 = parts.version < http::Version::HTTP_2;
                let rest = (!is_whole).then(|| Rest {
                    progress: going.progress.clone(),
                    switch: switch.filter(|_| is_http1),
                });
                body.follows(sent, rest);
                let mut response = Response::from_parts(parts, body);
                if response.status().is_client_error() || response.status().is_server_error() {
                    let sent = Sent::with(outgoing, subject.action);
                    response.extensions_mut().insert(sent);
                }
                Ok(response)
            }
            Err(fault) => {
                let is_ours = matches!(fault.error, Error::Content(_));
                if let Some(sent) = &mut sent {
                    sent.spend_all(Fate::Discarded(fault.error.waste()));
                }
                draft.seal(if is_ours { End::Reset } else { End::Failed });
                Err(fault)
            }
        }
    }

    fn draft(&self, outgoing: &Outgoing, subject: &Subject) -> Draft {
        let method = outgoing.method.clone();
        let mut draft = Draft::begin(&self.ledger, self.leg, subject.flow, method);
        draft.receipt.registry = self.registry.clone();
        draft.receipt.repository = subject.repository.clone();
        draft.receipt.reference = subject.reference.clone();
        draft.receipt.action = subject.action;
        if let (Action::BlobMount, Access::Mount(from)) = (subject.action, &subject.access) {
            draft.receipt.mount = Some(Mount {
                from: from.clone(),
                accepted: false,
            });
        }
        draft
    }

    /// The answer's header, and the switch of the connection that it came by. The time for it runs
    /// once there is a connection, and the request's body is through.
    async fn header(
        &self,
        outgoing: &Outgoing,
        (progress, subject): (&Progress, &Subject),
        host: &str,
    ) -> Result<(Response<Incoming>, Option<Switch>), Fault> {
        let toll = self.windows.toll(subject.pace);
        let mut request = request(outgoing, (progress, toll))?;
        let mut connection = capture_connection(&mut request);
        let client = self.clients.of(request.uri(), subject.is_extra);
        let mut response = std::pin::pin!(client.request(request));
        let early = tokio::select! {
            biased;
            response = &mut response => Some(response),
            _ = connection.wait_for_connection_metadata() => None,
        };
        let answer = match early {
            Some(answer) => answer,
            None => {
                progress.connected();
                tokio::select! {
                    biased;
                    answer = &mut response => answer,
                    late = self.lateness(progress) => return Err(self.too_late(late, host)),
                }
            }
        };
        let switch = connection
            .connection_metadata()
            .as_ref()
            .and_then(Switch::of);
        let answer = answer.map_err(|error| match progress.failure() {
            Some(why) => Fault::lasting(Error::Content(why)),
            None => cause::of_request(host, &error),
        });
        Ok((answer?, switch))
    }

    /// Ends when whoever takes the request is too late.
    async fn lateness(&self, progress: &Progress) -> Late {
        loop {
            match progress.look(self.idle, self.header) {
                Ok(due) => tokio::time::sleep_until(due.into()).await,
                Err(late) => return late,
            }
        }
    }

    fn too_late(&self, late: Late, host: &str) -> Fault {
        let text = match late {
            Late::Answering => format!("no answer from {host} within {:?}", self.header),
            Late::Taking => format!("{host} took nothing for {:?}", self.idle),
        };
        Fault {
            error: Error::TimedOut(text),
            again: Again::Once,
        }
    }
}

/// An exchange whose answer is not there yet. Dropped then, it was cancelled.
struct Going {
    draft: Option<Draft>,
    progress: Progress,
}

/// An exchange whose request goes no further.
struct Gone {
    draft: Draft,
    /// What of the request's body crossed, where that is in the books.
    sent: Option<Unspent>,
    /// Whether that is all of it.
    is_whole: bool,
}

impl Going {
    fn new(mut draft: Draft, size: u64) -> Self {
        if size > 0 {
            let _ = draft.request_account();
        }
        Self {
            draft: Some(draft),
            progress: Progress::of(size),
        }
    }

    fn end(&mut self) -> Option<Gone> {
        let mut draft = self.draft.take()?;
        let (taken, is_whole) = self.progress.hold();
        draft.receipt.request_bytes = taken;
        let account = draft.request_account().filter(|_| taken > 0);
        Some(Gone {
            draft,
            sent: account.map(|account| account.unspent_of(taken)),
            is_whole,
        })
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if self.end().is_some() {
            self.progress.shut();
        }
    }
}

/// The rest of a request's body that was answered before its end: it is never sent, and its
/// connection is good for nothing more. Its drop sees to that.
#[derive(Debug)]
pub(super) struct Rest {
    progress: Progress,
    switch: Option<Switch>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.progress.shut();
        // Where the other side takes nothing, nobody asks for more of the body, and nobody would
        // hear that there is none.
        if let Some(switch) = &self.switch {
            switch.cut();
        }
    }
}

fn request(
    outgoing: &Outgoing,
    (progress, toll): (&Progress, Toll),
) -> Result<Request<Sending>, Fault> {
    const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
    let mut request = Request::builder()
        .method(outgoing.method.clone())
        .uri(outgoing.url.as_str())
        .body(outgoing.cargo.sending(progress.clone(), toll))
        .map_err(|error| Fault::wrong(format!("no request can be made of its URL: {error}")))?;
    let headers = request.headers_mut();
    headers.clone_from(&outgoing.headers);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    if !matches!(outgoing.method, Method::GET | Method::HEAD) {
        // Also of 0 bytes: some refuse a request that does not say so (RFC 9110, 8.6).
        headers.insert(CONTENT_LENGTH, outgoing.cargo.size().into());
    }
    Ok(request)
}
