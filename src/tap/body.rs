//! Bodies that pass through: counted, and as they are.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::ledger::End;

use super::entry::Entry;

/// How long a tool that expects `100 (Continue)` waits for it in vain, as most tools do themselves,
/// until its body is asked for anyway.
const EXPECTATION: Duration = Duration::from_secs(1);

/// Who sends a body is asked for it when the other side wants it (RFC 9110, 10.1.1).
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_open: AtomicBool,
    waiting: AtomicWaker,
}

impl Gate {
    pub(super) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// A tool's request body.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Incoming,
    entry: Arc<Entry>,
    gate: Option<(Arc<Gate>, Pin<Box<Sleep>>)>,
}

impl RequestBody {
    /// `gate` is there for a tool that waits to be asked.
    pub(super) fn new(body: Incoming, entry: Arc<Entry>, gate: Option<Arc<Gate>>) -> Self {
        let gate = gate.map(|gate| (gate, Box::pin(tokio::time::sleep(EXPECTATION))));
        Self { body, entry, gate }
    }

    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((gate, patience)) = &mut self.gate else {
            return Poll::Ready(());
        };
        gate.waiting.register(cx.waker());
        if !gate.is_open.load(Ordering::Acquire) {
            ready!(patience.as_mut().poll(cx));
        }
        self.gate = None;
        Poll::Ready(())
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        ready!(self.poll_gate(cx));
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.entry.sent(frame.data_ref().map_or(0, Bytes::len)),
            // The tool has left.
            Some(Err(_)) => self.entry.ended(End::Cancelled),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Unknown, so that hyper adds no `Content-Length`: what the tool wrote is passed on.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// An origin's answer's body, or some words of ours.
#[derive(Debug)]
pub(super) enum ResponseBody {
    /// The origin's.
    Passed(Passed),
    /// Ours, where there is no origin.
    Own(Bytes),
}

/// The body of an origin's answer.
#[derive(Debug)]
pub(super) struct Passed {
    body: Incoming,
    entry: Arc<Entry>,
    gate: Option<Arc<Gate>>,
    // Whether it looks as if there were a body.
    pretends: bool,
}

impl ResponseBody {
    /// The answer is on its way when this is read: then `gate`, if its request waits there, opens,
    /// as nobody is told to go on any more.
    pub(super) fn new(body: Incoming, entry: Arc<Entry>, gate: Option<Arc<Gate>>) -> Self {
        if body.is_end_stream() {
            entry.ended(End::Complete);
        }
        Self::Passed(Passed {
            body,
            entry,
            gate,
            pretends: false,
        })
    }

    /// hyper removes the `Content-Length` of a 304 in HTTP/1 that has no body, as each has none
    /// (RFC 9110, 15.4.5), unless it is made to believe in one.
    pub(super) fn pretending(mut self) -> Self {
        if let Self::Passed(passed) = &mut self {
            passed.pretends = true;
        }
        self
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::Own(Bytes::new())
    }
}

impl Passed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.open_gate();
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.entry.received(data.len());
                }
                // Trailers are the last that comes.
                if frame.is_trailers() || self.body.is_end_stream() {
                    self.entry.ended(End::Complete);
                }
            }
            Some(Err(_)) => self.entry.ended(End::Failed),
            None => self.entry.ended(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn open_gate(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.open();
        }
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.open_gate();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Passed(body) => body.poll_frame(cx),
            Self::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passed(passed) => !passed.pretends && passed.body.is_end_stream(),
            Self::Own(bytes) => bytes.is_empty(),
        }
    }

    /// Unknown for what is passed on, so that hyper adds no `Content-Length`.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passed(_) => SizeHint::default(),
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}
