//! Faults that a scripted server commits on demand: when, and what.

mod script;
mod when;

use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header::LOCATION;

use crate::gate::Gate;

pub use script::FaultHandle;
pub(crate) use script::Plan;
pub(crate) use script::Script;
pub use when::When;

/// What goes wrong. Several faults that strike the same request add up.
#[derive(Clone, Debug)]
pub struct Fault(pub(crate) Vec<Action>);

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Status(StatusCode),
    Code(String),
    Early(u64),
    TakeSlowly(u64),
    HoldTakingAfter(u64, Gate),
    CutTakingAfter(u64, Cut),
    LoseAnswer(Cut),
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
    Length(u64),
    OtherRange(u64),
    Relabel(StatusCode),
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

    /// As [`Fault::status`], with this OCI error code.
    ///
    /// # Panics
    /// Where `status` is no HTTP status.
    pub fn error(status: u16, code: &str) -> Self {
        let mut fault = Self::status(status);
        fault.0.push(Action::Code(code.to_owned()));
        fault
    }

    /// An answer that a fault gives ([`Fault::status`], [`Fault::error`]) comes once `bytes` bytes
    /// of the request's body have come, not at its end. What the client goes on to send is thrown
    /// away.
    pub fn early(mut self, bytes: u64) -> Self {
        self.0.push(Action::Early(bytes));
        self
    }

    /// The request's body is read at this speed. (The sockets' buffers take some more: see
    /// [`crate::TargetBuilder::narrow`].)
    pub fn take_slowly(bytes_per_second: u64) -> Self {
        Self(vec![Action::TakeSlowly(bytes_per_second.max(1))])
    }

    /// After `bytes` bytes of the request's body nothing more is read until the gate is opened.
    pub fn hold_taking_after(bytes: u64, gate: &Gate) -> Self {
        Self(vec![Action::HoldTakingAfter(bytes, gate.clone())])
    }

    /// The connection is closed once `bytes` bytes of the request's body have come; nothing is done
    /// with them.
    pub fn cut_taking_after(bytes: u64) -> Self {
        Self(vec![Action::CutTakingAfter(bytes, Cut::Close)])
    }

    /// As [`Fault::cut_taking_after`], by a TCP reset.
    pub fn reset_taking_after(bytes: u64) -> Self {
        Self(vec![Action::CutTakingAfter(bytes, Cut::Reset)])
    }

    /// What was asked is done, but the connection is closed before its answer.
    pub fn lose_answer() -> Self {
        Self(vec![Action::LoseAnswer(Cut::Close)])
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

    /// The answer carries this header, in place of its own; said several times, several of it.
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

    /// As many bytes as this come, and `Content-Length` says so: the content cut short (also to
    /// nothing), or over and over.
    pub fn length(bytes: u64) -> Self {
        Self(vec![Action::Length(bytes)])
    }

    /// Whatever was asked, a 206 with the content from `first` on, which `Content-Range` admits.
    pub fn other_range(first: u64) -> Self {
        Self(vec![Action::OtherRange(first)])
    }

    /// The right answer, under another status.
    ///
    /// # Panics
    /// Where `status` is no HTTP status.
    pub fn relabel(status: u16) -> Self {
        Self(vec![Action::Relabel(
            StatusCode::from_u16(status).expect("an HTTP status"),
        )])
    }

    /// `Docker-Content-Digest` is another one than the content's.
    pub fn wrong_digest_header() -> Self {
        Self(vec![Action::WrongDigestHeader])
    }

    /// The answer also carries this header, in place of its own; said several times, several of it.
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
