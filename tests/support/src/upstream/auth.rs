//! Who may pull and push: nobody is asked, Basic, or Bearer with a token server.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use http::StatusCode;
use http::header::AUTHORIZATION;
use http::header::WWW_AUTHENTICATE;

use crate::server::answer::Answer;
use crate::token::issuer::Issuer;
use crate::token::issuer::Refusal;

/// How a scripted registry asks for credentials.
#[derive(Clone)]
pub(crate) enum Auth {
    Open,
    /// Passwords, by user.
    Basic(HashMap<String, String>),
    /// The token server, and its token endpoint's URL.
    Bearer(Arc<Issuer>, String),
}

/// What a request does with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope<'a> {
    pub(crate) repository: &'a str,
    pub(crate) actions: &'static [&'static str],
}

impl<'a> Scope<'a> {
    pub(crate) fn pull(repository: &'a str) -> Self {
        Self {
            repository,
            actions: &["pull"],
        }
    }

    pub(crate) fn push(repository: &'a str) -> Self {
        Self {
            repository,
            actions: &["pull", "push"],
        }
    }
}

impl fmt::Display for Scope<'_> {
    /// As challenges and token requests have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "repository:{}:{}",
            self.repository,
            self.actions.join(",")
        )
    }
}

impl Auth {
    /// The 401 that a request gets, unless it may do all of `wanted` (nothing: only `/v2/`).
    pub(crate) fn refuse(&self, headers: &HeaderMap, wanted: &[Scope<'_>]) -> Option<Answer> {
        match self {
            Self::Open => None,
            Self::Basic(users) => {
                let known = basic(headers).is_some_and(|(user, password)| {
                    users.get(&user).is_some_and(|known| *known == password)
                });
                (!known).then(|| unauthorized("Basic realm=\"fake-registry\""))
            }
            Self::Bearer(issuer, realm) => {
                let given = headers
                    .get(AUTHORIZATION)
                    .and_then(|value| value.to_str().ok());
                let token = given.and_then(|value| value.strip_prefix("Bearer "));
                let refusal = match token {
                    None => None,
                    Some(token) => match issuer.check(token, wanted) {
                        Ok(()) => return None,
                        Err(refusal) => Some(refusal),
                    },
                };
                let service = issuer.service();
                let mut challenge = format!("Bearer realm=\"{realm}\",service=\"{service}\"");
                if !wanted.is_empty() {
                    let scopes: Vec<String> = wanted.iter().map(Scope::to_string).collect();
                    challenge += &format!(",scope=\"{}\"", scopes.join(" "));
                }
                match refusal {
                    None => {}
                    Some(Refusal::Invalid) => challenge += ",error=\"invalid_token\"",
                    Some(Refusal::Scope) => challenge += ",error=\"insufficient_scope\"",
                }
                Some(unauthorized(&challenge))
            }
        }
    }
}

fn unauthorized(challenge: &str) -> Answer {
    Answer::error(
        StatusCode::UNAUTHORIZED,
        "UNAUTHORIZED",
        "authentication required",
    )
    .with(WWW_AUTHENTICATE, challenge)
}

/// User and password of an `Authorization: Basic` header (RFC 7617).
pub(crate) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let given = headers
        .get(AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64_STANDARD.decode(given).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}
