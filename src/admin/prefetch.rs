//! How the sets that are kept warm do, and how one is run now.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use serde_json::json;

use super::Readiness;
use super::answer::JSON;
use super::answer::TEXT;
use super::answer::respond;

/// Who runs the sets that are kept warm, as the admin listener sees it.
pub trait Prefetch: fmt::Debug + Send + Sync {
    /// How each set does, in figures.
    fn figures(&self) -> Vec<PrefetchFigures>;

    /// How each set does, in short.
    fn list(&self) -> Vec<Value>;

    /// How one set does, with all that its last run tells; `None` where there is no such set.
    fn show(&self, set: &str) -> Option<Value>;

    /// Runs a set now.
    fn trigger(&self, set: &str) -> Triggered;
}

/// What became of the wish to run a set now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Triggered {
    /// A run has begun, at that time.
    Started(String),
    /// A run that began at that time is under way.
    AlreadyRunning(String),
    /// There is no such set; these are there.
    Unknown(Vec<Arc<str>>),
    /// The proxy is ending.
    Closed,
}

/// How a set does, in figures.
#[derive(Clone, Debug, Default)]
pub struct PrefetchFigures {
    /// The set's name.
    pub set: Arc<str>,
    /// Whether a run is under way.
    pub is_running: bool,
    /// When it is run next by itself; seconds since 1970.
    pub next: Option<f64>,
    /// When the last run ended; seconds since 1970.
    pub last_run: Option<f64>,
    /// When the last run that did all ended; seconds since 1970.
    pub last_success: Option<f64>,
    /// How long the last run took, in seconds.
    pub last_duration: Option<f64>,
    /// Runs since the start of the proxy, by how they ended.
    pub runs: Vec<(&'static str, u64)>,
    /// Runs that were due while one was under way, and left out.
    pub missed: u64,
    /// Images of these runs, by what became of them.
    pub images: Vec<(&'static str, u64)>,
    /// Bytes that crossed the network for them, by where to.
    pub bytes: Vec<(&'static str, u64)>,
}

const ROOT: &str = "/api/v1/prefetch";

/// The set of `/api/v1/prefetch/<set>`.
pub(super) fn named(path: &str) -> Option<String> {
    let name = path.strip_prefix(ROOT)?.strip_prefix('/')?;
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

/// `GET /api/v1/prefetch`.
pub(super) fn list(readiness: &Readiness) -> Response<Full<Bytes>> {
    let body = json!({ "sets": short(readiness) });
    respond(StatusCode::OK, JSON, body.to_string())
}

/// How each set does, in short.
pub(super) fn short(readiness: &Readiness) -> Vec<Value> {
    let prefetch = readiness.prefetch();
    prefetch.map_or(Vec::new(), |prefetch| prefetch.list())
}

/// `GET /api/v1/prefetch/<set>`.
pub(super) fn show(readiness: &Readiness, set: &str) -> Response<Full<Bytes>> {
    let shown = readiness.prefetch().and_then(|prefetch| prefetch.show(set));
    match shown {
        Some(state) => respond(StatusCode::OK, JSON, state.to_string()),
        None => {
            let sets = readiness.prefetch().map(|prefetch| prefetch.figures());
            let sets = sets.unwrap_or_default().into_iter().map(|it| it.set);
            unknown(set, &sets.collect::<Vec<_>>())
        }
    }
}

/// `POST /api/v1/prefetch/<set>`.
pub(super) fn trigger<B>(
    readiness: &Readiness,
    set: &str,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    // A page in somebody's browser can send a form to wherever that somebody is let in.
    if request.headers().contains_key(header::ORIGIN) {
        let text = "this is not for pages of a browser\n";
        return respond(StatusCode::FORBIDDEN, TEXT, text);
    }
    let triggered = match readiness.prefetch() {
        Some(prefetch) => prefetch.trigger(set),
        None => Triggered::Unknown(Vec::new()),
    };
    match triggered {
        Triggered::Started(begun) => running(StatusCode::ACCEPTED, set, &begun, request),
        Triggered::AlreadyRunning(begun) => running(StatusCode::CONFLICT, set, &begun, request),
        Triggered::Unknown(sets) => unknown(set, &sets),
        Triggered::Closed => {
            let text = "tidegate is shutting down: nothing is begun any more\n";
            respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
    }
}

/// Says which run is under way, and where to watch it.
fn running<B>(
    status: StatusCode,
    set: &str,
    begun: &str,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let body = json!({ "set": set, "begun": begun, "see": path });
    let mut answer = respond(status, JSON, body.to_string());
    if let Ok(path) = HeaderValue::from_str(path) {
        answer.headers_mut().insert(header::LOCATION, path);
    }
    answer
}

fn unknown(set: &str, sets: &[Arc<str>]) -> Response<Full<Bytes>> {
    let text = if sets.is_empty() {
        "there are no sets: the configuration has no [[prefetch]]\n".to_owned()
    } else {
        let known = sets.join(", ");
        format!("there is no set '{set}' to prefetch; there is {known}\n")
    };
    respond(StatusCode::NOT_FOUND, TEXT, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_named_by_its_path() {
        assert_eq!(named("/api/v1/prefetch/a.b"), Some("a.b".to_owned()));
        assert_eq!(named("/api/v1/prefetch/a%20b"), Some("a b".to_owned()));
        for path in [
            "/api/v1/prefetch",
            "/api/v1/prefetch/",
            "/api/v1/prefetched",
            "/api/v1/prefetch/%ff",
        ] {
            assert_eq!(named(path), None, "{path}");
        }
    }
}
