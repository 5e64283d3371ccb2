//! Pulls of blobs: plain sockets, one thread each, all bytes read.

use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use rustls::ClientConfig;
use sha2::Digest;
use sha2::Sha256;

use super::answer::Head;
use super::wire::Wire;
use crate::corpus::Blob;
use crate::corpus::TRAILER;
use crate::corpus::digest_of;
use crate::origin::REPOSITORY;

/// Small enough to stay in a core's own cache.
const BUFFER: usize = 256 * 1024;
/// What the buffers of all clients may take together, for the same reason; but none is smaller than
/// the least.
const BUFFERS: usize = 16 * BUFFER;
const LEAST_BUFFER: usize = 32 * 1024;

/// No byte for this long: the server hangs.
const SILENCE: Duration = Duration::from_secs(60);

/// Pulls from one server.
#[derive(Clone, Debug)]
pub(crate) struct Puller {
    /// The server.
    pub(crate) addr: SocketAddr,
    /// How TLS is spoken with it; `None` for plain HTTP.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Whether to hash what comes.
    pub(crate) verify: bool,
}

/// How a pull went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pulled {
    /// From the connection's start to the first byte of the body.
    pub(crate) first_byte: Duration,
    /// From the connection's start to the last byte of the body.
    pub(crate) took: Duration,
}

/// How pulls at the same time went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// All bytes of all bodies.
    pub(crate) bytes: u64,
    /// From the first client's start to the last byte of the last body.
    pub(crate) took: Duration,
}

impl Crowd {
    /// Million bytes a second, all clients together.
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }
}

impl Puller {
    /// Pulls one blob over a connection of its own.
    ///
    /// # Errors
    /// When the server does not answer with exactly this blob.
    pub(crate) fn pull(&self, blob: &Blob) -> anyhow::Result<Pulled> {
        self.pull_into(blob, &mut vec![0; BUFFER])
    }

    fn pull_into(&self, blob: &Blob, buffer: &mut [u8]) -> anyhow::Result<Pulled> {
        self.fetch(blob, buffer)
            .with_context(|| format!("a pull of {} ({} bytes) failed", blob.digest, blob.size))
    }

    /// Pulls all the blobs at the same time, each over a connection of its own.
    ///
    /// # Errors
    /// When any of them fails.
    pub(crate) fn crowd(&self, blobs: &[Arc<Blob>]) -> anyhow::Result<Crowd> {
        self.share_out(blobs, blobs.len(), blobs.len())
    }

    /// Makes `pulls` pulls of the blobs in turn, by so many clients at the same time: each makes
    /// its share of them one after the other, each over a connection of its own.
    ///
    /// # Errors
    /// When any of them fails.
    pub(crate) fn share_out(
        &self,
        blobs: &[Arc<Blob>],
        pulls: usize,
        clients: usize,
    ) -> anyhow::Result<Crowd> {
        let barrier = Barrier::new(clients);
        let pulled = |number: usize| &blobs[number % blobs.len()];
        let share = |client: usize| -> anyhow::Result<Instant> {
            // Written to, so that it is memory before the time runs.
            let mut buffer = vec![1; (BUFFERS / clients).clamp(LEAST_BUFFER, BUFFER)];
            barrier.wait();
            let start = Instant::now();
            for number in (client..pulls).step_by(clients) {
                self.pull_into(pulled(number), &mut buffer)?;
            }
            Ok(start)
        };
        std::thread::scope(|scope| {
            let share = &share;
            let clients: Vec<_> = (0..clients)
                .map(|client| scope.spawn(move || share(client)))
                .collect();
            // The first of them to run, not the last: a thousand threads take their time to wake.
            let mut start = Instant::now() + SILENCE;
            for client in clients {
                let ended = client.join();
                let begun = ended.map_err(|_| anyhow::anyhow!("a client panicked"))??;
                start = start.min(begun);
            }
            Ok(Crowd {
                bytes: (0..pulls).map(|number| pulled(number).size).sum(),
                took: start.elapsed(),
            })
        })
    }

    /// Gets a tag's manifest, as every real client does before it asks for blobs.
    ///
    /// # Errors
    /// When the answer is no manifest.
    pub(crate) fn manifest(&self, tag: &str) -> anyhow::Result<()> {
        self.manifest_over(&mut self.connect()?, tag)
    }

    /// The same over a connection that is there.
    pub(super) fn manifest_over(&self, stream: &mut Wire, tag: &str) -> anyhow::Result<()> {
        stream.write_all(manifest_request(tag).as_bytes())?;
        let mut buffer = vec![0; BUFFER];
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..])?;
            anyhow::ensure!(read > 0, "the manifest {tag} was cut short");
            filled += read;
            if let Some(head) = Head::parse(&buffer[..filled])?
                && filled as u64 >= head.length as u64 + head.content_length
            {
                anyhow::ensure!(head.status == 200, "manifest {tag}: status {}", head.status);
                return Ok(());
            }
        }
    }

    pub(super) fn connect(&self) -> anyhow::Result<Wire> {
        Wire::connect(self.addr, self.tls.as_ref(), SILENCE)
    }

    fn fetch(&self, blob: &Blob, buffer: &mut [u8]) -> anyhow::Result<Pulled> {
        let start = Instant::now();
        let mut stream = self.connect()?;
        self.fetch_over(&mut stream, blob, (buffer, start))
    }

    /// Pulls one blob over a connection that is there. The time runs from `start`.
    pub(super) fn fetch_over(
        &self,
        stream: &mut Wire,
        blob: &Blob,
        (buffer, start): (&mut [u8], Instant),
    ) -> anyhow::Result<Pulled> {
        stream.write_all(blob_request(blob).as_bytes())?;
        let mut filled = 0;
        let head = loop {
            let read = stream.read(&mut buffer[filled..])?;
            anyhow::ensure!(read > 0, "the answer was cut short");
            filled += read;
            if let Some(head) = Head::parse(&buffer[..filled])? {
                break head;
            }
        };
        anyhow::ensure!(head.status == 200, "status {}", head.status);
        let size = head.content_length;
        anyhow::ensure!(size == blob.size, "it is said to be {size} bytes long");
        let mut check = Check::new(blob, self.verify);
        buffer.copy_within(head.length..filled, 0);
        let mut read = filled - head.length;
        let mut first_byte = start.elapsed();
        let mut got = 0;
        loop {
            if got == 0 && read > 0 {
                first_byte = start.elapsed();
            }
            check.take(got, &buffer[..read]);
            got += read as u64;
            if got >= size {
                break;
            }
            read = stream.read(buffer)?;
            anyhow::ensure!(read > 0, "it was cut short after {got} bytes");
        }
        let took = start.elapsed();
        check.finish()?;
        Ok(Pulled { first_byte, took })
    }
}

/// Holds what comes against what should come: the trailer always, the digest where it is wanted.
struct Check<'a> {
    blob: &'a Blob,
    trailer: Vec<u8>,
    hash: Option<Sha256>,
}

impl<'a> Check<'a> {
    fn new(blob: &'a Blob, verify: bool) -> Self {
        Self {
            blob,
            trailer: Vec::with_capacity(TRAILER as usize),
            hash: verify.then(Sha256::new),
        }
    }

    fn take(&mut self, offset: u64, bytes: &[u8]) {
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        let border = self.blob.size - TRAILER;
        let end = offset + bytes.len() as u64;
        if end > border {
            let from = border.saturating_sub(offset) as usize;
            self.trailer.extend_from_slice(&bytes[from..]);
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.trailer == self.blob.trailer,
            "its last bytes are wrong"
        );
        if let Some(hash) = self.hash {
            let got = digest_of(hash);
            anyhow::ensure!(got == self.blob.digest, "its digest is {got}");
        }
        Ok(())
    }
}

/// What a client sends for a blob.
pub(super) fn blob_request(blob: &Blob) -> String {
    format!(
        "GET /v2/{REPOSITORY}/blobs/{} HTTP/1.1\r\nHost: bench.test\r\nAccept: */*\r\n\
         User-Agent: bench\r\n\r\n",
        blob.digest
    )
}

/// What a client of today sends for a manifest.
pub(super) fn manifest_request(tag: &str) -> String {
    format!(
        "GET /v2/{REPOSITORY}/manifests/{tag} HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\n\
         Accept: application/vnd.oci.image.index.v1+json, \
         application/vnd.oci.image.manifest.v1+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, \
         application/vnd.docker.distribution.manifest.v2+json\r\n\r\n"
    )
}
