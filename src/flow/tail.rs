use std::fs::File;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::Error;

/// A follower of a stored or growing file: a body of known length.
#[derive(Debug)]
pub struct Tail {}

/// A part of a file that can be read now.
#[derive(Clone, Debug)]
pub struct Span {
    /// The file.
    pub file: Arc<File>,
    /// Where the part starts, in bytes.
    pub offset: u64,
    /// How long it is, in bytes; never 0.
    pub len: u64,
}

impl Tail {
    /// The bytes that are still to come.
    pub fn remaining(&self) -> u64 {
        todo!()
    }

    /// The next part that can be read, `at_most` bytes long, which counts as read from then on;
    /// `None` at the end. For senders that move file parts themselves.
    pub fn poll_span(
        &mut self,
        cx: &mut Context<'_>,
        at_most: u64,
    ) -> Poll<Option<Result<Span, Error>>> {
        let _ = (cx, at_most);
        todo!()
    }
}

impl http_body::Body for Tail {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let _ = cx;
        todo!()
    }

    fn is_end_stream(&self) -> bool {
        self.remaining() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining())
    }
}
