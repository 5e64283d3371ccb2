//! Redirects (RFC 9110, 15.4): each hop is an exchange of its own.

use std::time::Duration;

use http::HeaderMap;
use http::Method;
use http::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, LOCATION};
use url::Url;

use super::Body;
use super::Error;
use super::fault::Again;
use super::fault::Fault;
use super::refusal;
use super::window::Pass;
use super::wire::Outgoing;
use super::wire::Subject;
use super::wire::Wire;
use super::wire::host_of;
use crate::ledger::Action;
use crate::ledger::Fate;
use crate::ledger::Reason;

const MOST_HOPS: usize = 5;

/// An answer that is no redirect.
pub(super) struct Landed {
    /// The answer.
    pub(super) response: Response<Body>,
    /// Whether it came from the host that was asked first, who alone may see credentials.
    pub(super) at_origin: bool,
    /// Who answered.
    pub(super) host: String,
    /// And where.
    pub(super) url: Url,
    /// How long all such requests are paused, where it said that it was too much.
    pub(super) paused: Option<Duration>,
    /// What was asked for.
    action: Action,
}

impl Landed {
    /// The failure that an answer other than 2xx is.
    pub(super) async fn fault(self) -> Fault {
        let mut fault = refusal::fault(self.response, self.action).await;
        if let Some(pause) = self.paused {
            fault.again = Again::After(pause);
            if let Error::Throttled { retry_after } = &mut fault.error {
                *retry_after = Some(pause);
            }
        }
        if let Error::Refused { message, .. } = &mut fault.error
            && !self.at_origin
        {
            *message = format!("{}, where it redirects to: {message}", self.host);
        }
        fault
    }
}

/// Sends a request, and follows a `GET` or a `HEAD` where it is sent to, and any other where that is
/// to be asked the same (307, 308) and its body is still there. Credentials stay behind
/// when host, port or scheme change, and don't come back with a later hop. A connection is never
/// made less safe. Nothing leaves before it is the turn of its action, and what leaves counts in its
/// window to the end of the answer's body.
pub(super) async fn follow(
    wire: &Wire,
    mut outgoing: Outgoing,
    subject: &Subject,
) -> Result<Landed, Fault> {
    let mut subject = subject.clone();
    let mut at_origin = !outgoing.is_elsewhere;
    let mut pass = enter(wire, &subject, at_origin).await?;
    if subject.is_extra && !at_origin {
        subject.action = Action::Redirect;
    }
    let is_read = matches!(outgoing.method, Method::GET | Method::HEAD);
    for _ in 0..=MOST_HOPS {
        let response = wire.exchange(&outgoing, &subject).await;
        let mut response = response.inspect_err(|fault| pass.failed(&fault.error))?;
        let paused = pass.answered((response.status(), response.headers()));
        let may_move = match response.status().as_u16() {
            307 | 308 => outgoing.cargo.is_there(),
            _ => is_read && is_redirect(response.status()),
        };
        if !may_move {
            let host = host_of(&outgoing.url);
            let action = pass.action();
            response.body_mut().hold(pass);
            return Ok(Landed {
                response,
                at_origin,
                host,
                url: outgoing.url,
                paused,
                action,
            });
        }
        let next = target(&outgoing.url, response.headers())?;
        let mut body = response.into_body();
        if let Some(mut sent) = body.take_sent() {
            sent.spend_all(Fate::Discarded(Reason::Redirect));
        }
        refusal::drain(body).await;
        if next.origin() != outgoing.url.origin() {
            outgoing.headers.remove(AUTHORIZATION);
            if at_origin {
                at_origin = false;
                pass = match subject.is_extra {
                    true => pass.redirected_now()?,
                    false => pass.redirected().await?,
                };
            }
        }
        outgoing.url = next;
        subject.action = Action::Redirect;
    }
    let host = host_of(&outgoing.url);
    Err(Fault::wrong(format!(
        "redirected more than {MOST_HOPS} times, last to {host}"
    )))
}

async fn enter(wire: &Wire, subject: &Subject, is_here: bool) -> Result<Pass, Fault> {
    let windows = &wire.windows;
    match subject.is_extra {
        true => windows.enter_now(subject.action, is_here),
        false => {
            let entered = windows.enter(subject.action, subject.pace, is_here);
            entered.await
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, or an answer that names another place for what comes next. Its query may
/// hold a signature, so no error shows it.
pub(super) fn target(from: &Url, headers: &HeaderMap) -> Result<Url, Fault> {
    let host = host_of(from);
    let location = headers.get(LOCATION);
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
