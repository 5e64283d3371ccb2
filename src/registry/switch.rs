//! Connections that can be cut from elsewhere, and tell elsewhere which side is the slow one.

use std::fmt;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::time::Instant;

use futures_util::task::AtomicWaker;
use http::Extensions;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// Cuts one connection. All clones cut the same.
#[derive(Clone)]
pub(super) struct Switch(Arc<State>);

struct State {
    is_cut: AtomicBool,
    writer: AtomicWaker,
    waits: Mutex<Waits>,
}

impl Switch {
    /// The switch of a connection that is in use.
    pub(super) fn of(connected: &Connected) -> Option<Self> {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        extras.remove()
    }

    /// How it is read from.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            state: self.0.clone(),
            seen: (Instant::now(), self.0.waits().until(Instant::now())),
        }
    }

    /// From now on nothing can be written, also by who waits to do so.
    pub(super) fn cut(&self) {
        self.0.is_cut.store(true, Ordering::Release);
        self.0.writer.wake();
    }
}

/// Looks at how a connection is read from.
#[derive(Debug)]
pub struct Reading {
    state: Arc<State>,
    /// When it was last looked at, and how long there had been nothing to read by then.
    seen: (Instant, Duration),
}

impl Reading {
    /// Whether, since the last look, we have waited for the other side most of the time, having read
    /// all that came: then it is not we who are slow. Over HTTP/2 that is not known, for where we are
    /// slow nothing is sent.
    pub fn is_ahead(&mut self) -> bool {
        let now = Instant::now();
        let waited = self.state.waits().until(now);
        let (at, before) = std::mem::replace(&mut self.seen, (now, waited));
        waited.saturating_sub(before) * 2 >= now.saturating_duration_since(at)
    }
}

/// How long there was nothing to read.
#[derive(Debug, Default)]
struct Waits {
    in_all: Duration,
    /// Since when there is nothing, where that is so.
    since: Option<Instant>,
}

impl Waits {
    fn until(&self, now: Instant) -> Duration {
        let last = self.since.map(|since| now.saturating_duration_since(since));
        self.in_all + last.unwrap_or_default()
    }

    fn note(&mut self, is_waiting: bool) {
        if is_waiting != self.since.is_some() {
            let now = Instant::now();
            self.in_all = self.until(now);
            self.since = is_waiting.then_some(now);
        }
    }
}

impl State {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").finish_non_exhaustive()
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Switch").field(&self.0.is_cut).finish()
    }
}

/// A stream that has a [`Switch`].
#[derive(Debug)]
pub(super) struct Switched<S> {
    stream: S,
    switch: Switch,
}

impl<S> Switched<S> {
    pub(super) fn new(stream: S) -> Self {
        let state = State {
            is_cut: AtomicBool::new(false),
            writer: AtomicWaker::new(),
            waits: Mutex::default(),
        };
        Self {
            stream,
            switch: Switch(Arc::new(state)),
        }
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        // Whoever cuts after this look wakes the one who is noted now.
        self.switch.0.writer.register(cx.waker());
        if self.switch.0.is_cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl<S: Connection> Connection for Switched<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.switch.clone())
    }
}

impl<S: Read + Unpin> Read for Switched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.switch.0.waits().note(read.is_pending());
        read
    }
}

impl<S: Write + Unpin> Write for Switched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_most_of_the_time_is_ahead() {
        let begun = Instant::now();
        let waits = Waits {
            in_all: Duration::from_millis(400),
            since: Some(begun),
        };
        let after = |millis| {
            waits
                .until(begun + Duration::from_millis(millis))
                .as_millis()
        };
        assert_eq!((after(0), after(100)), (400, 500));
        let mut waits = Waits::default();
        waits.note(false);
        assert_eq!(waits.until(begun + Duration::from_secs(9)), Duration::ZERO);
        waits.note(true);
        let since = waits.since;
        waits.note(true);
        assert!(since.is_some() && waits.since == since, "one wait goes on");
        waits.note(false);
        let waited = waits.in_all;
        assert_eq!(waits.until(begun + Duration::from_secs(9)), waited);
    }
}
