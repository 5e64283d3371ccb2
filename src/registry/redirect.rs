//! Redirects (RFC 9110, 15.4): each hop is an exchange of its own.

use http::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, LOCATION};
use url::Url;

use super::Body;
use super::fault::Fault;
use super::refusal;
use super::wire::Outgoing;
use super::wire::Subject;
use super::wire::Wire;
use super::wire::host_of;
use crate::ledger::Action;

const MOST_HOPS: usize = 5;

/// An answer that is no redirect.
pub(super) struct Landed {
    /// The answer.
    pub(super) response: Response<Body>,
    /// Whether it came from the host that was asked first, who alone may see credentials.
    pub(super) at_origin: bool,
    /// Who answered.
    pub(super) host: String,
}

/// Sends a `GET` or a `HEAD` and follows where it is sent to. Credentials stay behind when host,
/// port or scheme change, and a connection is never made less safe.
pub(super) async fn follow(
    wire: &Wire,
    mut outgoing: Outgoing,
    subject: &Subject,
) -> Result<Landed, Fault> {
    let mut subject = subject.clone();
    let mut at_origin = true;
    for _ in 0..=MOST_HOPS {
        let response = wire.exchange(&outgoing, &subject).await?;
        if !is_redirect(response.status()) {
            let host = host_of(&outgoing.url);
            return Ok(Landed {
                response,
                at_origin,
                host,
            });
        }
        let next = target(&outgoing.url, &response)?;
        refusal::drain(response.into_body()).await;
        if next.origin() != outgoing.url.origin() {
            at_origin = false;
            outgoing.headers.remove(AUTHORIZATION);
        }
        outgoing.url = next;
        subject.action = Action::Redirect;
    }
    let host = host_of(&outgoing.url);
    Err(Fault::wrong(format!(
        "redirected more than {MOST_HOPS} times, last to {host}"
    )))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads. Its query may hold a signature, so no error shows it.
fn target(from: &Url, response: &Response<Body>) -> Result<Url, Fault> {
    let host = host_of(from);
    let location = response.headers().get(LOCATION);
    let mut next = location
        .and_then(|value| value.to_str().ok())
        .and_then(|text| from.join(text).ok())
        .ok_or_else(|| Fault::wrong(format!("{host} redirects to no URL")))?;
    let is_safe = match next.scheme() {
        "https" => true,
        "http" => from.scheme() == "http",
        _ => false,
    };
    if !is_safe {
        return Err(Fault::wrong(format!(
            "{host} redirects to {}://{}, which is not followed from {}",
            next.scheme(),
            host_of(&next),
            from.scheme()
        )));
    }
    // Neither can fail for a URL that has a host.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    Ok(next)
}
