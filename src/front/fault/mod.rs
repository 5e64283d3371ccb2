//! What a client hears when it can't have what it asked for: the one place that chooses a status
//! and an OCI error code (distribution spec, "Error Codes").

use std::fmt::Display;

use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header;
use serde_json::json;

use crate::oci::Repository;

use super::payload::Payload;

mod flow;

pub(super) use flow::whole_seconds;

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct Fault {
    /// The status.
    pub(super) status: StatusCode,
    /// The OCI error code.
    pub(super) code: &'static str,
    message: String,
    detail: serde_json::Value,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            detail: serde_json::Value::Null,
            headers: Vec::new(),
        }
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says which content the fault is about.
    pub(super) fn about(mut self, repository: &Repository, reference: &str) -> Self {
        self.detail = json!({
            "upstream": repository.upstream.as_str(),
            "name": repository.name.as_str(),
        });
        if !reference.is_empty() {
            self.detail["reference"] = reference.into();
        }
        self
    }

    /// There is nothing at `path`.
    pub(super) fn no_endpoint(path: &str) -> Self {
        let message = format!(
            "there is nothing at '{}': this is a registry, which answers GET and HEAD of \
             /v2/<name>/manifests, /blobs, /tags/list and /referrers",
            shorten(path)
        );
        Self::new(StatusCode::NOT_FOUND, "UNSUPPORTED", message)
    }

    /// A method that would change something.
    pub(super) fn read_only(method: &Method) -> Self {
        let message =
            format!("{method} is not supported: this is a mirror; push to the upstream instead");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", message)
            .with(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
    }

    /// A registry is named that is not configured.
    pub(super) fn unknown_upstream(name: &str) -> Self {
        let message = format!(
            "'{}' is not a configured upstream: add an [[upstream]] with this name",
            shorten(name)
        );
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    /// No registry is named, and none is the default.
    pub(super) fn no_upstream(name: &str) -> Self {
        let message = format!(
            "'{0}' names no upstream, and none is the default: ask for <upstream>/{0}, or send \
             ns=<upstream>",
            shorten(name)
        );
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", message)
    }

    /// Not a repository's name.
    pub(super) fn bad_name(error: &impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", error.to_string())
    }

    /// Not a digest.
    pub(super) fn bad_digest(error: &impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", error.to_string())
    }

    /// Not a tag, so no manifest can have it.
    pub(super) fn bad_tag(repository: &Repository, error: &impl Display) -> Self {
        let message = format!("{repository}: {error}");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", message).about(repository, "")
    }

    /// Not a number of entries.
    pub(super) fn bad_page(n: &str) -> Self {
        let message = format!("n must be a number of entries, not '{}'", shorten(n));
        Self::new(
            StatusCode::BAD_REQUEST,
            "PAGINATION_NUMBER_INVALID",
            message,
        )
    }

    /// A range beyond the end of `size` bytes.
    pub(super) fn unsatisfiable(size: u64) -> Self {
        let message = format!("the range is beyond the end of {size} bytes");
        let fault = Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_INVALID", message);
        match HeaderValue::try_from(format!("bytes */{size}")) {
            Ok(value) => fault.with(header::CONTENT_RANGE, value),
            Err(_) => fault,
        }
    }

    /// The upstream's list can't be passed on.
    pub(super) fn bad_link(repository: &Repository) -> Self {
        let message = format!("{repository}: the upstream's Link to the next page is malformed");
        Self::new(StatusCode::BAD_GATEWAY, "UNAVAILABLE", message).about(repository, "")
    }

    /// The answer, without what depends on the request's method.
    pub(super) fn into_response(self) -> Response<Payload> {
        let body = json!({"errors": [{
            "code": self.code,
            "message": self.message,
            "detail": self.detail,
        }]});
        let body = Bytes::from(body.to_string());
        let length = HeaderValue::from(body.len());
        let mut response = Response::new(Payload::own(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CONTENT_LENGTH, length);
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(255).collect()
}
