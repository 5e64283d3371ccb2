//! Answers, and their bodies as they come.

use bytes::Bytes;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::Response;
use http::StatusCode;
use http::Version;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::client::ClientError;
use crate::client::in_time;
use crate::digest::DigestSink;

/// An answer whose body is still to be read. Dropping it in mid-body leaves the server: the
/// connection is closed (HTTP/1.1) or the stream is reset (HTTP/2).
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// HTTP/1.1 or HTTP/2.
    pub version: Version,
    body: Incoming,
    kept: Bytes,
}

impl Reply {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status,
            headers: parts.headers,
            version: parts.version,
            body,
            kept: Bytes::new(),
        }
    }

    /// A header as text, where there is one.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `Content-Length`, where there is one.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The next bytes, as they come; `None` at the end.
    ///
    /// # Errors
    /// Where the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        if !self.kept.is_empty() {
            return Ok(Some(std::mem::take(&mut self.kept)));
        }
        while let Some(frame) = in_time(self.body.frame().map(Option::transpose)).await? {
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Where the body ends or breaks off before.
    pub async fn read_exactly(&mut self, n: usize) -> Result<Bytes, ClientError> {
        let mut read = BytesMut::with_capacity(n);
        while read.len() < n {
            let Some(mut chunk) = self.chunk().await? else {
                return Err(ClientError(format!(
                    "{} bytes came, {n} were awaited",
                    read.len()
                )));
            };
            self.kept = chunk.split_off(chunk.len().min(n - read.len()));
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let mut read = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            read.extend_from_slice(&chunk);
        }
        Ok(read.freeze())
    }

    /// The rest of the body, as far as it came, and how it broke off if it did.
    pub async fn bytes_until_error(mut self) -> (Bytes, Option<ClientError>) {
        let mut read = BytesMut::new();
        loop {
            match self.chunk().await {
                Ok(Some(chunk)) => read.extend_from_slice(&chunk),
                Ok(None) => return (read.freeze(), None),
                Err(error) => return (read.freeze(), Some(error)),
            }
        }
    }

    /// The rest of the body as text; wrong UTF-8 is replaced.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn text(self) -> Result<String, ClientError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The rest of the body as JSON.
    ///
    /// # Errors
    /// Where it breaks off, or is no JSON.
    pub async fn json(self) -> Result<serde_json::Value, ClientError> {
        serde_json::from_slice(&self.bytes().await?).map_err(ClientError::new)
    }

    /// The digest and the length of the rest of the body, which isn't kept.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn digest_and_length(mut self) -> Result<(String, u64), ClientError> {
        let (mut sink, mut length) = (DigestSink::default(), 0);
        while let Some(chunk) = self.chunk().await? {
            sink.update(&chunk);
            length += chunk.len() as u64;
        }
        Ok((sink.finish(), length))
    }

    /// The digest of the rest of the body, which isn't kept.
    ///
    /// # Errors
    /// Where it breaks off.
    pub async fn digest(self) -> Result<String, ClientError> {
        Ok(self.digest_and_length().await?.0)
    }
}
