//! Who may do what, and the tokens given out for it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;

use crate::record::lock;
use crate::token::jwt::Signer;
use crate::upstream::auth::Scope;

/// Issues tokens and checks them.
pub(crate) struct Issuer {
    service: String,
    signer: Option<Signer>,
    state: Mutex<State>,
}

/// Users, tokens, and how long tokens live.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) users: HashMap<String, User>,
    /// What may be done without credentials.
    pub(super) anonymous: Vec<Grant>,
    pub(super) expires_in: Duration,
    tokens: HashMap<String, Token>,
    /// The user of each refresh token.
    refresh: HashMap<String, String>,
    issued: usize,
}

#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) password: String,
    pub(super) grants: Vec<Grant>,
}

/// What may be done with the repositories that a pattern names.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pattern: String,
    actions: Vec<String>,
}

#[derive(Clone, Debug)]
struct Token {
    access: Vec<Access>,
    expires: Instant,
}

/// One scope, as far as it is granted.
#[derive(Clone, Debug)]
struct Access {
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// Why a token doesn't open a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Unknown, revoked or expired.
    Invalid,
    /// Good, but not for this.
    Scope,
}

/// A token as it is handed out.
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) scope: String,
    pub(super) expires_in: Duration,
}

impl Grant {
    /// From `<repository>[:<action>,...]`; the repository may end in `*`. Only `pull`, unless
    /// actions are given.
    pub(super) fn parse(text: &str) -> Self {
        let (pattern, actions) = text.rsplit_once(':').unwrap_or((text, "pull"));
        let actions = actions.split(',').map(str::to_owned).collect();
        Self {
            pattern: pattern.to_owned(),
            actions,
        }
    }

    fn covers(&self, name: &str, action: &str) -> bool {
        let named = match self.pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == self.pattern,
        };
        named
            && self
                .actions
                .iter()
                .any(|granted| granted == action || granted == "*")
    }
}

impl Issuer {
    pub(super) fn new(service: String, signer: Option<Signer>, state: State) -> Self {
        Self {
            service,
            signer,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    pub(super) fn state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut lock(&self.state))
    }

    /// Whether `token` is good, and good for all of `wanted`.
    pub(crate) fn check(&self, token: &str, wanted: &[Scope<'_>]) -> Result<(), Refusal> {
        self.state(|state| {
            let token = state.tokens.get(token).ok_or(Refusal::Invalid)?;
            if token.expires <= Instant::now() {
                return Err(Refusal::Invalid);
            }
            let opens = |scope: &Scope<'_>| {
                let mut access = token.access.iter();
                access.any(|access| access.covers(scope))
            };
            wanted.iter().all(opens).then_some(()).ok_or(Refusal::Scope)
        })
    }

    /// A token for `user` (none: anonymous) with as much of `scopes` as is granted.
    pub(super) fn issue(&self, user: Option<&str>, scopes: &[String]) -> Issued {
        let (access, number, expires_in) = self.state(|state| {
            state.issued += 1;
            (state.access(user, scopes), state.issued, state.expires_in)
        });
        let token = match &self.signer {
            None => format!("token-{number}"),
            Some(signer) => {
                let access: Vec<Value> = access.iter().map(Access::claim).collect();
                signer.sign(&self.claims(user, number, expires_in, access))
            }
        };
        let scope: Vec<String> = access.iter().map(Access::scope).collect();
        let expires = Instant::now() + expires_in;
        self.state(|state| {
            state
                .tokens
                .insert(token.clone(), Token { access, expires })
        });
        Issued {
            token,
            scope: scope.join(" "),
            expires_in,
        }
    }

    fn claims(
        &self,
        user: Option<&str>,
        number: usize,
        expires_in: Duration,
        access: Vec<Value>,
    ) -> Value {
        let now = super::clock::unix_seconds();
        json!({
            "iss": super::ISSUER,
            "sub": user.unwrap_or_default(),
            "aud": self.service,
            "iat": now,
            "nbf": now.saturating_sub(5),
            "exp": now + expires_in.as_secs(),
            "jti": number.to_string(),
            "access": access,
        })
    }

    /// A new refresh token of `user`.
    pub(super) fn refresh_token(&self, user: &str) -> String {
        self.state(|state| {
            let token = format!("refresh-{}-{user}", state.refresh.len() + 1);
            state.refresh.insert(token.clone(), user.to_owned());
            token
        })
    }

    /// The user of a refresh token.
    pub(super) fn refreshed(&self, token: &str) -> Option<String> {
        self.state(|state| state.refresh.get(token).cloned())
    }

    /// Whether these credentials are right.
    pub(super) fn knows(&self, user: &str, password: &str) -> bool {
        self.state(|state| {
            state
                .users
                .get(user)
                .is_some_and(|it| it.password == password)
        })
    }
}

impl State {
    /// Nobody, and nothing allowed.
    pub(super) fn new(expires_in: Duration) -> Self {
        Self {
            expires_in,
            ..Self::default()
        }
    }

    fn access(&self, user: Option<&str>, scopes: &[String]) -> Vec<Access> {
        let own = user
            .and_then(|user| self.users.get(user))
            .map(|user| user.grants.as_slice());
        let grants = || own.unwrap_or_default().iter().chain(&self.anonymous);
        let mut granted = Vec::new();
        for scope in scopes.iter().flat_map(|scopes| scopes.split(' ')) {
            let Some((kind, rest)) = scope.split_once(':') else {
                continue;
            };
            let Some((name, actions)) = rest.rsplit_once(':') else {
                continue;
            };
            let actions = actions.split(',');
            let actions: Vec<String> = actions
                .filter(|action| grants().any(|grant| grant.covers(name, action)))
                .map(str::to_owned)
                .collect();
            if !actions.is_empty() {
                granted.push(Access {
                    kind: kind.to_owned(),
                    name: name.to_owned(),
                    actions,
                });
            }
        }
        granted
    }

    /// Forgets all tokens; refresh tokens too where `refresh` says so.
    pub(super) fn revoke(&mut self, refresh: bool) {
        self.tokens.clear();
        if refresh {
            self.refresh.clear();
        }
    }

    pub(super) fn issued(&self) -> usize {
        self.issued
    }
}

impl Access {
    fn covers(&self, scope: &Scope<'_>) -> bool {
        let granted = |action: &&str| self.actions.iter().any(|it| it == action || it == "*");
        self.name == scope.repository && scope.actions.iter().all(granted)
    }

    fn claim(&self) -> Value {
        json!({"type": self.kind, "name": self.name, "actions": self.actions})
    }

    fn scope(&self) -> String {
        format!("{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}
