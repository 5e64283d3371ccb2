//! Faults that a scripted server commits on demand: when, and what.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::LOCATION;

use crate::gate::Gate;
use crate::record::Recorded;
use crate::record::lock;

type Condition = Arc<dyn Fn(&Recorded) -> bool + Send + Sync>;

/// Which requests a fault strikes: all that match, unless `nth`, `after` or `times` say less.
#[derive(Clone)]
pub struct When {
    method: Option<Method>,
    contains: String,
    conditions: Vec<Condition>,
    skip: usize,
    times: usize,
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        Self {
            method: None,
            contains: String::new(),
            conditions: Vec::new(),
            skip: 0,
            times: usize::MAX,
        }
    }

    /// Requests of any method whose path contains `part`.
    pub fn path(part: &str) -> Self {
        Self {
            contains: part.to_owned(),
            ..Self::any()
        }
    }

    /// GETs whose path contains `part`.
    pub fn get(part: &str) -> Self {
        Self::path(part).method(Method::GET)
    }

    /// HEADs whose path contains `part`.
    pub fn head(part: &str) -> Self {
        Self::path(part).method(Method::HEAD)
    }

    /// Only this method.
    pub fn method(self, method: Method) -> Self {
        Self {
            method: Some(method),
            ..self
        }
    }

    /// Only where `condition` holds as well.
    pub fn and(mut self, condition: impl Fn(&Recorded) -> bool + Send + Sync + 'static) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    /// Only the `nth` matching request, counted from 1.
    pub fn nth(self, nth: usize) -> Self {
        self.after(nth - 1).times(1)
    }

    /// Not the first `skip` matching requests.
    pub fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// At most `times` requests; then the fault is gone.
    pub fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    fn matches(&self, recorded: &Recorded) -> bool {
        self.method
            .as_ref()
            .is_none_or(|method| *method == recorded.method)
            && recorded.path.contains(&self.contains)
            && self.conditions.iter().all(|condition| condition(recorded))
    }
}

/// What goes wrong. Several faults that strike the same request add up.
#[derive(Clone, Debug)]
pub struct Fault(Vec<Action>);

#[derive(Clone, Debug)]
enum Action {
    Status(StatusCode),
    Header(HeaderName, HeaderValue),
    WithoutHeader(HeaderName),
    CutAfter(u64, Cut),
    FlipBitAt(u64),
    WrongLength(i64),
    StallAfter(u64, Gate),
    StallHeader(Gate),
    Slow(u64),
    IgnoreRange,
    NoContentLength,
    Endless,
    RedirectBase(String),
    WrongDigestHeader,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Closed, once everything before the cut has reached the kernel.
    Close,
    /// Reset (RST): what the client has not yet read may be lost too.
    Reset,
}

impl Fault {
    /// Answers with `status` and an OCI error body instead. Add headers by [`Fault::header`], for
    /// example `Retry-After`.
    ///
    /// # Panics
    /// Where `status` is no HTTP status.
    pub fn status(status: u16) -> Self {
        Self(vec![Action::Status(
            StatusCode::from_u16(status).expect("an HTTP status"),
        )])
    }

    /// Answers with `status` and `Location: url`, and no body.
    pub fn redirect_to(url: &str, status: u16) -> Self {
        Self::status(status).header(LOCATION.as_str(), url)
    }

    /// Answers 307 to the same path and query at `base` (such as another server's `url()`), as a
    /// registry does that keeps its blobs on a CDN.
    pub fn redirect_to_host(base: &str) -> Self {
        let mut fault = Self::status(307);
        fault.0.push(Action::RedirectBase(base.to_owned()));
        fault
    }

    /// The answer carries this header, in place of its own.
    ///
    /// # Panics
    /// Where name or value can't be in a header.
    pub fn extra_header(name: &str, value: &str) -> Self {
        Self(Vec::new()).header(name, value)
    }

    /// The answer lacks this header.
    ///
    /// # Panics
    /// Where `name` can't name a header.
    pub fn without_header(name: &str) -> Self {
        Self(vec![Action::WithoutHeader(
            name.parse().expect("a header name"),
        )])
    }

    /// The connection is closed in mid-body, right after `bytes` bytes of this answer's body. The
    /// header still promises all. (Over HTTP/2 fewer bytes may arrive, where the client's window
    /// is full.)
    pub fn cut_after(bytes: u64) -> Self {
        Self(vec![Action::CutAfter(bytes, Cut::Close)])
    }

    /// As [`Fault::cut_after`], by a TCP reset: what the client has not read by then may be lost.
    pub fn reset_after(bytes: u64) -> Self {
        Self(vec![Action::CutAfter(bytes, Cut::Reset)])
    }

    /// One bit of the byte at `offset` of the content is wrong. A range that doesn't hold the byte
    /// is right.
    pub fn flip_bit_at(offset: u64) -> Self {
        Self(vec![Action::FlipBitAt(offset)])
    }

    /// `Content-Length` says `by` more bytes than come (the connection then closes), or, where `by`
    /// is negative, fewer than there are (HTTP/1.1 sends just those; HTTP/2 sends all).
    pub fn wrong_length(by: i64) -> Self {
        Self(vec![Action::WrongLength(by)])
    }

    /// After `bytes` bytes of this answer's body nothing more comes until the gate is opened.
    pub fn stall_after(bytes: u64, gate: &Gate) -> Self {
        Self(vec![Action::StallAfter(bytes, gate.clone())])
    }

    /// Not even the header comes until the gate is opened.
    pub fn stall_header(gate: &Gate) -> Self {
        Self(vec![Action::StallHeader(gate.clone())])
    }

    /// The body comes at this speed.
    pub fn slow(bytes_per_second: u64) -> Self {
        Self(vec![Action::Slow(bytes_per_second.max(1))])
    }

    /// `Range` is overlooked: 200 and everything.
    pub fn ignore_range() -> Self {
        Self(vec![Action::IgnoreRange])
    }

    /// No `Content-Length`: a chunked body over HTTP/1.1.
    pub fn no_content_length() -> Self {
        Self(vec![Action::NoContentLength])
    }

    /// The body never ends: the content over and over, without `Content-Length`.
    pub fn endless() -> Self {
        Self(vec![Action::Endless])
    }

    /// `Docker-Content-Digest` is another one than the content's.
    pub fn wrong_digest_header() -> Self {
        Self(vec![Action::WrongDigestHeader])
    }

    /// The answer also carries this header.
    ///
    /// # Panics
    /// Where name or value can't be in a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = name.parse().expect("a header name");
        self.0
            .push(Action::Header(name, value.parse().expect("a header value")));
        self
    }

    /// Both faults at once.
    pub fn and(mut self, other: Fault) -> Self {
        self.0.extend(other.0);
        self
    }
}

/// A fault in force: how often it struck, and the means to end it.
#[derive(Clone, Debug)]
pub struct FaultHandle(Arc<State>);

#[derive(Debug, Default)]
struct State {
    hits: AtomicUsize,
    lifted: AtomicBool,
}

impl FaultHandle {
    /// How many requests the fault struck.
    pub fn hits(&self) -> usize {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// Ends the fault, for requests that come from now on.
    pub fn lift(&self) {
        self.0.lifted.store(true, Ordering::SeqCst);
    }
}

/// The faults in force at one server.
#[derive(Default)]
pub(crate) struct Script(Mutex<Vec<Rule>>);

struct Rule {
    when: When,
    fault: Fault,
    seen: usize,
    state: Arc<State>,
}

impl Script {
    pub(crate) fn add(&self, when: When, fault: Fault) -> FaultHandle {
        let state = Arc::<State>::default();
        lock(&self.0).push(Rule {
            when,
            fault,
            seen: 0,
            state: state.clone(),
        });
        FaultHandle(state)
    }

    pub(crate) fn clear(&self) {
        lock(&self.0).clear();
    }

    /// What goes wrong with this request. Uses up one strike of each fault that matches.
    pub(crate) fn strike(&self, recorded: &Recorded) -> Plan {
        let mut plan = Plan::default();
        for rule in lock(&self.0).iter_mut() {
            rule.strike(recorded, &mut plan);
        }
        plan
    }
}

impl Rule {
    fn strike(&mut self, recorded: &Recorded, plan: &mut Plan) {
        if self.state.lifted.load(Ordering::SeqCst) || !self.when.matches(recorded) {
            return;
        }
        self.seen += 1;
        if self.seen <= self.when.skip || self.seen - self.when.skip > self.when.times {
            return;
        }
        self.state.hits.fetch_add(1, Ordering::SeqCst);
        for action in &self.fault.0 {
            plan.add(action);
        }
    }
}

/// Everything that goes wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) status: Option<StatusCode>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) without: Vec<HeaderName>,
    pub(crate) redirect_base: Option<String>,
    pub(crate) cut_after: Option<(u64, Cut)>,
    pub(crate) flip_bit_at: Option<u64>,
    pub(crate) wrong_length: i64,
    pub(crate) stall_after: Option<(u64, Gate)>,
    pub(crate) stall_header: Option<Gate>,
    pub(crate) slow: Option<u64>,
    pub(crate) ignore_range: bool,
    pub(crate) no_content_length: bool,
    pub(crate) endless: bool,
    pub(crate) wrong_digest_header: bool,
}

impl Plan {
    fn add(&mut self, action: &Action) {
        match action.clone() {
            Action::Status(status) => self.status = Some(status),
            Action::Header(name, value) => self.headers.push((name, value)),
            Action::WithoutHeader(name) => self.without.push(name),
            Action::CutAfter(bytes, cut) => self.cut_after = Some((bytes, cut)),
            Action::FlipBitAt(offset) => self.flip_bit_at = Some(offset),
            Action::WrongLength(by) => self.wrong_length = by,
            Action::StallAfter(bytes, gate) => self.stall_after = Some((bytes, gate)),
            Action::StallHeader(gate) => self.stall_header = Some(gate),
            Action::Slow(speed) => self.slow = Some(speed),
            Action::IgnoreRange => self.ignore_range = true,
            Action::NoContentLength => self.no_content_length = true,
            Action::Endless => self.endless = true,
            Action::RedirectBase(base) => self.redirect_base = Some(base),
            Action::WrongDigestHeader => self.wrong_digest_header = true,
        }
    }
}
