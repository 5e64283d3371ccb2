//! Request bodies: counted as a connection takes them, given up when the answer is there.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body::{Body, Frame, SizeHint};

use super::Content;
use super::bandwidth::Toll;

/// As much is handed over at a time, in bytes, so that a slow target is seen to take something.
const SLICE: usize = 64 << 10;
/// As much of a body may be in buffers on the way when the last of it is taken, in bytes.
const BUFFERS: u64 = 8 << 20;
/// As slow may a target be that empties them, in bytes a second.
const SLOWEST: u64 = 64 << 10;
/// As slow may it be that checks all of a body, or moves it to where it is kept, in bytes a second.
const CHECKING: u64 = 32 << 20;

/// What requests are to bring: gone as it is taken. All clones are the same.
#[derive(Clone)]
pub(super) struct Payload(Arc<Mutex<Source>>);

struct Source {
    /// Not taken yet, of what came.
    ready: Bytes,
    /// The rest; `None` where `ready` is all.
    content: Option<Content>,
    /// How much has been taken, in bytes.
    taken: u64,
}

impl Payload {
    /// What is all there.
    fn whole(bytes: Bytes) -> Self {
        Self(Arc::new(Mutex::new(Source {
            ready: bytes,
            content: None,
            taken: 0,
        })))
    }

    /// What comes.
    pub(super) fn stream(content: Content) -> Self {
        Self(Arc::new(Mutex::new(Source {
            ready: Bytes::new(),
            content: Some(content),
            taken: 0,
        })))
    }

    /// How much of it has been taken, in bytes.
    fn taken(&self) -> u64 {
        self.source().taken
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// The next bytes, `most` of them at most and at least one.
    fn poll(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<Bytes, String>> {
        while self.ready.is_empty() {
            let next = match &mut self.content {
                Some(content) => ready!(content.chunks.poll_next_unpin(cx)),
                None => None,
            };
            match next {
                Some(Ok(bytes)) => self.ready = bytes,
                Some(Err(error)) => return Poll::Ready(Err(error.to_string())),
                None => {
                    let taken = self.taken;
                    return Poll::Ready(Err(format!("it ends after {taken} bytes")));
                }
            }
        }
        let bytes = self.ready.split_to(self.ready.len().min(most));
        self.taken += bytes.len() as u64;
        Poll::Ready(Ok(bytes))
    }
}

/// What one request brings. All clones bring the same.
#[derive(Clone)]
pub(super) enum Cargo {
    /// Bytes that are at hand, as often as they are wanted. Usually none.
    Whole(Bytes),
    /// A part of a payload, once.
    Part {
        /// Of which it is the next part.
        payload: Payload,
        /// Where it begins, in bytes.
        start: u64,
        /// How long it is, in bytes.
        size: u64,
    },
}

impl Cargo {
    /// How long it is, in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Part { size, .. } => *size,
        }
    }

    /// Whether it can be sent: nothing of it was taken, or it does not matter.
    pub(super) fn is_there(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Part { payload, start, .. } => payload.taken() == *start,
        }
    }

    /// It as a request's body, counted in `progress`.
    pub(super) fn sending(&self, progress: Progress, toll: Toll) -> Sending {
        let payload = match self {
            Self::Whole(bytes) => Payload::whole(bytes.clone()),
            Self::Part { payload, .. } => payload.clone(),
        };
        Sending {
            payload,
            left: self.size(),
            progress,
            toll,
        }
    }
}

impl fmt::Debug for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size())
    }
}

/// A request's body, which counts what of it a connection took.
pub(super) struct Sending {
    payload: Payload,
    /// What is left of this body, in bytes.
    left: u64,
    progress: Progress,
    toll: Toll,
}

/// How far a body is. All clones are of the same body.
#[derive(Clone, Debug)]
pub(super) struct Progress(Arc<Mutex<Moves>>);

#[derive(Debug)]
struct Moves {
    size: u64,
    taken: u64,
    /// When bytes were last asked for, or taken.
    at: Instant,
    /// Whether the content is awaited.
    starved: bool,
    /// Why the content gives no more.
    failed: Option<String>,
    gate: Gate,
    waker: Option<Waker>,
}

/// Whether more may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// The answer is there, and is read first.
    Held,
    /// Never again.
    Shut,
}

/// What somebody was too late with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// Taking the next bytes of a body.
    Taking,
    /// The answer.
    Answering,
}

/// Why a connection gets no more of a body: it can't be used any further.
#[derive(Debug, thiserror::Error)]
#[error("the request's body is not sent to its end")]
pub(super) struct Stopped;

impl Progress {
    /// Of a body of `size` bytes.
    pub(super) fn of(size: u64) -> Self {
        Self(Arc::new(Mutex::new(Moves {
            size,
            taken: 0,
            at: Instant::now(),
            starved: false,
            failed: None,
            gate: Gate::Open,
            waker: None,
        })))
    }

    /// From now on nothing more is taken. Gives what was until now, in bytes, and whether that is
    /// all.
    pub(super) fn hold(&self) -> (u64, bool) {
        let mut moves = self.moves();
        if moves.gate == Gate::Open {
            moves.gate = Gate::Held;
        }
        (moves.taken, moves.taken == moves.size)
    }

    /// Whoever waits to take more is told that there is no more.
    pub(super) fn shut(&self) {
        let mut moves = self.moves();
        moves.gate = Gate::Shut;
        if let Some(waker) = moves.waker.take() {
            waker.wake();
        }
    }

    /// Why the content gave no more, where it did not.
    pub(super) fn failure(&self) -> Option<String> {
        self.moves().failed.clone()
    }

    /// The connection is there from now on.
    pub(super) fn connected(&self) {
        let mut moves = self.moves();
        moves.at = moves.at.max(Instant::now());
    }

    /// When to look again; `Late` where whoever takes this has taken nothing for `idle` though there
    /// was something, or has not answered for `header` after all was taken, and there was time to empty
    /// buffers and to check it. Content that is slow to come is not the taker's fault.
    pub(super) fn look(&self, idle: Duration, header: Duration) -> Result<Instant, Late> {
        let (moves, now) = (self.moves(), Instant::now());
        let (due, late) = if moves.taken == moves.size {
            let digested = moves.size.min(BUFFERS) / SLOWEST + moves.size / CHECKING;
            let digested = Duration::from_secs(digested);
            (moves.at + header + digested, Late::Answering)
        } else if moves.starved {
            return Ok(now + idle.min(header));
        } else {
            (moves.at + idle, Late::Taking)
        };
        if now >= due {
            return Err(late);
        }
        // What is all taken meanwhile may have an earlier deadline.
        Ok(due.min(now + header))
    }

    fn moves(&self) -> MutexGuard<'_, Moves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let progress = self.progress.clone();
        let mut moves = progress.moves();
        match moves.gate {
            Gate::Open => {}
            Gate::Held => {
                moves.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Gate::Shut => return Poll::Ready(Some(Err(Stopped))),
        }
        if self.toll.poll_pass(cx).is_pending() {
            // It is we who are slow.
            moves.starved = true;
            moves.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let most = usize::try_from(self.left).unwrap_or(SLICE).min(SLICE);
        let polled = self.payload.source().poll(cx, most);
        moves.starved = polled.is_pending();
        moves.waker = polled.is_pending().then(|| cx.waker().clone());
        match ready!(polled) {
            Ok(bytes) => {
                moves.at = Instant::now();
                moves.taken += bytes.len() as u64;
                self.left -= bytes.len() as u64;
                self.toll.pay(bytes.len());
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Err(why) => {
                moves.failed = Some(why);
                moves.gate = Gate::Shut;
                Poll::Ready(Some(Err(Stopped)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
