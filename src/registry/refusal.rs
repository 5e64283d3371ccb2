//! What a registry says when it does not give what was asked.

use std::collections::HashSet;
use std::time::Duration;
use std::time::SystemTime;

use bytes::Bytes;
use bytes::BytesMut;
use http::HeaderMap;
use http::Response;
use http::StatusCode;
use serde::Deserialize;

use super::Body;
use super::Error;
use super::fault::Again;
use super::fault::Fault;
use super::retry;
use super::sent::Sent;
use crate::ledger::Action;
use crate::ledger::Fate;
use crate::ledger::Reason;
use crate::oci::Digest;

/// As much of an error's body is read.
const LONGEST_BODY: usize = 64 << 10;
/// For as long.
const READING: Duration = Duration::from_secs(10);
/// As much of its message is passed on, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The failure that an answer other than 2xx is. Its words are left out where they repeat what was
/// sent to sign in: they go to clients and into logs.
pub(super) async fn fault(response: Response<Body>, action: Action) -> Fault {
    let (parts, mut body) = response.into_parts();
    let unused = body.take_sent();
    let bytes = tokio::time::timeout(READING, start_of(body, Reason::Error))
        .await
        .unwrap_or_default();
    let sent = parts.extensions.get::<Sent>();
    let words = match sent {
        Some(sent) if sent.is_repeated_in(&bytes) => Words::default(),
        _ => Words::of(&bytes),
    };
    let mut fault = classify(parts.status, &parts.headers, &words);
    if let Some(error) = of_write(action, parts.status, &words) {
        fault = Fault::lasting(error);
    }
    if let Some(mut unused) = unused {
        unused.spend_all(Fate::Discarded(fault.error.waste()));
    }
    fault
}

/// What an answer to a write means that it would not mean to a read.
fn of_write(action: Action, status: StatusCode, words: &Words) -> Option<Error> {
    use Action::{BlobMount, ManifestPut, UploadChunk, UploadFinish, UploadStart};
    let is_write = [
        BlobMount,
        ManifestPut,
        UploadChunk,
        UploadFinish,
        UploadStart,
    ];
    if !is_write.contains(&action) {
        return None;
    }
    match status.as_u16() {
        400 | 404 | 422 if action == ManifestPut && words.lacks_blobs() => {
            Some(Error::BlobUnknown(words.missing.clone()))
        }
        400 | 405 | 411 | 412 | 413 | 414 | 415 | 416 | 422 | 501 => Some(Error::Invalid {
            status: status.as_u16(),
            code: words.code.clone(),
            message: words.message(status),
        }),
        _ => None,
    }
}

/// Reads a short body to its end, so that its connection can be used again.
pub(super) async fn drain(body: Body) {
    const SHORT: Duration = Duration::from_secs(1);
    let _ = tokio::time::timeout(SHORT, start_of(body, Reason::Redirect)).await;
}

/// What is read of it is of no other use: it is discarded.
async fn start_of(mut body: Body, reason: Reason) -> Bytes {
    let mut start = BytesMut::new();
    while let Some(Ok(bytes)) = body.chunk().await {
        body.account().discard(reason, bytes.len() as u64);
        let room = LONGEST_BODY - start.len();
        start.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            break;
        }
    }
    start.freeze()
}

pub(super) fn classify(status: StatusCode, headers: &HeaderMap, words: &Words) -> Fault {
    let number = status.as_u16();
    let message = words.message(status);
    match number {
        404 | 410 => Fault::lasting(Error::NotFound {
            code: words.code.clone(),
        }),
        401 | 403 => Fault::lasting(Error::Refused {
            status: number,
            message,
            challenge: None,
        }),
        416 => Fault::lasting(Error::Unsatisfiable),
        429 => {
            let wait = retry::retry_after(headers, SystemTime::now());
            Fault {
                error: Error::Throttled { retry_after: wait },
                again: wait.map_or(Again::Backoff, Again::After),
            }
        }
        408 | 500 | 502 | 503 | 504 => {
            let wait = retry::retry_after(headers, SystemTime::now());
            Fault {
                error: Error::Status {
                    status: number,
                    message,
                },
                again: wait.map_or(Again::Backoff, Again::After),
            }
        }
        400.. => Fault::lasting(Error::Status {
            status: number,
            message,
        }),
        _ => Fault::wrong(format!("the status {status}, which answers nothing")),
    }
}

/// What the body said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Words {
    code: String,
    pub(super) text: String,
    /// The digests that the errors of a manifest's push name.
    missing: Vec<Digest>,
}

/// The OCI error body (distribution spec, "Error Codes"), and what token servers send instead.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    errors: Vec<Entry>,
    message: Option<String>,
    details: Option<String>,
    error_description: Option<String>,
    /// Quay's.
    error_message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    code: Option<String>,
    message: Option<String>,
    detail: Option<serde_json::Value>,
}

/// What registries call it when a manifest names what they have not: the specification's code, and
/// those of ECR and of others.
const LACKING: [&str; 4] = [
    "MANIFEST_BLOB_UNKNOWN",
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_UNKNOWN",
    "MANIFEST_UNKNOWN",
];

impl Entry {
    /// The digests that it names: in `detail` (a text, or an object with a `digest`), else in its
    /// words, where ECR has them.
    fn digests(&self) -> Vec<Digest> {
        let detail = self.detail.as_ref();
        let field = detail.map(|it| it.get("digest").or(it.get("Digest")).unwrap_or(it));
        let text = field.and_then(serde_json::Value::as_str);
        let found = |text: &str| -> Vec<Digest> {
            let is_end = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
            let words = text.split(is_end);
            words.filter_map(|word| word.parse().ok()).collect()
        };
        let detailed = text.map(found).unwrap_or_default();
        match &self.message {
            Some(message) if detailed.is_empty() => found(message),
            _ => detailed,
        }
    }
}

impl Words {
    pub(super) fn of(body: &[u8]) -> Self {
        if let Ok(said) = serde_json::from_slice::<Said>(body) {
            let mut missing: Vec<_> = said.errors.iter().flat_map(Entry::digests).collect();
            let mut seen = HashSet::new();
            missing.retain(|digest| seen.insert(digest.clone()));
            let first = said.errors.into_iter().next().unwrap_or_default();
            let text = first
                .message
                .or(said.message)
                .or(said.details)
                .or(said.error_description)
                .or(said.error_message);
            return Self {
                code: one_line(&first.code.unwrap_or_default()),
                text: one_line(&text.unwrap_or_default()),
                missing,
            };
        }
        let text = String::from_utf8_lossy(body);
        let is_markup = text.trim_start().starts_with('<');
        let is_json = text.trim_start().starts_with(['{', '[']);
        Self {
            code: String::new(),
            missing: Vec::new(),
            text: if is_markup || is_json {
                String::new()
            } else {
                one_line(&text)
            },
        }
    }

    /// Whether they say that a manifest names what is not there.
    fn lacks_blobs(&self) -> bool {
        LACKING.contains(&self.code.as_str())
    }

    fn message(&self, status: StatusCode) -> String {
        match (self.code.as_str(), self.text.as_str()) {
            ("", "") => status.canonical_reason().unwrap_or("no reason").to_owned(),
            ("", text) => text.to_owned(),
            (code, "") => code.to_owned(),
            (code, text) => format!("{code}: {text}"),
        }
    }
}

fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut line = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().take(LONGEST_MESSAGE));
        if line.chars().count() > LONGEST_MESSAGE {
            return line.chars().take(LONGEST_MESSAGE).chain(['…']).collect();
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> (String, String) {
        let Words { code, text, .. } = Words::of(body.as_bytes());
        (code, text)
    }

    #[test]
    fn reads_what_registries_say() {
        let oci = r#"{"errors":[{"code":"DENIED","message":"not\nyours","detail":{"a":1}}]}"#;
        assert_eq!(read(oci), ("DENIED".into(), "not yours".into()));
        let hub = r#"{"details":"incorrect username or password"}"#;
        assert_eq!(read(hub).1, "incorrect username or password");
        assert_eq!(read(r#"{"errors":[]}"#), Default::default());
        assert_eq!(read(r#"{"errors":"#), Default::default());
        assert_eq!(read("<html>no</html>"), Default::default());
        assert_eq!(read("slow\r\n\x1b[31mdown").1, "slow [31mdown");
        let long = "ä ".repeat(9000);
        assert_eq!(read(&long).1.chars().count(), LONGEST_MESSAGE + 1);
        let no_spaces = "a".repeat(9000);
        assert!(read(&no_spaces).1.chars().count() <= LONGEST_MESSAGE + 1);
    }

    #[test]
    fn reads_what_a_manifest_lacks() {
        let [a, b] = [Digest::of(b"a"), Digest::of(b"b")];
        let lacking = |body: &str| {
            let words = Words::of(body.as_bytes());
            let status = StatusCode::NOT_FOUND;
            match of_write(Action::ManifestPut, status, &words) {
                Some(Error::BlobUnknown(digests)) => Some(digests),
                _ => None,
            }
        };
        let both = || Some(vec![a.clone(), b.clone()]);
        let of =
            |detail: String| format!(r#"{{"code":"MANIFEST_BLOB_UNKNOWN","detail":{detail}}}"#);
        let (text, object) = (of(format!("\"{a}\"")), of(format!(r#"{{"digest":"{b}"}}"#)));
        let distribution = format!(r#"{{"errors":[{text},{object},{text}]}}"#);
        assert_eq!(lacking(&distribution), both());
        let ecr = format!(
            "{{\"errors\":[{{\"code\":\"BLOB_UPLOAD_UNKNOWN\",\"message\":\"Layers with digests \
             '[{a}, {b}]' required for pushing image into repository with name 'x' do not exist\"}}]}}"
        );
        assert_eq!(lacking(&ecr), both());
        let silent = r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#;
        assert_eq!(lacking(silent), Some(Vec::new()));
        let name = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#;
        assert_eq!(lacking(name), None);
    }

    #[test]
    fn tells_what_can_be_tried_again() {
        let again = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            classify(status, &HeaderMap::new(), &Words::default()).again
        };
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(again(status), Again::Backoff, "{status}");
        }
        for status in [204, 304, 400, 401, 403, 404, 405, 410, 416, 501, 505] {
            assert_eq!(again(status), Again::Never, "{status}");
        }
    }
}
