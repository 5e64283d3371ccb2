use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use super::Error;
use super::bandwidth::Toll;
use super::cause;
use super::fault::Again;
use super::fault::Fault;
use super::switch::Reading;
use super::switch::Switch;
use super::window::Pass;
use super::wire::Rest;
use crate::ledger::Account;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::Fate;
use crate::ledger::Meter;
use crate::ledger::Reason;
use crate::ledger::Unspent;

/// The bytes of a blob as they come: metered, and failed by `Timeouts::idle_body`.
///
/// A drop ends the exchange: the connection is closed (HTTP/1.1) or the stream is reset (HTTP/2). But
/// where all bytes have come that the header promised, the end of an HTTP/2 stream is waited for, by a
/// task of its own: a reset would tell the registry that somebody has left, and some count those.
/// After an error or the end there is nothing more to come. Whoever takes bytes tells the account
/// what becomes of them.
#[derive(Debug)]
pub struct Body {
    metered: Option<Box<Meter<Watched>>>,
    account: Account,
    toll: Toll,
    pass: Option<Pass>,
    /// What the request's body came to.
    sent: Option<Unspent>,
    /// What of it is never sent, until this body's end.
    rest: Option<Rest>,
    /// The connection that it comes by.
    switch: Option<Switch>,
}

impl Body {
    /// The body of the exchange of `draft`, which fails when for `idle` nothing comes, no faster than
    /// `toll` has it.
    pub(super) fn new(incoming: Incoming, mut draft: Draft, idle: Duration, toll: Toll) -> Self {
        let watched = Watched {
            incoming,
            host: draft.receipt.host.clone(),
            idle,
            alarm: None,
            armed: false,
        };
        Self {
            account: draft.account(),
            toll,
            metered: Some(Box::new(Meter::new(watched, draft, End::Failed))),
            pass: None,
            sent: None,
            rest: None,
            switch: None,
        }
    }

    /// Comes by the connection of `switch`.
    pub(super) fn comes_by(&mut self, switch: Option<Switch>) {
        self.switch = switch;
    }

    /// How the connection is read from that it comes by.
    pub fn reading(&self) -> Option<Reading> {
        self.switch.as_ref().map(Switch::reading)
    }

    /// Follows a request's body, of which so much was `sent`, and a `rest` is not to be sent.
    pub(super) fn follows(&mut self, sent: Option<Unspent>, rest: Option<Rest>) {
        self.sent = sent;
        self.rest = rest;
    }

    /// What was sent for this answer: its fate is to be said.
    pub(super) fn take_sent(&mut self) -> Option<Unspent> {
        self.sent.take()
    }

    /// Keeps `pass` until this body's end, which may have come.
    pub(super) fn hold(&mut self, pass: Pass) {
        match self.is_end_stream() {
            true => pass.succeeded(),
            false => self.pass = Some(pass),
        }
    }

    /// Where it is said what becomes of the bytes.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(bytes)) if bytes.is_empty() => {}
                Ok(Ok(bytes)) => return Some(Ok(bytes)),
                Ok(Err(_trailers)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let Some(metered) = self.metered.take() else {
            return;
        };
        let has_all = metered.size_hint().exact() == Some(0) && !metered.is_end_stream();
        if let (true, Ok(runtime)) = (has_all, Handle::try_current()) {
            let held = (self.pass.take(), self.rest.take());
            runtime.spawn(async move {
                let _ = tokio::time::timeout(FAREWELL, ended(metered)).await;
                let (pass, rest) = held;
                if let Some(pass) = pass {
                    pass.succeeded();
                }
                drop(rest);
            });
        }
    }
}

/// How long the end of a stream may take behind its last byte.
const FAREWELL: Duration = Duration::from_secs(5);

/// Reads on to the end.
async fn ended(mut metered: Box<Meter<Watched>>) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(metered.as_mut()).poll_frame(cx)).await {}
}

impl Body {
    /// All of it, if it has no more than `most` bytes. One that breaks off may be tried again.
    pub(super) async fn whole(&mut self, most: usize) -> Result<Gathered, Fault> {
        let mut unspent = self.account.unspent();
        let gathered = self.gather(most, &mut unspent).await;
        match gathered {
            Ok(bytes) => Ok(Gathered { bytes, unspent }),
            Err(fault) => {
                let reason = match &fault.error {
                    Error::Wrong(_) => Reason::Mismatch,
                    _ => Reason::Incomplete,
                };
                unspent.spend_all(Fate::Discarded(reason));
                Err(fault)
            }
        }
    }

    async fn gather(&mut self, most: usize, unspent: &mut Unspent) -> Result<Bytes, Fault> {
        let too_long = || Fault::wrong(format!("an answer of more than {most} bytes"));
        let promised = self.size_hint();
        if promised.lower() > most as u64 {
            return Err(too_long());
        }
        let mut all = BytesMut::with_capacity(usize::try_from(promised.lower()).unwrap_or(0));
        while let Some(bytes) = self.chunk().await {
            let bytes = bytes.map_err(broken)?;
            unspent.add(bytes.len());
            if all.len() + bytes.len() > most {
                return Err(too_long());
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

/// A body that came whole.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The bytes.
    pub(super) bytes: Bytes,
    /// What is to be said of them.
    pub(super) unspent: Unspent,
}

/// Waiting for bytes that do not come takes long, so it is done only twice.
fn broken(error: Error) -> Fault {
    let again = match error {
        Error::TimedOut(_) => Again::Once,
        _ => Again::Backoff,
    };
    Fault { error, again }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(metered) = &mut this.metered else {
            return Poll::Ready(None);
        };
        ready!(this.toll.poll_pass(cx));
        let frame = ready!(Pin::new(metered.as_mut()).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            this.toll.pay(frame.data_ref().map_or(0, Bytes::len));
        }
        if !matches!(frame, Some(Ok(_))) || metered.is_end_stream() {
            self.metered = None;
            self.rest = None;
            match (self.pass.take(), &frame) {
                (Some(mut pass), Some(Err(error))) => pass.failed(error),
                (Some(pass), _) => pass.succeeded(),
                (None, _) => {}
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.metered
            .as_ref()
            .is_none_or(|metered| metered.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.metered
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |metered| metered.size_hint())
    }
}

pin_project! {
    /// What comes from the wire, and the alarm that rings when nothing comes while it is awaited.
    #[derive(Debug)]
    struct Watched {
        #[pin]
        incoming: Incoming,
        host: Arc<str>,
        idle: Duration,
        alarm: Option<Pin<Box<Sleep>>>,
        armed: bool,
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.incoming.poll_frame(cx) {
            *this.armed = false;
            return Poll::Ready(
                frame.map(|frame| frame.map_err(|error| cause::of_body(this.host, &error))),
            );
        }
        let rings = Instant::now() + *this.idle;
        let alarm = this
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(rings)));
        if !*this.armed {
            *this.armed = true;
            alarm.as_mut().reset(rings);
        }
        ready!(alarm.as_mut().poll(cx));
        let text = format!("no bytes from {} for {:?}", this.host, this.idle);
        Poll::Ready(Some(Err(Error::TimedOut(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
