//! One place that a registry's content is at: one attempt at a call there.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::CONTENT_ENCODING;
use http::header::WWW_AUTHENTICATE;
use moka::sync::Cache;
use sha2::Digest as _;
use sha2::Sha256;
use tokio::sync::Semaphore;
use url::Url;

use super::Body;
use super::Config;
use super::Credentials;
use super::Error;
use super::Priority;
use super::Secret;
use super::access::Access;
use super::action::Call;
use super::auth::Auth;
use super::auth::Grant;
use super::body::Gathered;
use super::family::Family;
use super::fault::Fault;
use super::redirect;
use super::redirect::Landed;
use super::retry::Policy;
use super::way::Ways;
use super::window::Windows;
use super::wire::Outside;
use super::wire::Subject;
use super::wire::Wire;
use super::wire::host_of;

/// A base URL, the connections to it, and the sign-in state of its host.
pub(super) struct Endpoint {
    /// Where it is.
    pub(super) base: Url,
    wire: Arc<Wire>,
    auth: Auth,
    /// The windows of clients that sign in themselves, by a hash of what with: a limit of one is
    /// not one of the others.
    callers: Cache<[u8; 32], Arc<Windows>>,
    /// How uploads are sent here.
    pub(super) ways: Ways,
    /// Whose first write goes ahead, to hear how to sign in; closed once it has.
    scout: Semaphore,
    /// When who uploads was given fresh credentials, lately, by what for.
    renewals: Cache<(Arc<str>, Access), Instant>,
}

/// So long fresh credentials are expected to do.
const RENEWED: Duration = Duration::from_secs(60);
/// So many clients' windows are remembered.
const MOST_CALLERS: u64 = 1000;

/// A success.
pub(super) struct Answer {
    /// One of those that the call expects.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, where the call wanted it whole.
    pub(super) whole: Option<Gathered>,
    /// The body, where the call did not.
    pub(super) body: Body,
    /// Where it came from: who was asked, or who that redirected to.
    pub(super) url: Url,
}

impl Answer {
    /// The headers, and what the call wanted whole.
    pub(super) fn gathered(self) -> (HeaderMap, Gathered) {
        let none = || Gathered {
            bytes: Bytes::new(),
            unspent: self.body.account().unspent(),
        };
        (self.headers, self.whole.unwrap_or_else(none))
    }
}

impl Endpoint {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// `Config` when the URL can't be used.
    pub(super) fn new(
        config: &Config,
        base: &Url,
        credentials: Credentials,
        outside: &Outside,
    ) -> Result<Self, Error> {
        let refused = |why: &str| Err(Error::Config(format!("{}: {why}", host_of(base))));
        if !base.username().is_empty() || base.password().is_some() {
            return refused("a URL is no place for a user name or a password, use `credentials`");
        }
        if base.query().is_some() || base.fragment().is_some() {
            return refused("a registry's URL has no query and no fragment");
        }
        match base.scheme() {
            "https" => {}
            "http" if config.plain_http => {}
            "http" => return refused("plain HTTP is only allowed with `plain_http = true`"),
            other => return refused(&format!("{other}: is not a registry's URL, use https:")),
        }
        Ok(Self {
            base: base.clone(),
            wire: Arc::new(Wire::new(config, base, outside)?),
            auth: Auth::new(base, credentials)?,
            callers: Cache::new(MOST_CALLERS),
            ways: Ways::of(Family::of(base.host_str().unwrap_or_default())),
            scout: Semaphore::new(1),
            renewals: Cache::builder().time_to_live(RENEWED).build(),
        })
    }

    /// The same place, for a client that signs in itself.
    pub(super) fn relay(&self, authorization: Option<&Secret>) -> Result<Self, Error> {
        let auth = Auth::relay(&self.base, authorization)?;
        let wire = match authorization {
            None => self.wire.clone(),
            Some(secret) => {
                let key = Sha256::digest(secret.expose()).into();
                let anew = || Arc::new(self.wire.windows.anew());
                Arc::new(self.wire.with(self.callers.get_with(key, anew)))
            }
        };
        Ok(Self {
            base: self.base.clone(),
            wire,
            auth,
            callers: self.callers.clone(),
            ways: Ways::of(Family::of(self.base.host_str().unwrap_or_default())),
            scout: Semaphore::new(1),
            renewals: self.renewals.clone(),
        })
    }

    /// How often to try here.
    pub(super) fn policy(&self) -> &Policy {
        &self.wire.policy
    }

    /// What may be sent here now.
    pub(super) fn windows(&self) -> &Arc<Windows> {
        &self.wire.windows
    }

    /// One attempt, signed in where it is asked for. What has been sent of a content is gone: there is
    /// no other attempt at it.
    pub(super) async fn attempt(&self, call: &Call, pace: Priority) -> Result<Answer, Fault> {
        let scouting = match call.subject.access {
            Access::Pull | Access::Login | Access::Api => None,
            Access::Push | Access::Delete | Access::Mount(_) => self.scout.acquire().await.ok(),
        };
        let answer = self.signed_in(call, pace).await;
        if scouting.is_some() {
            self.scout.close();
        }
        answer.map_err(|fault| match call.cargo.is_there() {
            true => fault,
            false => Fault::lasting(fault.error),
        })
    }

    async fn signed_in(&self, call: &Call, pace: Priority) -> Result<Answer, Fault> {
        let wire = &self.wire;
        let grant = self.auth.known(wire, &call.subject).await?;
        let mut landed = self.send(call, grant.as_ref(), pace).await?;
        let status = landed.response.status();
        if landed.at_origin && matches!(status.as_u16(), 401 | 403) {
            let headers = landed.response.headers().clone();
            let mut fault = landed.fault().await;
            if let Error::Refused { challenge, .. } = &mut fault.error
                && self.auth.is_relay()
            {
                *challenge = challenge_of(&headers);
            }
            let (auth, subject) = (&self.auth, &call.subject);
            let renewed = match status {
                StatusCode::UNAUTHORIZED => auth.after_401(wire, subject, &headers, grant).await?,
                _ => auth.after_403(wire, subject, grant).await?,
            };
            let Some(grant) = renewed else {
                return Err(fault);
            };
            if !call.cargo.is_there() {
                return Err(self.restarted(call, fault));
            }
            landed = self.send(call, Some(&grant), pace).await?;
        }
        accept(landed, call).await
    }

    /// What is said where there are fresh credentials, but nothing more to send: that it may be begun
    /// again, unless it was begun with credentials as fresh as these.
    fn restarted(&self, call: &Call, fault: Fault) -> Fault {
        let matter = call.subject.matter();
        let renewed = self.renewals.get(&matter);
        if let (Some(renewed), Some(began)) = (renewed, call.began)
            && began >= renewed
        {
            return fault;
        }
        if renewed.is_none() {
            self.renewals.insert(matter, Instant::now());
        }
        let text = format!("{}; there are fresh credentials now", fault.error);
        Fault::lasting(Error::Restart(text))
    }

    async fn send(
        &self,
        call: &Call,
        grant: Option<&Grant>,
        pace: Priority,
    ) -> Result<Landed, Fault> {
        let outgoing = call.outgoing(&self.base, grant.map(Grant::header));
        let subject = Subject {
            pace,
            ..call.subject.clone()
        };
        redirect::follow(&self.wire, outgoing, &subject).await
    }
}

/// `WWW-Authenticate`, each of them as it is (RFC 9110, section 11.6.1): clients differ in what they
/// make of several in one.
fn challenge_of(headers: &HeaderMap) -> Option<Arc<[HeaderValue]>> {
    let values: Arc<[_]> = headers.get_all(WWW_AUTHENTICATE).iter().cloned().collect();
    (!values.is_empty()).then_some(values)
}

async fn accept(landed: Landed, call: &Call) -> Result<Answer, Fault> {
    if !call.good.contains(&landed.response.status().as_u16()) {
        return Err(landed.fault().await);
    }
    let url = landed.url;
    let (parts, body) = landed.response.into_parts();
    if let Some(encoding) = parts.headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Fault::wrong(format!(
            "{} encoded the content ({encoding:?}), though only identity is accepted",
            landed.host
        )));
    }
    let mut answer = Answer {
        status: parts.status,
        headers: parts.headers,
        whole: None,
        body,
        url,
    };
    if let Some(most) = call.whole {
        answer.whole = Some(answer.body.whole(most).await?);
    }
    Ok(answer)
}
