//! What a registry gave, read from its headers and checked.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, LINK};

use super::Body;
use super::Error;
use super::body::Gathered;
use super::endpoint::Answer;
use super::endpoint::Endpoint;
use super::found::Found;
use crate::ledger::Fate;
use crate::ledger::Reason;
use crate::ledger::Unspent;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::Reference;
use crate::oci::media;

/// What a `HEAD` of a manifest said.
#[derive(Clone, Debug)]
pub struct ManifestHead {
    /// `Content-Type`, where there was one.
    pub media_type: Option<Arc<str>>,
    /// `Docker-Content-Digest`, where there was one.
    pub digest: Option<Digest>,
    /// `Content-Length`, where there was one.
    pub size: Option<u64>,
}

/// A manifest as it came.
#[derive(Debug)]
pub struct FetchedManifest {
    /// `Content-Type`, else [`crate::oci::media::of_manifest`].
    pub media_type: Arc<str>,
    /// The digest of `bytes`; equal to the one asked for, where it was asked for by digest.
    pub digest: Digest,
    /// Byte for byte.
    pub bytes: Bytes,
    /// What becomes of them is to be said here.
    pub unspent: Unspent,
}

/// A blob, or a part of one, that is about to come.
#[derive(Debug)]
pub struct FetchedBlob {
    /// Where `body` starts within the blob, in bytes: 0 where the registry ignored the range.
    pub offset: u64,
    /// Whether the registry honoured the range, with a 206.
    pub partial: bool,
    /// The whole blob's size, in bytes, where the registry said it.
    pub total: Option<u64>,
    /// The bytes, as they come.
    pub body: Body,
    /// Where it is, for further parts of it.
    pub found: Found,
}

/// A list of tags or referrers, passed on as it is.
#[derive(Debug)]
pub struct Listing {
    /// The JSON.
    pub bytes: Bytes,
    /// What becomes of it is to be said here.
    pub unspent: Unspent,
    /// `Content-Type`.
    pub media_type: Arc<str>,
    /// The query of the next page, from `Link; rel="next"`, without the question mark.
    pub next: Option<String>,
    /// `OCI-Filters-Applied`.
    pub filters: Option<String>,
}

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

impl ManifestHead {
    pub(super) fn of(answer: &Answer, reference: &Reference) -> Result<Self, Error> {
        let digest = text(&answer.headers, &DIGEST).and_then(|text| text.parse::<Digest>().ok());
        if let (Reference::Digest(asked), Some(got)) = (reference, &digest)
            && asked.algorithm() == got.algorithm()
            && asked != got
        {
            return Err(Error::Wrong(format!(
                "asked for {asked}, it answered {got}"
            )));
        }
        Ok(Self {
            media_type: text(&answer.headers, &CONTENT_TYPE).map(Into::into),
            digest,
            size: length(&answer.headers),
        })
    }
}

impl FetchedManifest {
    pub(super) fn of(answer: Answer, reference: &Reference) -> Result<Self, Error> {
        let (headers, Gathered { bytes, mut unspent }) = answer.gathered();
        let digest = Self::check(&headers, &bytes, reference);
        let digest =
            digest.inspect_err(|_| unspent.spend_all(Fate::Discarded(Reason::Mismatch)))?;
        let media_type =
            text(&headers, &CONTENT_TYPE).unwrap_or_else(|| media::of_manifest(&bytes));
        Ok(Self {
            media_type: media_type.into(),
            digest,
            bytes,
            unspent,
        })
    }

    /// Its digest, which must be the one that was asked for, and the one that it came with.
    fn check(headers: &HeaderMap, bytes: &[u8], reference: &Reference) -> Result<Digest, Error> {
        let promised = text(headers, &DIGEST).and_then(|text| text.parse::<Digest>().ok());
        if let Some(promised) = &promised {
            let got = digest_like(promised, bytes);
            if got != *promised {
                return Err(Error::Wrong(format!(
                    "its header says that the manifest is {promised}, but what came is {got}"
                )));
            }
        }
        let digest = match reference {
            Reference::Digest(asked) => digest_like(asked, bytes),
            Reference::Tag(_) => promised.unwrap_or_else(|| Digest::of(bytes)),
        };
        if let Reference::Digest(asked) = reference
            && *asked != digest
        {
            return Err(Error::Wrong(format!(
                "asked for the manifest {asked}, what came is {digest}"
            )));
        }
        Ok(digest)
    }
}

impl FetchedBlob {
    pub(super) fn of(
        (answer, at): (Answer, &Arc<Endpoint>),
        range: Option<&Range<u64>>,
    ) -> Result<Self, Error> {
        let length = length(&answer.headers);
        let found = Found::of(&answer, at);
        if answer.status != StatusCode::PARTIAL_CONTENT {
            return Ok(Self {
                offset: 0,
                partial: false,
                total: length,
                body: answer.body,
                found,
            });
        }
        let wrong = |why: String| Error::Wrong(format!("a 206 {why}"));
        let asked = range.ok_or_else(|| wrong("to a request without a range".into()))?;
        let part = text(&answer.headers, &CONTENT_RANGE)
            .and_then(Part::parse)
            .ok_or_else(|| wrong("without a Content-Range of bytes".into()))?;
        if part.bytes.start != asked.start || part.bytes.end > asked.end {
            return Err(wrong(format!(
                "with the bytes from {} up to {}, asked were those from {} up to {}",
                part.bytes.start, part.bytes.end, asked.start, asked.end
            )));
        }
        let size = part.bytes.end - part.bytes.start;
        if length.is_some_and(|length| length != size) {
            return Err(wrong(format!(
                "of {length:?} bytes, Content-Range says {size}"
            )));
        }
        Ok(Self {
            offset: part.bytes.start,
            partial: true,
            total: part.total,
            body: answer.body,
            found,
        })
    }
}

impl Listing {
    pub(super) fn of(answer: Answer) -> Self {
        let (headers, Gathered { bytes, unspent }) = answer.gathered();
        let media_type = text(&headers, &CONTENT_TYPE).unwrap_or("application/json");
        let links = headers.get_all(LINK).iter();
        let next = links
            .filter_map(|value| value.to_str().ok())
            .find_map(next_query);
        Self {
            bytes,
            unspent,
            media_type: media_type.into(),
            next,
            filters: text(&headers, &FILTERS).map(ToOwned::to_owned),
        }
    }
}

/// `Content-Length`, in bytes.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    number(headers, &CONTENT_LENGTH)
}

/// `Docker-Content-Digest`, where it is there and sound.
pub(super) fn digest(headers: &HeaderMap) -> Option<Digest> {
    digest_in(headers, &DIGEST)
}

/// A digest, where it is there and sound.
pub(super) fn digest_in(headers: &HeaderMap, name: &HeaderName) -> Option<Digest> {
    text(headers, name)?.parse().ok()
}

/// A number, where it is there and sound.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// A header's text, where it has any.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The digest of `bytes`, by the algorithm of another one.
pub(super) fn digest_like(other: &Digest, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(other.algorithm());
    hasher.update(bytes);
    hasher.finish()
}

/// `Content-Range: bytes 0-9/100` (RFC 9110, 14.4).
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub(super) bytes: Range<u64>,
    pub(super) total: Option<u64>,
}

impl Part {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let bytes = first.trim().parse().ok()?..last.trim().parse::<u64>().ok()?.checked_add(1)?;
        let total = match total.trim() {
            "*" => None,
            number => Some(number.parse().ok()?),
        };
        let is_sound = bytes.start < bytes.end && total.is_none_or(|total| bytes.end <= total);
        is_sound.then_some(Self { bytes, total })
    }
}

/// The query of `Link: </v2/a/tags/list?n=1&last=b>; rel="next"` (RFC 8288).
pub(super) fn next_query(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return false;
        };
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("rel") && value.eq_ignore_ascii_case("next")
    });
    let (_, query) = target.split_once('?')?;
    is_next.then(|| query.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_content_ranges() {
        let part = |bytes, total| Some(Part { bytes, total });
        assert_eq!(Part::parse("bytes 0-9/100"), part(0..10, Some(100)));
        assert_eq!(Part::parse("bytes 5-5/*"), part(5..6, None));
        for bad in [
            "bytes */100",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "items 0-9/100",
            "bytes 0-9",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(Part::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn reads_links() {
        let next = |link| next_query(link);
        let query = Some("last=b&n=1".to_owned());
        assert_eq!(next(r#"</v2/a/tags/list?last=b&n=1>; rel="next""#), query);
        assert_eq!(next("<https://h/v2/a?last=b&n=1>;title=x; rel=next"), query);
        for bad in [
            r#"</v2/a?n=1>; rel="prev""#,
            r#"</v2/a>; rel="next""#,
            "/v2/a?n=1",
            "",
        ] {
            assert_eq!(next(bad), None, "{bad}");
        }
    }
}
