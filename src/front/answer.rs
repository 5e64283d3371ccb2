//! What a client gets: the header that goes with what was served.

use std::ops::Range;

use bytes::BufMut as _;
use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Response;
use http::StatusCode;
use http::header;

use crate::flow::Listing;
use crate::flow::Served;
use crate::ledger::Origin;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::oci::media;

use super::payload::Payload;
use super::payload::Subject;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// More headers than an answer has, so that the map never grows.
const HEADERS: usize = 16;

/// A manifest or a blob, or a part of one.
pub(super) fn content(served: Served, repository: &Repository) -> Response<Payload> {
    let size = served.descriptor.size;
    let mut headers = about(&served);
    let media_type = HeaderValue::from_str(&served.descriptor.media_type)
        .unwrap_or(HeaderValue::from_static(media::OCTET_STREAM));
    headers.insert(header::CONTENT_TYPE, media_type);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let (status, length) = match &served.part {
        Some(part) => {
            headers.insert(header::CONTENT_RANGE, content_range(part, size));
            (StatusCode::PARTIAL_CONTENT, part.end - part.start)
        }
        None => (StatusCode::OK, size),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let subject = Subject {
        repository: repository.clone(),
        digest: served.descriptor.digest,
    };
    let body = Payload::from_flow((served.body, served.origin), length, subject);
    respond(status, headers, body)
}

/// The client holds it already.
pub(super) fn not_modified(served: &Served) -> Response<Payload> {
    let headers = about(served);
    respond(StatusCode::NOT_MODIFIED, headers, Payload::empty())
}

/// A list of tags or referrers; `link` is the address of the next page.
pub(super) fn list(listing: Listing, link: Option<HeaderValue>) -> Response<Payload> {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    let media_type = HeaderValue::from_str(&listing.media_type).unwrap_or(JSON);
    headers.insert(header::CONTENT_TYPE, media_type);
    let filters = listing.filters.and_then(|f| HeaderValue::try_from(f).ok());
    headers.extend(filters.map(|filters| (FILTERS_APPLIED, filters)));
    headers.extend(link.map(|link| (header::LINK, link)));
    cached(&mut headers, listing.origin);
    whole(headers, Payload::of(listing.bytes, listing.origin.into()))
}

/// JSON of our own.
pub(super) fn json(text: impl Into<Bytes>, link: Option<HeaderValue>) -> Response<Payload> {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.extend(link.map(|link| (header::LINK, link)));
    whole(headers, Payload::own(text.into()))
}

/// What every answer says: that this is a registry, and for which upstream it speaks.
pub(super) fn sign(headers: &mut HeaderMap, upstream: Option<&UpstreamName>) {
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    let namespace = upstream.and_then(|name| HeaderValue::from_str(name.as_str()).ok());
    headers.extend(namespace.map(|name| (NAMESPACE, name)));
}

/// `</v2/...?query>; rel="next"` (RFC 8288); `None` where the query is none.
pub(super) fn link(path: &str, query: &str, ns: Option<&str>) -> Option<HeaderValue> {
    if query.contains(['<', '>', '"', ' ']) {
        return None;
    }
    let ns = ns.map(|ns| format!("&ns={ns}")).unwrap_or_default();
    HeaderValue::try_from(format!("<{path}?{query}{ns}>; rel=\"next\"")).ok()
}

fn whole(mut headers: HeaderMap, body: Payload) -> Response<Payload> {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.remaining()));
    respond(StatusCode::OK, headers, body)
}

fn respond(status: StatusCode, headers: HeaderMap, body: Payload) -> Response<Payload> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// What a 304 says as well: which content, and how fresh it is.
fn about(served: &Served) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    if let Some((tag, digest)) = tag_and_digest(&served.descriptor.digest) {
        headers.insert(header::ETAG, tag);
        headers.insert(CONTENT_DIGEST, digest);
    }
    if let Some(age) = served.age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    cached(&mut headers, served.origin);
    headers
}

/// The entity tag and the digest, as two views of one allocation.
fn tag_and_digest(digest: &Digest) -> Option<(HeaderValue, HeaderValue)> {
    let text = digest.as_str().as_bytes();
    let mut quoted = BytesMut::with_capacity(text.len() + 2);
    quoted.put_u8(b'"');
    quoted.put_slice(text);
    quoted.put_u8(b'"');
    let quoted = quoted.freeze();
    let bare = quoted.slice(1..=text.len());
    Some((
        HeaderValue::from_maybe_shared(quoted).ok()?,
        HeaderValue::from_maybe_shared(bare).ok()?,
    ))
}

fn cached(headers: &mut HeaderMap, origin: Origin) {
    let cache = match origin {
        Origin::Hit => "HIT",
        Origin::Joined => "JOIN",
        Origin::Filled => "MISS",
        Origin::Stale => "STALE",
        Origin::Bypassed => "BYPASS",
    };
    headers.insert(X_CACHE, HeaderValue::from_static(cache));
    if origin == Origin::Stale {
        let warning = HeaderValue::from_static("110 - \"Response is Stale\"");
        headers.insert(header::WARNING, warning);
    }
}

fn content_range(part: &Range<u64>, size: u64) -> HeaderValue {
    let text = format!("bytes {}-{}/{size}", part.start, part.end - 1);
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("bytes */*"))
}
