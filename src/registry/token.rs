//! Tokens from a token server (distribution spec, "Token Authentication").

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderValue;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use url::form_urlencoded;

use super::Error;
use super::Priority;
use super::Secret;
use super::challenge::TokenKey;
use super::credential;
use super::credential::Login;
use super::credential::Source;
use super::fault::Fault;
use super::redirect;
use super::sending::Cargo;
use super::wire::Outgoing;
use super::wire::Subject;
use super::wire::Wire;
use super::wire::host_of;
use crate::ledger::Fate;
use crate::ledger::Reason;

/// A token, ready to send.
#[derive(Debug)]
pub(super) struct Token {
    /// `Authorization`, marked as sensitive.
    pub(super) authorization: HeaderValue,
    /// Who got it.
    pub(super) login: Arc<Login>,
    renewed_from: Instant,
    good_until: Instant,
}

impl Token {
    /// Good for so long from now, to be renewed after so long.
    #[cfg(test)]
    pub(super) fn lasting(renewed_after: Duration, good_for: Duration) -> Self {
        Self {
            authorization: HeaderValue::from_static("Bearer test"),
            login: Arc::new(Login::Nobody),
            renewed_from: Instant::now() + renewed_after,
            good_until: Instant::now() + good_for,
        }
    }

    /// Whether it is good for a while yet.
    pub(super) fn is_fresh(&self) -> bool {
        Instant::now() < self.renewed_from
    }

    /// Whether it is good now.
    pub(super) fn is_good(&self) -> bool {
        Instant::now() < self.good_until
    }
}

/// The longest answer of a token server, in bytes.
const LONGEST: usize = 1 << 20;
/// How long a token is good where its server does not say (distribution spec, `expires_in`).
const DEFAULT_LIFE: u64 = 60;
/// A token is renewed when a fifth of its life is left, but no earlier than this before its end.
const MOST_MARGIN: Duration = Duration::from_secs(60);
/// The most of its life that a token may need to reach the registry.
const MOST_TRAVEL: Duration = Duration::from_secs(2);

/// Asks for a token, tried again as any request. Where the login is refused, and its source has
/// another one by now, that is tried as well.
pub(super) async fn fetch(
    wire: Arc<Wire>,
    source: Arc<Source>,
    key: TokenKey,
    subject: Subject,
) -> Result<Arc<Token>, Error> {
    let login = source.login().await?;
    match sign_in(&wire, &key, &subject, &login).await {
        Err(refused @ Error::Refused { .. }) => match source.renewed(&login).await {
            Some(login) => sign_in(&wire, &key, &subject, &login).await,
            None => Err(refused),
        },
        done => done,
    }
}

async fn sign_in(
    wire: &Wire,
    key: &TokenKey,
    subject: &Subject,
    login: &Arc<Login>,
) -> Result<Arc<Token>, Error> {
    let host = host_of(&key.realm);
    let attempt = || async {
        let asked = Instant::now();
        let bytes = exchange(wire, request(key, login), subject)
            .await
            .map_err(|fault| named(fault, &host))?;
        read(&bytes, asked, login.clone())
            .map(Arc::new)
            .ok_or_else(|| Fault::wrong(format!("the token server {host} gave no token")))
    };
    wire.policy.run(Priority::Foreground, attempt).await
}

async fn exchange(wire: &Wire, outgoing: Outgoing, subject: &Subject) -> Result<Bytes, Fault> {
    let landed = redirect::follow(wire, outgoing, subject).await?;
    if landed.response.status() != http::StatusCode::OK {
        return Err(landed.fault().await);
    }
    let mut body = landed.response.into_body();
    if let Some(mut sent) = body.take_sent() {
        sent.spend_all(Fate::Discarded(Reason::Control));
    }
    let mut gathered = body.whole(LONGEST).await?;
    gathered.unspent.spend_all(Fate::Discarded(Reason::Control));
    Ok(gathered.bytes)
}

/// With a refresh token a `POST` (distribution spec, "OAuth2 Token Authentication"), else a `GET`.
fn request(key: &TokenKey, login: &Login) -> Outgoing {
    let mut outgoing = Outgoing {
        method: Method::GET,
        url: key.realm.clone(),
        headers: HeaderMap::new(),
        cargo: Cargo::Whole(Bytes::new()),
        is_elsewhere: false,
    };
    let json = HeaderValue::from_static("application/json");
    outgoing.headers.insert(ACCEPT, json);
    if let Login::Identity(refresh) = login {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        outgoing.headers.insert(CONTENT_TYPE, form);
        outgoing.method = Method::POST;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "tidegate")
            .append_pair("service", key.service.as_deref().unwrap_or_default())
            .append_pair("scope", &key.scopes.to_string())
            .append_pair("refresh_token", refresh.expose())
            .finish();
        outgoing.cargo = Cargo::Whole(form.into());
        return outgoing;
    }
    if let Some(basic) = login.basic() {
        outgoing.headers.insert(AUTHORIZATION, basic);
    }
    if key.service.is_some() || !key.scopes.is_empty() {
        let mut query = outgoing.url.query_pairs_mut();
        query.extend_pairs(key.service.iter().map(|service| ("service", service)));
        query.extend_pairs(key.scopes.each().map(|scope| ("scope", scope)));
    }
    outgoing
}

/// Says that it was the token server, so that a 404 of it is not taken for the registry's.
fn named(mut fault: Fault, host: &str) -> Fault {
    let told = |what: &str| format!("the token server {host}: {what}");
    fault.error = match fault.error {
        Error::Refused {
            status, message, ..
        } => Error::Refused {
            status,
            challenge: None,
            message: told(&message),
        },
        Error::Status { status, message } => Error::Status {
            status,
            message: told(&message),
        },
        Error::NotFound { .. } | Error::Unsatisfiable => {
            Error::Wrong(format!("the token server {host} is not there (404)"))
        }
        Error::Wrong(text) => Error::Wrong(told(&text)),
        Error::Unreachable(text) => Error::Unreachable(told(&text)),
        Error::TimedOut(text) => Error::TimedOut(told(&text)),
        other => other,
    };
    fault
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

fn read(bytes: &[u8], asked: Instant, login: Arc<Login>) -> Option<Token> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let given = [answer.token, answer.access_token];
    let text = given.into_iter().flatten().find(|text| !text.is_empty())?;
    let life = Duration::from_secs(answer.expires_in.unwrap_or(DEFAULT_LIFE).min(1 << 30));
    Some(Token {
        authorization: credential::bearer(&Secret::new(text))?,
        login,
        renewed_from: asked + life - MOST_MARGIN.min(life / 5),
        good_until: asked + life - MOST_TRAVEL.min(life / 20),
    })
}

#[cfg(test)]
mod tests {
    use super::super::challenge::Scopes;
    use super::*;

    fn key(realm: &str, service: Option<&str>, scopes: &str) -> TokenKey {
        TokenKey {
            realm: realm.parse().unwrap(),
            service: service.map(Into::into),
            scopes: Scopes::parse(scopes),
        }
    }

    #[test]
    fn asks_as_the_specification_says() {
        let two = key(
            "https://t/token?x=1",
            Some("a b"),
            "repository:b:pull repository:a:pull",
        );
        let nobody = request(&two, &Login::Nobody);
        assert_eq!(
            nobody.url.as_str(),
            "https://t/token?x=1&service=a+b&scope=repository%3Aa%3Apull&scope=repository%3Ab%3Apull"
        );
        assert_eq!(nobody.headers.get(AUTHORIZATION), None);
        let bare = request(&key("https://t/token", None, ""), &Login::Nobody);
        assert_eq!(bare.url.as_str(), "https://t/token");

        let identity = Login::Identity(Secret::new("refresh-me"));
        let posted = request(&two, &identity);
        assert_eq!(posted.method, Method::POST);
        let Cargo::Whole(body) = posted.cargo else {
            panic!("{:?}", posted.cargo)
        };
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("grant_type=refresh_token"), "{body}");
        assert!(
            body.contains("scope=repository%3Aa%3Apull+repository%3Ab%3Apull"),
            "{body}"
        );
        assert!(body.ends_with("refresh_token=refresh-me"), "{body}");
    }

    #[test]
    fn reads_tokens_and_their_life() {
        let now = Instant::now();
        let read = |text: &str| read(text.as_bytes(), now, Arc::new(Login::Nobody));
        let life = |text: &str| read(text).map(|token| token.renewed_from - now);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(life(r#"{"token":"a"}"#), seconds(48));
        assert_eq!(
            life(r#"{"access_token":"a","expires_in":300}"#),
            seconds(240)
        );
        assert_eq!(
            life(r#"{"token":"","access_token":"a","expires_in":3600}"#),
            seconds(3540)
        );
        assert_eq!(life(r#"{"token":""}"#), None);
        assert_eq!(life(r#"{"token":"a\nb"}"#), None);
        assert_eq!(life("no"), None);
        let hour = read(r#"{"token":"a","expires_in":3600}"#).unwrap();
        assert_eq!(Some(hour.good_until - now), seconds(3598));
        let shown = format!("{:?}", read(r#"{"token":"hunter2"}"#));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
