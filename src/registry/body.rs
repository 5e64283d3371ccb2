use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::Error;

/// The bytes of a blob as they come: metered, and failed by `Timeouts::idle_body`.
#[derive(Debug)]
pub struct Body {}

impl Body {
    /// The next bytes; `None` at the end. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        todo!()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let _ = cx;
        todo!()
    }
}
