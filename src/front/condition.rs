//! Conditions and ranges of a request (RFC 9110, sections 13 and 14). A content's only entity tag
//! is its digest, in quotes.

use http::HeaderMap;
use http::Method;
use http::header;
use http::request::Parts;
use http_range_header::EndPosition;
use http_range_header::RangeUnsatisfiableError;
use http_range_header::StartPosition;
use http_range_header::parse_range_header;

use crate::flow::ByteRange;
use crate::oci::Digest;

/// Whether the request has a condition that [`not_modified`] decides.
pub(super) fn has_if_none_match(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH)
}

/// Whether the client says that it holds `digest` already: weak comparison, in a list or `*`.
pub(super) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || is(tag.strip_prefix("W/").unwrap_or(tag), digest))
}

/// The part of `digest` that a `GET` wants; `None` for all of it: no range, several, one that is
/// malformed or of another unit, or an `If-Range` that names something else.
pub(super) fn range(request: &Parts, digest: &Digest) -> Option<ByteRange> {
    let range = request.headers.get(header::RANGE)?.to_str().ok()?;
    if request.method != Method::GET {
        return None;
    }
    match request.headers.get(header::IF_RANGE) {
        // Strong comparison: neither a weak tag nor a date is equal to anything of ours.
        Some(tag) if !tag.to_str().is_ok_and(|tag| is(tag, digest)) => None,
        _ => parse(range),
    }
}

/// With its quotes; without them too, as clients of registries happen to send it.
fn is(tag: &str, digest: &Digest) -> bool {
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    bare.unwrap_or(tag) == digest.as_str()
}

fn parse(header: &str) -> Option<ByteRange> {
    let (unit, set) = header.split_once('=')?;
    let parsed = if unit == "bytes" {
        parse_range_header(header)
    } else if unit.eq_ignore_ascii_case("bytes") {
        parse_range_header(&format!("bytes={set}"))
    } else {
        return None;
    };
    let ranges = match parsed {
        Ok(parsed) => parsed.ranges,
        // Well-formed, and never satisfiable.
        Err(RangeUnsatisfiableError::ZeroSuffix) if !set.contains(',') => {
            return Some(ByteRange::Suffix(0));
        }
        Err(_) => return None,
    };
    let [only] = ranges.as_slice() else {
        return None;
    };
    match (only.start, only.end) {
        (StartPosition::Index(start), EndPosition::LastByte) => Some(ByteRange::From(start)),
        (StartPosition::Index(start), EndPosition::Index(last)) => {
            (start <= last).then_some(ByteRange::Within(start, last))
        }
        (StartPosition::FromLast(length), _) => Some(ByteRange::Suffix(length)),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn reads_single_ranges() {
        for (header, expected) in [
            ("bytes=0-", Some(ByteRange::From(0))),
            ("bytes=5-9", Some(ByteRange::Within(5, 9))),
            ("bytes=5-5", Some(ByteRange::Within(5, 5))),
            ("bytes=-7", Some(ByteRange::Suffix(7))),
            ("bytes=-0", Some(ByteRange::Suffix(0))),
            ("Bytes=1-2", Some(ByteRange::Within(1, 2))),
            (
                "bytes=18446744073709551615-",
                Some(ByteRange::From(u64::MAX)),
            ),
            ("bytes=0-1,5-6", None),
            ("bytes=-0,0-", None),
            ("bytes=9-5", None),
            ("bytes=a-b", None),
            ("bytes=--1", None),
            ("bytes=", None),
            ("bytes", None),
            ("bytes=18446744073709551616-", None),
            ("items=0-1", None),
        ] {
            let request = parts("GET", &[("Range", header)]);
            assert_eq!(range(&request, &Digest::of(b"x")), expected, "{header}");
        }
        let head = parts("HEAD", &[("Range", "bytes=0-")]);
        assert_eq!(range(&head, &Digest::of(b"x")), None);
        assert_eq!(range(&parts("GET", &[]), &Digest::of(b"x")), None);
    }

    #[test]
    fn if_range_must_be_the_same_content() {
        let digest = Digest::of(b"x");
        for (tag, holds) in [
            (format!("\"{digest}\""), true),
            (format!("W/\"{digest}\""), false),
            (format!("\"{}\"", Digest::of(b"y")), false),
            ("Sat, 21 Nov 2026 10:28:13 GMT".to_owned(), false),
            ("*".to_owned(), false),
        ] {
            let request = parts("GET", &[("Range", "bytes=1-"), ("If-Range", &tag)]);
            assert_eq!(range(&request, &digest).is_some(), holds, "{tag}");
        }
    }

    #[test]
    fn knows_what_the_client_holds() {
        let digest = Digest::of(b"x");
        let other = Digest::of(b"y");
        for (tags, held) in [
            (format!("\"{digest}\""), true),
            (format!("W/\"{digest}\""), true),
            (digest.to_string(), true),
            ("*".to_owned(), true),
            (format!("\"{other}\", W/\"{digest}\""), true),
            (format!("\"{other}\""), false),
            (format!("\"{digest}x\""), false),
            (String::new(), false),
        ] {
            let request = parts("GET", &[("If-None-Match", &tags)]);
            assert_eq!(not_modified(&request.headers, &digest), held, "{tags}");
        }
        let (first, second) = (format!("\"{other}\""), format!("\"{digest}\""));
        let two = [("If-None-Match", &*first), ("If-None-Match", &*second)];
        assert!(not_modified(&parts("GET", &two).headers, &digest));
    }
}
