//! From a request to a response: recorded, answered by the handler, spoilt by the script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http::header::CONTENT_RANGE;
use http::header::HOST;
use http::header::LOCATION;
use http::header::RANGE;
use hyper::body::Incoming;

use crate::fault::Plan;
use crate::record::Ended;
use crate::record::Recorded;
use crate::server::Shared;
use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::server::body::Exchange;
use crate::server::body::Scripted;
use crate::server::taking::Taking;
use crate::server::wire::Kill;

/// What belongs to one connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: SocketAddr,
    pub(crate) kill: Arc<Kill>,
}

/// Answers one request.
pub(crate) async fn respond(
    connection: Connection,
    request: Request<Incoming>,
) -> Result<Response<Scripted>, Infallible> {
    let shared = connection.shared.clone();
    let recorded = record(&request, connection.peer);
    let mut plan = shared.script.strike(&recorded);
    let admitted = shared.script.admit(&recorded, &mut plan);
    let delay = admitted.iter().map(|it| it.delay).max();
    let mut ask = Ask::new(&recorded, shared.scheme);
    let exchange = Exchange {
        log: shared.log.clone(),
        entry: shared.log.add(recorded),
        _admitted: admitted,
    };
    let taking = Taking {
        exchange: &exchange,
        plan: &plan,
        kill: &connection.kill,
    };
    let taken = taking
        .take(request.into_body(), shared.handler.intake(&ask))
        .await;
    if let Some(delay) = delay.filter(|delay| !delay.is_zero()) {
        tokio::time::sleep(delay).await;
    }
    if let Some(gate) = &plan.stall_header {
        gate.opened().await;
    }
    if plan.ignore_range {
        ask.headers.remove(RANGE);
    }
    let mut answer = match (plan.status, taken) {
        (Some(status), _) => spoilt(status, plan.code.as_deref()),
        (None, Some(body)) => {
            ask.body = body;
            shared.handler.answer(&ask)
        }
        // Nobody is there to read it.
        (None, None) => Answer::empty(StatusCode::BAD_REQUEST),
    };
    if let Some(cut) = plan.lose_answer {
        connection.kill.arm(cut);
        return std::future::pending().await;
    }
    spoil_part(&mut answer, &plan);
    spoil_headers(&mut answer, &plan, &ask);
    Ok(send(
        connection,
        exchange,
        (ask.method == Method::HEAD, answer),
        plan,
    ))
}

fn record(request: &Request<Incoming>, peer: SocketAddr) -> Recorded {
    let (uri, headers) = (request.uri(), request.headers());
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(|authority| authority.as_str()));
    Recorded {
        method: request.method().clone(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        host: host.unwrap_or_default().to_owned(),
        version: request.version(),
        headers: headers.clone(),
        peer,
        request_bytes: 0,
        status: None,
        body_bytes_sent: 0,
        ended: Ended::Open,
    }
}

/// The answer to a request that a fault gives another status.
fn spoilt(status: StatusCode, code: Option<&str>) -> Answer {
    let code = code.unwrap_or(match status {
        StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
        StatusCode::FORBIDDEN => "DENIED",
        StatusCode::NOT_FOUND => "NAME_UNKNOWN",
        StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
        _ if status.is_success() || status.is_redirection() => return Answer::empty(status),
        _ => "UNKNOWN",
    });
    Answer::error(status, code, "a fault of the script")
}

fn spoil_part(answer: &mut Answer, plan: &Plan) {
    if let Some(first) = plan.other_range {
        let all = answer.content.len();
        let range = format!("bytes {first}-{}/{all}", all - 1);
        answer.part = (first, all - first);
        answer.status = StatusCode::PARTIAL_CONTENT;
        answer.headers.insert(CONTENT_RANGE, value(&range));
    }
    if let Some(length) = plan.length {
        answer.part.1 = length;
    }
    if let Some(status) = plan.relabel {
        answer.status = status;
    }
}

fn spoil_headers(answer: &mut Answer, plan: &Plan, ask: &Ask) {
    let headers = &mut answer.headers;
    if plan.wrong_digest_header {
        let wrong = format!("sha256:{}", "0".repeat(64));
        headers.insert(super::DOCKER_CONTENT_DIGEST, value(&wrong));
    }
    if let Some(base) = &plan.redirect_base {
        let query = if ask.query.is_empty() {
            String::new()
        } else {
            format!("?{}", ask.query)
        };
        headers.insert(LOCATION, value(&format!("{base}{}{query}", ask.path)));
    }
    for (name, _) in &plan.headers {
        headers.remove(name);
    }
    for (name, value) in &plan.headers {
        headers.append(name, value.clone());
    }
    for name in &plan.without {
        headers.remove(name);
    }
}

fn send(
    connection: Connection,
    exchange: Exchange,
    (is_head, answer): (bool, Answer),
    plan: Plan,
) -> Response<Scripted> {
    exchange.log.update(&exchange.entry, |recorded| {
        recorded.status = Some(answer.status)
    });
    let length = answer.part.1.saturating_add_signed(plan.wrong_length);
    let has_length = !plan.no_content_length
        && !plan.endless
        && !plan.without.contains(&CONTENT_LENGTH)
        && answer.status != StatusCode::NOT_MODIFIED;
    let body = if is_head || answer.status == StatusCode::NOT_MODIFIED {
        // The body of a HEAD has no size of its own: the header tells that of the GET.
        let plan = Plan {
            no_content_length: true,
            ..Plan::default()
        };
        Scripted::new(
            exchange,
            connection.kill,
            (Bytes::new().into(), (0, 0)),
            plan,
        )
    } else {
        Scripted::new(
            exchange,
            connection.kill,
            (answer.content, answer.part),
            plan,
        )
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    if has_length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("a header value")
}
