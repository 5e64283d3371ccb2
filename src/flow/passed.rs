use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Error;
use super::upstream::Trouble;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::Repository;
use crate::registry;

/// A body straight from the upstream, unstored: a part of a blob, or a whole one that the store
/// does not take. A whole one is hashed, and its last chunk is given only where the digest is
/// right; of a part, nobody here can tell.
#[derive(Debug)]
pub struct Passed {
    body: registry::Body,
    repository: Repository,
    left: u64,
    check: Option<(Hasher, Digest)>,
    trouble: Arc<Trouble>,
}

impl Passed {
    /// `length` bytes that are to come; all of `whole`, where that is given.
    pub(super) fn new(
        body: registry::Body,
        repository: Repository,
        length: u64,
        whole: Option<Digest>,
        trouble: Arc<Trouble>,
    ) -> Self {
        let check = whole.map(|digest| (Hasher::new(digest.algorithm()), digest));
        Self {
            body,
            repository,
            left: length,
            check,
            trouble,
        }
    }

    fn take(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
            return Err(self.broken(registry::Error::Wrong("more came than was promised".into())));
        };
        self.left = left;
        let Some((hasher, _)) = &mut self.check else {
            return Ok(chunk);
        };
        hasher.update(&chunk);
        if left > 0 {
            return Ok(chunk);
        }
        let Some((hasher, digest)) = self.check.take() else {
            return Ok(chunk);
        };
        let got = hasher.finish();
        if got == digest {
            return Ok(chunk);
        }
        let repository = self.repository.clone();
        Err(Error::Corrupt {
            repository,
            reference: digest.to_string(),
            got: got.to_string(),
        })
    }

    fn broken(&self, error: registry::Error) -> Error {
        let repository = self.repository.clone();
        Error::Upstream { repository, error }
    }
}

impl Body for Passed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let taken = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => this.take(chunk).map(Frame::data),
                Err(trailers) => Ok(trailers),
            },
            Some(Err(error)) => Err(this.broken(error)),
            None if this.left == 0 => return Poll::Ready(None),
            None => Err(this.broken(registry::Error::Unreachable("it ended early".into()))),
        };
        if let Err(error) = &taken
            && error.is_mismatch()
        {
            this.trouble.mismatched();
        }
        Poll::Ready(Some(taken))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
