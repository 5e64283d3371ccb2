//! Manifests and blobs, answered as CNCF Distribution does.

use http::HeaderName;
use http::StatusCode;
use http::header::ACCEPT;
use http::header::ACCEPT_RANGES;
use http::header::CACHE_CONTROL;
use http::header::CONTENT_RANGE;
use http::header::CONTENT_TYPE;
use http::header::ETAG;
use http::header::IF_NONE_MATCH;
use http::header::RANGE;

use crate::content::Content;
use crate::server::DOCKER_CONTENT_DIGEST;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::upstream::range::Asked;
use crate::upstream::repositories::Manifest;
use crate::upstream::repositories::Repositories;
use crate::upstream::repositories::Repository;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A manifest by tag or digest. With `strict`, only in a media type that `Accept` lists: an index
/// that isn't listed becomes its linux/amd64 manifest, anything else a 404.
pub(crate) fn manifest(
    all: &Repositories,
    (name, reference): (&str, &str),
    ask: &Ask,
    strict: bool,
) -> Answer {
    let found = all.read(name, |repository| {
        let manifest = repository.manifest(reference)?;
        if strict {
            acceptable(repository, manifest, ask).cloned()
        } else {
            Some(manifest.clone())
        }
    });
    let manifest = match found {
        None => return unknown_name(name),
        Some(None) => {
            let message = format!("manifest unknown: {reference}");
            return Answer::error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", &message);
        }
        Some(Some(manifest)) => manifest,
    };
    if is_known(ask, &manifest.digest) {
        return Answer::empty(StatusCode::NOT_MODIFIED).with(ETAG, &quoted(&manifest.digest));
    }
    Answer::new(StatusCode::OK, manifest.bytes.into())
        .with(CONTENT_TYPE, &manifest.media_type)
        .with(DOCKER_CONTENT_DIGEST, &manifest.digest)
        .with(ETAG, &quoted(&manifest.digest))
}

fn acceptable<'a>(
    repository: &'a Repository,
    manifest: &'a Manifest,
    ask: &Ask,
) -> Option<&'a Manifest> {
    let accepts = |media_type: &str| {
        let values = ask
            .headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut types = values.flat_map(|value| value.split(','));
        types.any(|listed| listed.split(';').next().unwrap_or_default().trim() == media_type)
    };
    if accepts(&manifest.media_type) {
        return Some(manifest);
    }
    if !INDEXES.contains(&manifest.media_type.as_str()) {
        return None;
    }
    let index: serde_json::Value = serde_json::from_slice(&manifest.bytes).ok()?;
    let child = index["manifests"].as_array()?.iter().find(|child| {
        child["platform"]["os"] == "linux" && child["platform"]["architecture"] == "amd64"
    })?;
    let child = repository.manifest(child["digest"].as_str()?)?;
    accepts(&child.media_type).then_some(child)
}

/// A blob of this repository, whole or one range of it.
pub(crate) fn blob(all: &Repositories, name: &str, digest: &str, ask: &Ask) -> Answer {
    match all.read(name, |repository| repository.blobs.get(digest).cloned()) {
        None => unknown_name(name),
        Some(None) => {
            let message = format!("blob unknown to registry: {digest}");
            Answer::error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", &message)
        }
        Some(Some(_)) if is_known(ask, digest) => {
            Answer::empty(StatusCode::NOT_MODIFIED).with(ETAG, &quoted(digest))
        }
        Some(Some(content)) => ranged(content, ask)
            .with(DOCKER_CONTENT_DIGEST, digest)
            .with(CACHE_CONTROL, "max-age=31536000")
            .with(ETAG, &quoted(digest)),
    }
}

/// Content of no special meaning, whole or one range of it.
pub(crate) fn ranged(content: Content, ask: &Ask) -> Answer {
    let length = content.len();
    let answer = match Asked::of(ask.header(&RANGE), length) {
        Asked::Whole => Answer::new(StatusCode::OK, content),
        Asked::Nothing => Answer::empty(StatusCode::RANGE_NOT_SATISFIABLE)
            .with(CONTENT_RANGE, &format!("bytes */{length}")),
        Asked::Part(first, count) => {
            let range = format!("bytes {first}-{}/{length}", first + count - 1);
            let answer = Answer::new(StatusCode::PARTIAL_CONTENT, content);
            Answer {
                part: (first, count),
                ..answer
            }
            .with(CONTENT_RANGE, &range)
        }
    };
    answer
        .with(CONTENT_TYPE, "application/octet-stream")
        .with(ACCEPT_RANGES, "bytes")
}

pub(crate) fn unknown_name(name: &str) -> Answer {
    let message = format!("repository name not known to registry: {name}");
    Answer::error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", &message)
}

fn is_known(ask: &Ask, digest: &str) -> bool {
    let known = |name: &HeaderName| ask.header(name).unwrap_or_default().to_owned();
    known(&IF_NONE_MATCH)
        .split(',')
        .any(|tag| tag.trim().trim_matches('"') == digest)
}

fn quoted(digest: &str) -> String {
    format!("\"{digest}\"")
}
