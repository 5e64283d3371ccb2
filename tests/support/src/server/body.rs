//! An answer's body on its way out: paced, stalled, corrupted or cut as the plan says, and counted.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use tokio::time::Instant;

use crate::content::Content;
use crate::fault::Cut;
use crate::fault::Plan;
use crate::gate::Gate;
use crate::limiter::Admitted;
use crate::record::Ended;
use crate::record::Entry;
use crate::record::Log;
use crate::server::wire::Kill;

/// One exchange's place in the log; aborted, unless it was completed before it is dropped.
pub(crate) struct Exchange {
    pub(crate) log: Log,
    pub(crate) entry: Entry,
    /// What counts it as long as it lasts.
    pub(crate) _admitted: Vec<Admitted>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.log.update(&self.entry, |recorded| {
            if recorded.ended == Ended::Open {
                recorded.ended = Ended::Aborted;
            }
        });
    }
}

/// The body that hyper polls.
pub(crate) struct Scripted {
    exchange: Exchange,
    kill: Arc<Kill>,
    content: Content,
    /// The first byte of the content that is sent.
    start: u64,
    /// Bytes to send; `u64::MAX` where it never ends.
    length: u64,
    sent: u64,
    exact: bool,
    cut: Option<(u64, Cut)>,
    stall: Option<(u64, Gate)>,
    flip: Option<u64>,
    slow: Option<u64>,
    began: Option<Instant>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Scripted {
    /// The body for `part` (first byte, length) of `content`, with what `plan` does to it.
    pub(crate) fn new(
        exchange: Exchange,
        kill: Arc<Kill>,
        (content, part): (Content, (u64, u64)),
        plan: Plan,
    ) -> Self {
        let endless = plan.endless && !content.is_empty();
        Self {
            exchange,
            kill,
            content,
            start: part.0,
            length: if endless { u64::MAX } else { part.1 },
            sent: 0,
            exact: !endless && !plan.no_content_length && plan.wrong_length == 0,
            cut: plan.cut_after,
            stall: plan.stall_after,
            flip: plan.flip_bit_at,
            slow: plan.slow,
            began: None,
            wait: None,
        }
    }

    /// How many bytes may be sent before the next thing happens.
    fn step(&self) -> u64 {
        let mut step = self.length - self.sent;
        if let Some((at, _)) = &self.cut {
            step = step.min(at.saturating_sub(self.sent));
        }
        if let Some((at, _)) = &self.stall {
            step = step.min(at.saturating_sub(self.sent));
        }
        match self.slow {
            Some(speed) => step.min((speed / 50).max(1)),
            None => step,
        }
    }

    fn next(&mut self, step: u64) -> Bytes {
        let position = (self.start + self.sent) % self.content.len().max(1);
        let mut chunk = self.content.read(position, step);
        if let Some(at) = self.flip.and_then(|flip| flip.checked_sub(position))
            && at < chunk.len() as u64
        {
            let mut changed = chunk.to_vec();
            changed[at as usize] ^= 1;
            chunk = changed.into();
        }
        self.sent += chunk.len() as u64;
        if let Some(speed) = self.slow {
            let due = Duration::from_secs_f64(self.sent as f64 / speed as f64);
            let began = *self.began.get_or_insert_with(Instant::now);
            self.wait = Some(Box::pin(tokio::time::sleep_until(began + due)));
        }
        let (sent, done) = (self.sent, self.sent == self.length);
        self.exchange.log.update(&self.exchange.entry, |recorded| {
            recorded.body_bytes_sent = sent;
            if done {
                recorded.ended = Ended::Complete;
            }
        });
        chunk
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            if let Some(wait) = &mut this.wait {
                std::task::ready!(wait.as_mut().poll(cx));
                this.wait = None;
            }
            if let Some((_, gate)) = this.stall.take_if(|(at, _)| *at <= this.sent) {
                this.wait = Some(Box::pin(async move { gate.opened().await }));
                continue;
            }
            if let Some((_, cut)) = this.cut.filter(|(at, _)| *at <= this.sent) {
                this.kill.arm(cut);
                return Poll::Pending;
            }
            if this.sent == this.length {
                return Poll::Ready(None);
            }
            let step = this.step();
            return Poll::Ready(Some(Ok(Frame::data(this.next(step)))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length && self.cut.is_none() && self.stall.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.exact {
            SizeHint::with_exact(self.length - self.sent)
        } else {
            SizeHint::default()
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if self.is_end_stream() {
            self.exchange.log.update(&self.exchange.entry, |recorded| {
                recorded.ended = Ended::Complete;
            });
        }
    }
}
