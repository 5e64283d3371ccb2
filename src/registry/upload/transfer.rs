//! A blob on its way, in the way that its registry wants it.

use bytes::Bytes;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use http::header::{HeaderName, LOCATION};

use super::Session;
use super::Upload;
use crate::ledger::FlowId;
use crate::ledger::Unspent;
use crate::registry::Content;
use crate::registry::Error;
use crate::registry::Registry;
use crate::registry::action::Call;
use crate::registry::answer;
use crate::registry::sending::Cargo;
use crate::registry::sending::Payload;
use crate::registry::way::Way;

/// A blob of no more bytes is gathered before it is sent: so it can be sent again.
const GATHERED: u64 = 64 << 10;

const RANGE: HeaderName = HeaderName::from_static("range");

/// A blob on its way.
pub(super) struct Transfer<'a> {
    pub(super) registry: &'a Registry,
    pub(super) flow: FlowId,
    /// As it is after what was sent last.
    pub(super) session: Session,
    pub(super) digest: &'a str,
    /// What was sent, and is not committed yet.
    pub(super) sent: Vec<Unspent>,
}

impl Transfer<'_> {
    pub(super) async fn run(&mut self, way: Way, content: Content) -> Result<(), Error> {
        let size = content.size;
        let all = if size <= GATHERED {
            Cargo::Whole(gather(content).await?)
        } else {
            let payload = Payload::stream(content);
            Cargo::Part {
                payload,
                start: 0,
                size,
            }
        };
        let most = match way {
            Way::Chunks(most) => most.max(self.session.least),
            Way::Put | Way::Patch => u64::MAX,
        };
        match all {
            Cargo::Part { payload, .. } if size > most => self.chunks(&payload, size, most).await?,
            all if way == Way::Patch => self.patch(None, all).await?,
            all => return self.finish(all).await,
        }
        self.finish(Cargo::Whole(Bytes::new())).await
    }

    async fn chunks(&mut self, payload: &Payload, size: u64, most: u64) -> Result<(), Error> {
        let mut start = 0;
        while start < size {
            let part = Cargo::Part {
                payload: payload.clone(),
                start,
                size: most.min(size - start),
            };
            self.patch(Some(start), part).await?;
            start = size.min(start.saturating_add(most));
        }
        Ok(())
    }

    /// One `PATCH`: the chunk that starts at `start`, or all.
    async fn patch(&mut self, start: Option<u64>, cargo: Cargo) -> Result<(), Error> {
        let end = start.unwrap_or(0) + cargo.size();
        let range = start.map(|start| start..end);
        let call = Call::upload_chunk(&self.upload(), range.as_ref(), cargo);
        let mut answer = self.registry.write(&call).await?;
        self.sent.extend(answer.body.take_sent());
        let taken = answer::text(&answer.headers, &RANGE);
        let taken = taken.and_then(|text| text.rsplit_once('-')?.1.parse::<u64>().ok());
        if let Some(last) = taken.filter(|last| last.saturating_add(1) != end) {
            return Err(Error::Wrong(format!(
                "it took the bytes up to {last} of an upload, sent were those before {end}"
            )));
        }
        if answer.headers.contains_key(LOCATION) {
            self.session.url = self.registry.location(&answer)?;
        }
        Ok(())
    }

    /// The `PUT` that ends it.
    async fn finish(&mut self, cargo: Cargo) -> Result<(), Error> {
        let call = Call::upload_finish(&self.upload(), cargo);
        let mut answer = self.registry.write(&call).await?;
        self.sent.extend(answer.body.take_sent());
        match answer::digest(&answer.headers) {
            Some(given) if !call.is_about(&given) => Err(Error::Wrong(format!(
                "it says that the blob it was given is {given}, not {}",
                self.digest
            ))),
            _ => Ok(()),
        }
    }

    fn upload(&self) -> Upload<'_> {
        Upload {
            flow: self.flow,
            session: &self.session,
            digest: self.digest,
        }
    }
}

/// All of a content.
async fn gather(mut content: Content) -> Result<Bytes, Error> {
    let most = usize::try_from(content.size).unwrap_or(usize::MAX);
    let mut all = BytesMut::with_capacity(most);
    while all.len() < most {
        match content.chunks.next().await {
            Some(Ok(bytes)) => all.extend_from_slice(&bytes[..bytes.len().min(most - all.len())]),
            Some(Err(error)) => return Err(Error::Content(error.to_string())),
            None => {
                let text = format!("it ends after {} of {most} bytes", all.len());
                return Err(Error::Content(text));
            }
        }
    }
    Ok(all.freeze())
}
