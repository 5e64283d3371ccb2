//! The wire's side of the origin: reads requests, sends answers.

use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::ops::Range;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::MANIFEST_TYPE;
use super::REPOSITORY;
use super::State;
use crate::corpus::Blob;
use crate::corpus::TRAILER;
use crate::link::Link;

/// Who asks.
struct Peer {
    stream: TcpStream,
    /// What the connection may send.
    own: Link,
}

/// A request's head, as far as the origin cares.
struct Request {
    head: bool,
    path: String,
    range: Option<String>,
}

impl State {
    /// Answers one connection until it ends.
    pub(super) fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        let mut buffer = Vec::with_capacity(16 * 1024);
        let mut peer = Peer {
            stream,
            own: Link::new(),
        };
        while let Some(request) = read_request(&mut peer.stream, &mut buffer)? {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.answer(&mut peer, &request)?;
        }
        Ok(())
    }

    fn answer(&self, peer: &mut Peer, request: &Request) -> std::io::Result<()> {
        let stream = &mut peer.stream;
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
                return self.send_blob(peer, request, &blob);
            }
        }
        let body =
            br#"{"errors":[{"code":"NAME_UNKNOWN","message":"the origin has no such thing"}]}"#;
        let fields = "Content-Type: application/json";
        send_small(stream, request.head, ("404 Not Found", fields), body)
    }

    fn send_blob(&self, peer: &mut Peer, request: &Request, blob: &Blob) -> std::io::Result<()> {
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
        peer.stream.write_all(head.as_bytes())?;
        if request.head {
            return Ok(());
        }
        self.blob_gets.fetch_add(1, Ordering::Relaxed);
        let each = self.each.load(Ordering::Relaxed);
        peer.own.pace((each > 0).then_some(each));
        self.send_part(peer, blob, part)
    }

    fn send_part(&self, peer: &mut Peer, blob: &Blob, part: Range<u64>) -> std::io::Result<()> {
        let Peer { stream, own } = peer;
        let border = blob.size - TRAILER;
        let mut offset = part.start;
        while offset < part.end.min(border) {
            let portion = own.portion(self.link.portion(part.end.min(border) - offset));
            self.link.carry(portion);
            own.carry(portion);
            let until = offset + portion;
            while offset < until {
                let before = offset;
                let count = (until - offset) as usize;
                let at = Some(&mut offset);
                rustix::fs::sendfile(&mut *stream, &self.corpus.shared, at, count)?;
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
