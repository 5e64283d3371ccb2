use std::future::Future as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::Error;
use super::transport::explain;
use crate::ledger::Draft;
use crate::ledger::End;
use crate::ledger::Meter;

/// The bytes of a blob as they come: metered, and failed by `Timeouts::idle_body`.
#[derive(Debug)]
pub struct Body {
    body: Box<Meter<Incoming>>,
    host: String,
    idle: Duration,
    patience: Pin<Box<Sleep>>,
    waiting: bool,
    failed: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Body {
    pub(super) fn new(
        body: Incoming,
        draft: Draft,
        idle: Duration,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let host = draft.receipt.host.to_string();
        Self {
            body: Box::new(Meter::new(body, draft, End::Failed)),
            host,
            idle,
            patience: Box::pin(tokio::time::sleep(idle)),
            waiting: false,
            failed: false,
            permit,
        }
    }

    /// The next bytes; `None` at the end, and after an error. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            match poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await? {
                Ok(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Nothing of it is wanted; its permit goes to the next request.
    pub(super) fn give_up(&mut self) -> Option<OwnedSemaphorePermit> {
        self.failed = true;
        self.permit.take()
    }

    /// All of it, up to `limit` bytes; `None` where there is more.
    pub(super) async fn collect(&mut self, limit: usize) -> Result<Option<Bytes>, Error> {
        let mut all = bytes::BytesMut::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > limit {
                return Ok(None);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(Some(all.freeze()))
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if !self.waiting {
            self.waiting = true;
            self.patience.as_mut().reset(Instant::now() + self.idle);
        }
        let idle = self.idle;
        let late = |()| Error::TimedOut(format!("{}: no byte of the body for {idle:?}", self.host));
        self.patience.as_mut().poll(cx).map(late)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        let outcome = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => explain(&this.host, &error),
            Poll::Pending => std::task::ready!(this.poll_idle(cx)),
        };
        this.failed = true;
        Poll::Ready(Some(Err(outcome)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
