//! The faults in force at one server, and what they come to for one request.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::fault::Action;
use crate::fault::Cut;
use crate::fault::Fault;
use crate::fault::When;
use crate::gate::Gate;
use crate::limiter::Admitted;
use crate::limiter::Limiter;
use crate::limiter::Refused;
use crate::record::Recorded;
use crate::record::lock;

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

/// The faults and limits in force at one server.
#[derive(Default)]
pub(crate) struct Script {
    rules: Mutex<Vec<Rule>>,
    limits: Mutex<Vec<(When, Limiter)>>,
}

struct Rule {
    when: When,
    fault: Fault,
    seen: usize,
    state: Arc<State>,
}

impl Script {
    pub(crate) fn add(&self, when: When, fault: Fault) -> FaultHandle {
        let state = Arc::<State>::default();
        lock(&self.rules).push(Rule {
            when,
            fault,
            seen: 0,
            state: state.clone(),
        });
        FaultHandle(state)
    }

    pub(crate) fn clear(&self) {
        lock(&self.rules).clear();
    }

    pub(crate) fn limit(&self, when: When, limiter: &Limiter) {
        lock(&self.limits).push((when, limiter.clone()));
    }

    /// Lets this request in, or has `plan` refuse it.
    pub(crate) fn admit(&self, recorded: &Recorded, plan: &mut Plan) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        for (when, limiter) in lock(&self.limits).iter() {
            if !when.matches(recorded) {
                continue;
            }
            match limiter.enter() {
                Ok(place) => admitted.push(place),
                Err(Refused(retry_after)) => {
                    plan.status = Some(StatusCode::TOO_MANY_REQUESTS);
                    let seconds = retry_after.map(HeaderValue::from);
                    plan.headers
                        .extend(seconds.map(|seconds| (RETRY_AFTER, seconds)));
                    return Vec::new();
                }
            }
        }
        admitted
    }

    /// What goes wrong with this request. Uses up one strike of each fault that matches.
    pub(crate) fn strike(&self, recorded: &Recorded) -> Plan {
        let mut plan = Plan::default();
        for rule in lock(&self.rules).iter_mut() {
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
    pub(crate) code: Option<String>,
    pub(crate) early: Option<u64>,
    pub(crate) take_slowly: Option<u64>,
    pub(crate) hold_taking_after: Option<(u64, Gate)>,
    pub(crate) cut_taking_after: Option<(u64, Cut)>,
    pub(crate) lose_answer: Option<Cut>,
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
    pub(crate) length: Option<u64>,
    pub(crate) other_range: Option<u64>,
    pub(crate) relabel: Option<StatusCode>,
    pub(crate) wrong_digest_header: bool,
}

impl Plan {
    fn add(&mut self, action: &Action) {
        match action.clone() {
            Action::Status(status) => self.status = Some(status),
            Action::Code(code) => self.code = Some(code),
            Action::Early(bytes) => self.early = Some(bytes),
            Action::TakeSlowly(speed) => self.take_slowly = Some(speed),
            Action::HoldTakingAfter(bytes, gate) => self.hold_taking_after = Some((bytes, gate)),
            Action::CutTakingAfter(bytes, cut) => self.cut_taking_after = Some((bytes, cut)),
            Action::LoseAnswer(cut) => self.lose_answer = Some(cut),
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
            Action::Length(bytes) => self.length = Some(bytes),
            Action::OtherRange(first) => self.other_range = Some(first),
            Action::Relabel(status) => self.relabel = Some(status),
            Action::RedirectBase(base) => self.redirect_base = Some(base),
            Action::WrongDigestHeader => self.wrong_digest_header = true,
        }
    }
}
