use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use serde_json::json;

use super::Readiness;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const INDEX: &str = "tidegate\n\n\
    /healthz        whether the process is alive\n\
    /readyz         whether it can serve, and why not\n\
    /api/v1/status  version, store and upstreams, as JSON\n";

/// Answers one request.
pub(super) async fn answer<B>(
    request: &Request<B>,
    readiness: &Readiness,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "only GET and HEAD are answered here\n";
        let mut refusal = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        let allow = HeaderValue::from_static("GET, HEAD");
        refusal.headers_mut().insert(header::ALLOW, allow);
        return refusal;
    }
    match request.uri().path() {
        "/" => respond(StatusCode::OK, TEXT, INDEX),
        "/healthz" => respond(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => ready(readiness).await,
        "/api/v1/status" => respond(StatusCode::OK, JSON, readiness.status().to_string()),
        path => {
            let text = format!("there is nothing at '{path}'; see /\n");
            respond(StatusCode::NOT_FOUND, TEXT, text)
        }
    }
}

async fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let problems = readiness.problems().await;
    let status = if problems.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({
        "ready": problems.is_empty(),
        "problems": problems,
        "upstreams": readiness.upstreams(),
    });
    respond(status, JSON, body.to_string())
}

fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
