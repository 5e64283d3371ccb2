//! Parts of a blob, one after the other over one connection.

use std::io::Read;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

use super::answer::Head;
use super::pull::Puller;
use super::wire::Wire;
use crate::corpus::Blob;
use crate::origin::REPOSITORY;

/// A connection that asks for parts of one blob.
pub(crate) struct Parts {
    stream: Wire,
    digest: String,
    buffer: Vec<u8>,
}

impl Puller {
    /// A connection that will ask for parts of `blob`.
    ///
    /// # Errors
    /// When the server doesn't take it.
    pub(crate) fn parts(&self, blob: &Blob) -> anyhow::Result<Parts> {
        Ok(Parts {
            stream: self.connect()?,
            digest: blob.digest.clone(),
            buffer: vec![0; 128 * 1024],
        })
    }
}

impl Parts {
    /// Asks for `length` bytes from `at` on, and reads them: how long it took.
    ///
    /// # Errors
    /// When the server answers with anything else.
    pub(crate) fn get(&mut self, at: u64, length: u64) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let request = format!(
            "GET /v2/{REPOSITORY}/blobs/{} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\n\
             Range: bytes={at}-{}\r\n\r\n",
            self.digest,
            at + length - 1
        );
        self.stream.write_all(request.as_bytes())?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            anyhow::ensure!(read > 0, "the answer was cut short");
            filled += read;
            let Some(head) = Head::parse(&self.buffer[..filled])? else {
                continue;
            };
            anyhow::ensure!(head.status == 206, "a range: status {}", head.status);
            let said = head.content_length;
            anyhow::ensure!(said == length, "a range: {said} bytes, not {length}");
            if filled as u64 >= head.length as u64 + length {
                return Ok(start.elapsed());
            }
        }
    }
}
