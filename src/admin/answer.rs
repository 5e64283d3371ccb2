use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use http_body_util::Full;
use serde_json::json;

use crate::login::Login;
use crate::login::Refusal;

use super::Metrics;
use super::Readiness;
use super::prefetch;
use super::targets;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = prometheus::TEXT_FORMAT;
pub(super) const JSON: &str = "application/json";
const INDEX: &str = "tidegate\n\n\
    /healthz        whether the process is alive\n\
    /readyz         whether it can serve, and why not\n\
    /metrics        what it has done and how it does, for Prometheus\n\
    /api/v1/status  version, store, books, upstreams and targets, as JSON\n\
    /api/v1/targets what is owed to each target and what was done for it, as JSON\n\
    POST /api/v1/targets/NAME/forget?repository=REPOSITORY\n                    \
    forget what a target has, in one of its repositories or in all\n\
    /api/v1/prefetch      the sets that are kept warm, as JSON\n\
    /api/v1/prefetch/NAME one of them, with its last report, as JSON\n\
    POST /api/v1/prefetch/NAME\n                    \
    run one of them now\n";

/// Answers what one client asks.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) readiness: Readiness,
    pub(super) metrics: Arc<Metrics>,
    pub(super) login: Option<Arc<Login>>,
    pub(super) client: IpAddr,
}

impl Desk {
    /// Answers one request.
    pub(super) async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let (forgetting, set) = (targets::forgetting(path), prefetch::named(path));
        let allowed = match (forgetting, &set) {
            (Some(_), _) => &[Method::POST][..],
            (_, Some(_)) => &[Method::GET, Method::HEAD, Method::POST],
            _ => &[Method::GET, Method::HEAD],
        };
        if !allowed.contains(request.method()) {
            return refuse_method(allowed);
        }
        // Whoever watches over the process has no login.
        if path == "/healthz" {
            return respond(StatusCode::OK, TEXT, "ok\n");
        }
        if let Some(login) = &self.login
            && let Err(refusal) = login.admit(request.headers(), self.client).await
        {
            return refuse(refusal);
        }
        if let Some(target) = forgetting {
            return targets::forget(&self.readiness, target, request).await;
        }
        if let Some(set) = set {
            return match *request.method() {
                Method::POST => prefetch::trigger(&self.readiness, &set, request),
                _ => prefetch::show(&self.readiness, &set),
            };
        }
        match path {
            "/" => respond(StatusCode::OK, TEXT, INDEX),
            "/readyz" => ready(&self.readiness).await,
            "/metrics" => self.metrics().await,
            "/api/v1/status" => respond(StatusCode::OK, JSON, self.readiness.status().to_string()),
            "/api/v1/targets" => targets::list(&self.readiness),
            "/api/v1/prefetch" => prefetch::list(&self.readiness),
            path => {
                let text = format!("there is nothing at '{path}'; see /\n");
                respond(StatusCode::NOT_FOUND, TEXT, text)
            }
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let page = self.metrics.page(&self.readiness, self.login.as_deref());
        match page.await {
            Ok(page) => respond(StatusCode::OK, METRICS, page),
            Err(error) => {
                let text = format!("the metrics can't be written down: {error}\n");
                tracing::error!("{}", text.trim_end());
                respond(StatusCode::INTERNAL_SERVER_ERROR, TEXT, text)
            }
        }
    }
}

fn refuse_method(allowed: &[Method]) -> Response<Full<Bytes>> {
    let allowed: Vec<_> = allowed.iter().map(Method::as_str).collect();
    let allowed = allowed.join(", ");
    let text = format!("only {} is answered here\n", allowed.replace(", ", " and "));
    let mut refusal = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        refusal.headers_mut().insert(header::ALLOW, allowed);
    }
    refusal
}

fn refuse(refusal: Refusal) -> Response<Full<Bytes>> {
    match refusal {
        Refusal::Missing | Refusal::Wrong => {
            let text = "log in, as a user of server.admin_login\n";
            let mut answer = respond(StatusCode::UNAUTHORIZED, TEXT, text);
            let challenge = HeaderValue::from_static("Basic realm=\"tidegate admin\"");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            answer
        }
        Refusal::Throttled(pause) => {
            let text = "too many logins were wrong; try again later\n";
            let mut answer = respond(StatusCode::TOO_MANY_REQUESTS, TEXT, text);
            let seconds = HeaderValue::from(pause.as_secs() + 1);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
            answer
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

pub(super) fn respond(
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
