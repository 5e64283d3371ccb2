//! What a handler is asked, and what it answers, before faults are applied.

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;

use crate::content::Content;
use crate::record::Recorded;
use crate::server::intake::Intake;

/// Decides what a server says. Pure: no clock, no wire.
pub(crate) trait Handler: Send + Sync + 'static {
    fn answer(&self, ask: &Ask) -> Answer;

    /// What the body of `ask`, of which only the header has come, is added to.
    fn intake(&self, ask: &Ask) -> Intake {
        let _ = ask;
        Intake::default()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    /// `http://<host>` or `https://<host>`, as the client addressed us.
    pub(crate) base: String,
    pub(crate) headers: HeaderMap,
    /// The body; empty as long as it has not come.
    pub(crate) body: Intake,
}

impl Ask {
    /// The request as its header tells it.
    pub(crate) fn new(recorded: &Recorded, scheme: &str) -> Self {
        Self {
            base: format!("{scheme}://{}", recorded.host),
            method: recorded.method.clone(),
            path: recorded.path.clone(),
            query: recorded.query.clone(),
            headers: recorded.headers.clone(),
            body: Intake::default(),
        }
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All values of a query key, decoded.
    pub(crate) fn query_all(&self, key: &str) -> Vec<String> {
        form(self.query.as_bytes(), key)
    }

    /// The first value of a query key, decoded.
    pub(crate) fn query(&self, key: &str) -> Option<String> {
        self.query_all(key).into_iter().next()
    }
}

/// All values of `key` in an `application/x-www-form-urlencoded` text.
pub(crate) fn form(text: &[u8], key: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(text);
    pairs
        .filter(|(name, _)| name == key)
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// An answer to a GET; the server leaves the body out where the method is HEAD.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    /// The part of the content that is the body: first byte and length.
    pub(crate) part: (u64, u64),
}

impl Answer {
    /// The whole of `content`.
    pub(crate) fn new(status: StatusCode, content: Content) -> Self {
        let part = (0, content.len());
        Self {
            status,
            headers: HeaderMap::new(),
            content,
            part,
        }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self::new(status, Bytes::new().into())
    }

    pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        let body = Bytes::from(value.to_string());
        Self::new(status, body.into()).with(CONTENT_TYPE, "application/json; charset=utf-8")
    }

    /// The error body of the OCI distribution spec ("Error Codes").
    pub(crate) fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let error = json!({"code": code, "message": message, "detail": null});
        Self::json(status, &json!({"errors": [error]}))
    }

    /// # Panics
    /// Where `value` can't be in a header: a mistake in a test.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.insert(name, value);
        self
    }
}
