use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Draft;
use super::End;

pin_project! {
    /// A body that counts what passes and seals its receipt when it ends, fails or is dropped.
    #[derive(Debug)]
    pub struct Meter<B> {
        #[pin]
        body: B,
        draft: Option<Draft>,
        failure: End,
    }
}

impl<B: Body<Data = Bytes>> Meter<B> {
    /// Meters `body` for the exchange of `draft`. A body that breaks off ends as `failure`: `Reset`
    /// where we are the ones who send it, `Failed` where we receive it.
    pub fn new(body: B, draft: Draft, failure: End) -> Self {
        let mut meter = Self {
            body,
            draft: Some(draft),
            failure,
        };
        meter.seal_at_end();
        meter
    }

    fn seal_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.draft
                .take()
                .into_iter()
                .for_each(|draft| draft.seal(End::Complete));
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Meter<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        let end = match &frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.remaining());
                this.draft.iter_mut().for_each(|draft| draft.count(bytes));
                // hyper doesn't poll again once a body of known length is through.
                this.body.is_end_stream().then_some(End::Complete)
            }
            Some(Err(_)) => Some(*this.failure),
            None => Some(End::Complete),
        };
        if let Some(end) = end {
            this.draft
                .take()
                .into_iter()
                .for_each(|draft| draft.seal(end));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
