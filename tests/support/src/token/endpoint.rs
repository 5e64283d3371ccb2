//! The token endpoint: Docker's token spec (GET) and OAuth 2 as Docker has it (POST).

use std::sync::Arc;

use http::Method;
use http::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::server::answer::Answer;
use crate::server::answer::Ask;
use crate::server::answer::Handler;
use crate::server::answer::form;
use crate::token::clock::rfc3339;
use crate::token::clock::unix_seconds;
use crate::token::issuer::Issuer;
use crate::upstream::auth::basic;

/// Which fields a token comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// `token`, on GET.
    pub(super) token: bool,
    /// `access_token`.
    pub(super) access_token: bool,
    /// `expires_in` and `issued_at`.
    pub(super) expiry: bool,
}

pub(super) struct Endpoint {
    pub(super) issuer: Arc<Issuer>,
    pub(super) shape: Shape,
}

impl Handler for Endpoint {
    fn answer(&self, ask: &Ask) -> Answer {
        match ask.method {
            _ if ask.path != "/token" => Answer::error(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                "the tokens are at /token",
            ),
            Method::GET => self.get(ask),
            Method::POST => self.post(ask),
            _ => Answer::error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "GET or POST"),
        }
    }
}

impl Endpoint {
    /// Basic credentials or none; `scope`s and `service` in the query.
    fn get(&self, ask: &Ask) -> Answer {
        let user = match basic(&ask.headers) {
            None if ask.headers.contains_key("authorization") => return denied("not Basic"),
            None => None,
            Some((user, password)) if self.issuer.knows(&user, &password) => Some(user),
            Some((user, _)) => return denied(&format!("wrong password for '{user}'")),
        };
        if let Some(mistake) = self.wrong_service(ask.query("service")) {
            return mistake;
        }
        let mut reply = self.issue(user.as_deref(), &ask.query_all("scope"));
        if let (Some(user), Some("true")) = (user, ask.query("offline_token").as_deref()) {
            reply["refresh_token"] = self.issuer.refresh_token(&user).into();
        }
        Answer::json(StatusCode::OK, &reply)
    }

    /// Grant types `password` and `refresh_token`.
    fn post(&self, ask: &Ask) -> Answer {
        let body = ask.body.bytes();
        let field = |key: &str| form(&body, key).into_iter().next().unwrap_or_default();
        let user = match field("grant_type").as_str() {
            "password" if self.issuer.knows(&field("username"), &field("password")) => {
                field("username")
            }
            "refresh_token" => match self.issuer.refreshed(&field("refresh_token")) {
                Some(user) => user,
                None => return denied("unknown refresh token"),
            },
            "password" => return denied("wrong password"),
            _ => return bad_request("grant_type must be password or refresh_token"),
        };
        if field("client_id").is_empty() {
            return bad_request("client_id is missing");
        }
        if let Some(mistake) = self.wrong_service(Some(field("service"))) {
            return mistake;
        }
        let mut reply = self.issue(Some(&user), &form(&body, "scope"));
        if field("access_type") == "offline" {
            reply["refresh_token"] = self.issuer.refresh_token(&user).into();
        } else if field("grant_type") == "refresh_token" {
            reply["refresh_token"] = field("refresh_token").into();
        }
        Answer::json(StatusCode::OK, &reply)
    }

    fn wrong_service(&self, service: Option<String>) -> Option<Answer> {
        let service = service.unwrap_or_default();
        let message = format!("service is '{service}', not '{}'", self.issuer.service());
        (service != self.issuer.service()).then(|| bad_request(&message))
    }

    fn issue(&self, user: Option<&str>, scopes: &[String]) -> Value {
        let issued = self.issuer.issue(user, scopes);
        let mut reply = json!({"scope": issued.scope});
        if self.shape.token {
            reply["token"] = issued.token.clone().into();
        }
        if self.shape.access_token {
            reply["access_token"] = issued.token.into();
        }
        if self.shape.expiry {
            reply["expires_in"] = issued.expires_in.as_secs().into();
            reply["issued_at"] = rfc3339(unix_seconds()).into();
        }
        reply
    }
}

fn denied(message: &str) -> Answer {
    Answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
}

fn bad_request(message: &str) -> Answer {
    Answer::error(StatusCode::BAD_REQUEST, "UNSUPPORTED", message)
}
