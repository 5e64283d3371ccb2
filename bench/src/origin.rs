//! The origin of all systems: a lean registry that sends blobs from memory with `sendfile`, one
//! thread a connection, and counts what it is asked.

use std::collections::HashMap;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::ops::Range;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use anyhow::Context;
use sha2::Digest;
use sha2::Sha256;

use crate::corpus::Blob;
use crate::corpus::Corpus;
use crate::corpus::TRAILER;
use crate::corpus::digest_of;
use crate::link::Link;

/// The repository that everything is in.
pub(crate) const REPOSITORY: &str = "library/bench";

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running origin; it ends with the process.
#[derive(Debug)]
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    state: Arc<State>,
}

/// What the origin was asked so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counts {
    /// `GET`s of blobs, ranged ones too.
    pub(crate) blob_gets: u64,
    /// Bytes of blobs that were sent.
    pub(crate) blob_bytes: u64,
}

#[derive(Debug)]
struct State {
    corpus: Corpus,
    link: Link,
    blobs: RwLock<HashMap<String, Arc<Blob>>>,
    /// By tag and by digest.
    manifests: RwLock<HashMap<String, Arc<Manifest>>>,
    published: AtomicU64,
    blob_gets: AtomicU64,
    blob_bytes: AtomicU64,
}

#[derive(Debug)]
struct Manifest {
    digest: String,
    json: Vec<u8>,
}

impl Origin {
    /// Makes the corpus and starts to listen on a free port of loopback.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let state = Arc::new(State {
            corpus: Corpus::new()?,
            link: Link::new(),
            blobs: RwLock::default(),
            manifests: RwLock::default(),
            published: AtomicU64::new(0),
            blob_gets: AtomicU64::new(0),
            blob_bytes: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").context("the origin can't listen")?;
        let addr = listener.local_addr()?;
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that leaves ends its own connection and nothing else.
                std::thread::spawn(move || drop(state.connection(stream)));
            }
        });
        Ok(Self { addr, state })
    }

    /// Publishes an image of `count` new blobs of `size` bytes as `tag`.
    pub(crate) fn publish(&self, tag: &str, size: u64, count: usize) -> Vec<Arc<Blob>> {
        let state = &self.state;
        let blobs: Vec<_> = (0..count)
            .map(|_| {
                let number = state.published.fetch_add(1, Ordering::Relaxed);
                state.corpus.blob(size, number)
            })
            .collect();
        let manifest = Arc::new(Manifest::of(&blobs));
        let mut known = state.blobs.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(
            blobs
                .iter()
                .map(|blob| (blob.digest.clone(), Arc::clone(blob))),
        );
        let mut manifests = state
            .manifests
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        manifests.insert(manifest.digest.clone(), Arc::clone(&manifest));
        manifests.insert(tag.to_owned(), manifest);
        blobs
    }

    /// From now on all connections together send `rate` bytes a second; `None` for no limit.
    pub(crate) fn pace(&self, rate: Option<u64>) {
        self.state.link.pace(rate);
    }

    /// What it was asked so far.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            blob_gets: self.state.blob_gets.load(Ordering::Relaxed),
            blob_bytes: self.state.blob_bytes.load(Ordering::Relaxed),
        }
    }
}

impl Manifest {
    fn of(blobs: &[Arc<Blob>]) -> Self {
        let descriptor = |kind: &str, blob: &Blob| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{kind}"),
                "digest": blob.digest,
                "size": blob.size,
            })
        };
        let layers: Vec<_> = blobs
            .iter()
            .map(|blob| descriptor("layer.v1.tar+gzip", blob))
            .collect();
        let json = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor("config.v1+json", &blobs[0]),
            "layers": layers,
        })
        .to_string()
        .into_bytes();
        Self {
            digest: digest_of(Sha256::new_with_prefix(&json)),
            json,
        }
    }
}

/// A request's head, as far as the origin cares.
struct Request {
    head: bool,
    path: String,
    range: Option<String>,
}

impl State {
    /// Answers one connection until it ends.
    fn connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::with_capacity(16 * 1024);
        while let Some(request) = read_request(&mut stream, &mut buffer)? {
            self.answer(&mut stream, &request)?;
        }
        Ok(())
    }

    fn answer(&self, stream: &mut TcpStream, request: &Request) -> std::io::Result<()> {
        let prefix = format!("/v2/{REPOSITORY}/");
        let path = request.path.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix(&prefix).unwrap_or_default();
        if path == "/v2/" || path == "/v2" {
            let type_json = "Content-Type: application/json";
            return send_small(stream, request.head, ("200 OK", type_json), b"{}");
        }
        if let Some(reference) = rest.strip_prefix("manifests/") {
            let manifests = self
                .manifests
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(manifest) = manifests.get(reference).cloned() {
                drop(manifests);
                let digest = &manifest.digest;
                let fields = format!(
                    "Content-Type: {MANIFEST_TYPE}\r\nDocker-Content-Digest: {digest}\r\n\
                     ETag: \"{digest}\""
                );
                return send_small(stream, request.head, ("200 OK", &fields), &manifest.json);
            }
        }
        if let Some(digest) = rest.strip_prefix("blobs/") {
            let blobs = self.blobs.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(blob) = blobs.get(digest).cloned() {
                drop(blobs);
                return self.send_blob(stream, request, &blob);
            }
        }
        let body =
            br#"{"errors":[{"code":"NAME_UNKNOWN","message":"the origin has no such thing"}]}"#;
        let fields = "Content-Type: application/json";
        send_small(stream, request.head, ("404 Not Found", fields), body)
    }

    fn send_blob(
        &self,
        stream: &mut TcpStream,
        request: &Request,
        blob: &Blob,
    ) -> std::io::Result<()> {
        let size = blob.size;
        let part = request.range.as_deref().and_then(|text| range(text, size));
        let status = match &part {
            Some(part) => format!(
                "206 Partial Content\r\nContent-Range: bytes {}-{}/{size}",
                part.start,
                part.end - 1
            ),
            None => String::from("200 OK"),
        };
        let part = part.unwrap_or(0..size);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
             Docker-Content-Digest: {digest}\r\nETag: \"{digest}\"\r\nAccept-Ranges: bytes\r\n\
             Docker-Distribution-Api-Version: registry/2.0\r\n\r\n",
            part.end - part.start,
            digest = blob.digest,
        );
        stream.write_all(head.as_bytes())?;
        if request.head {
            return Ok(());
        }
        self.blob_gets.fetch_add(1, Ordering::Relaxed);
        self.send_part(stream, blob, part)
    }

    fn send_part(
        &self,
        stream: &mut TcpStream,
        blob: &Blob,
        part: Range<u64>,
    ) -> std::io::Result<()> {
        let border = blob.size - TRAILER;
        let mut offset = part.start;
        while offset < part.end.min(border) {
            let portion = self.link.portion(part.end.min(border) - offset);
            self.link.carry(portion);
            let until = offset + portion;
            while offset < until {
                let before = offset;
                let count = (until - offset) as usize;
                let at = Some(&mut offset);
                rustix::fs::sendfile(&*stream, &self.corpus.shared, at, count)?;
                self.blob_bytes
                    .fetch_add(offset - before, Ordering::Relaxed);
            }
        }
        if offset < part.end {
            let trailer = (offset - border) as usize..(part.end - border) as usize;
            stream.write_all(&blob.trailer[trailer])?;
            self.blob_bytes
                .fetch_add(part.end - offset, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The next request's head; `None` at the connection's end. `buffer` keeps what came after it.
fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<Option<Request>> {
    let mut chunk = [0; 4096];
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => buffer.extend_from_slice(&chunk[..read]),
        }
    };
    let text = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end);
    let mut lines = text.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let head = words.next() == Some("HEAD");
    let path = words.next().unwrap_or_default().to_owned();
    let range = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("range"))
        .map(|(_, value)| value.trim().to_owned());
    Ok(Some(Request { head, path, range }))
}

/// `bytes=N-` or `bytes=N-M` within `size`; anything else is ignored, as RFC 9110 (14.2) allows.
fn range(text: &str, size: u64) -> Option<Range<u64>> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start = start.parse().ok()?;
    let end = match last {
        "" => size,
        last => size.min(last.parse::<u64>().ok()?.saturating_add(1)),
    };
    (start < end).then_some(start..end)
}

fn send_small(
    stream: &mut TcpStream,
    head: bool,
    (status, fields): (&str, &str),
    body: &[u8],
) -> std::io::Result<()> {
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{fields}\r\nContent-Length: {}\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\n\r\n",
        body.len()
    )
    .into_bytes();
    if !head {
        answer.extend_from_slice(body);
    }
    stream.write_all(&answer)
}
