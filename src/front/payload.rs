use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::flow;
use crate::flow::Passed;
use crate::flow::Tail;
use crate::ledger;
use crate::ledger::Account;
use crate::ledger::Draft;
use crate::ledger::Fate;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::oci::Repository;

use super::activity::Busy;
use super::lane::Lane;
use super::lane::LaneBody;

pin_project! {
    /// The body of an answer: exactly as long as its header promised, or it fails, which resets
    /// the connection (HTTP/1) or the stream (HTTP/2). A failure is logged, as the client can't be
    /// told why.
    #[derive(Debug)]
    pub(super) struct Payload {
        #[pin]
        source: Source,
        from: ledger::Source,
        account: Option<Account>,
        remaining: u64,
        subject: Option<Subject>,
        // Its connection is not idle while the body is under way.
        busy: Option<Busy>,
    }
}

pin_project! {
    #[project = SourceProj]
    #[derive(Debug)]
    enum Source {
        Bytes { bytes: Bytes },
        Tail { #[pin] tail: Tail },
        Lane { #[pin] body: LaneBody },
        Passed { #[pin] body: Passed },
    }
}

/// What a payload is, for the log.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) repository: Repository,
    pub(super) digest: Digest,
}

/// Why a payload broke off after its header.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Flow(#[from] flow::Error),
    #[error("it ended {0} bytes early")]
    Short(u64),
    #[error("it is longer than it should be")]
    Long,
}

impl Payload {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::own(Bytes::new())
    }

    /// Our own words.
    pub(super) fn own(bytes: Bytes) -> Self {
        Self::of(bytes, ledger::Source::Own)
    }

    /// `bytes`, which come from there.
    pub(super) fn of(bytes: Bytes, from: ledger::Source) -> Self {
        Self {
            remaining: bytes.len() as u64,
            source: Source::Bytes { bytes },
            from,
            account: None,
            subject: None,
            busy: None,
        }
    }

    /// `length` bytes of the flow's, which are of `subject`.
    pub(super) fn from_flow(
        (body, origin): (flow::Body, Origin),
        length: u64,
        subject: Subject,
    ) -> Self {
        let (source, from) = match body {
            flow::Body::Empty => return Self::empty(),
            flow::Body::Bytes(bytes) => (Source::Bytes { bytes }, origin.into()),
            flow::Body::Passed(body) => (Source::Passed { body }, ledger::Source::Flow),
            flow::Body::Tail(tail) => {
                let from = tail.source();
                (Source::Tail { tail }, from)
            }
        };
        Self {
            source,
            from,
            account: None,
            remaining: length,
            subject: Some(subject),
            busy: None,
        }
    }

    /// Says in the account of `draft` where its bytes come from. Lets a file take the lane of its
    /// connection, where it has one.
    pub(super) fn by(mut self, lane: Option<Arc<Lane>>, draft: &mut Draft) -> Self {
        self.account = Some(draft.account());
        self.source = match (self.source, lane) {
            (Source::Tail { tail }, Some(lane)) => Source::Lane {
                body: LaneBody::new(tail, lane, draft),
            },
            (source, _) => source,
        };
        self
    }

    /// How many bytes are still to come.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Keeps its connection from being idle as long as it lives.
    pub(super) fn holding(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.project();
        if *this.remaining == 0 {
            return Poll::Ready(None);
        }
        let mut account = this.account.as_ref();
        let polled = match this.source.project() {
            SourceProj::Bytes { bytes } if bytes.is_empty() => Poll::Ready(None),
            SourceProj::Bytes { bytes } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            SourceProj::Tail { tail } => tail.poll_frame(cx).map_err(Broken::from),
            SourceProj::Lane { body } => {
                // It counts what is sent, not what is handed over.
                account = None;
                body.poll_frame(cx).map_err(Broken::from)
            }
            SourceProj::Passed { body } => body.poll_frame(cx).map_err(Broken::from),
        };
        if let Some(busy) = this.busy {
            match &polled {
                Poll::Ready(_) => busy.gave(),
                Poll::Pending => busy.owes(),
            }
        }
        let frame = ready!(polled);
        let length = |frame: &Frame<Bytes>| frame.data_ref().map_or(0, |data| data.len() as u64);
        if let (Some(account), Some(Ok(frame))) = (account, &frame) {
            account.enter(Fate::Given(*this.from), length(frame));
        }
        let checked = match frame {
            Some(Ok(frame)) => match this.remaining.checked_sub(length(&frame)) {
                Some(remaining) => {
                    *this.remaining = remaining;
                    Ok(frame)
                }
                None => Err(Broken::Long),
            },
            Some(Err(error)) => Err(error),
            None => Err(Broken::Short(*this.remaining)),
        };
        if let (Err(error), Some(subject)) = (&checked, &this.subject) {
            tracing::warn!(
                repository = %subject.repository,
                digest = %subject.digest,
                remaining = *this.remaining,
                "broke an answer off: {error}"
            );
        }
        Poll::Ready(Some(checked))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// `text` where `length` bytes were promised.
    async fn read(text: &'static str, length: u64) -> Result<Bytes, Broken> {
        let subject = Subject {
            repository: Repository::new("docker.io".parse().unwrap(), "a/b".parse().unwrap()),
            digest: Digest::of(b"x"),
        };
        let body = flow::Body::Bytes(Bytes::from_static(text.as_bytes()));
        let payload = Payload::from_flow((body, Origin::Hit), length, subject);
        assert_eq!(payload.size_hint().exact(), Some(length));
        payload.collect().await.map(|body| body.to_bytes())
    }

    #[tokio::test]
    async fn a_body_is_what_was_promised_or_breaks_off() {
        assert_eq!(read("12345", 5).await.unwrap(), "12345");
        assert!(matches!(read("12345", 6).await, Err(Broken::Short(1))));
        assert!(matches!(read("12345", 4).await, Err(Broken::Long)));
        assert!(matches!(read("", 1).await, Err(Broken::Short(1))));
        assert_eq!(read("", 0).await.unwrap(), "");
    }
}
