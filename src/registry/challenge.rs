//! `WWW-Authenticate`: what a registry asks for (RFC 9110, 11.6.1; distribution spec, token).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use http_auth::ChallengeParser;
use http_auth::ChallengeRef;
use url::Url;

/// How to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token from elsewhere.
    Bearer(TokenKey),
    /// With a user name and a password.
    Basic,
}

/// What makes a token another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenKey {
    /// The token server.
    pub(super) realm: Url,
    /// For which service, in the token server's terms.
    pub(super) service: Option<String>,
    /// For what.
    pub(super) scopes: Scopes,
}

/// What a token allows: actions by resource. `repository:a:pull` and `repository:a:push` are
/// joined to `repository:a:pull,push`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Scopes(BTreeMap<String, BTreeSet<String>>);

impl Challenge {
    /// The challenge to answer: Bearer where there is one, else Basic. A realm may be relative to
    /// `base`. A challenge without a scope is about `scope`.
    pub(super) fn of(headers: &HeaderMap, base: &Url, scope: &Scopes) -> Option<Self> {
        let mut basic = None;
        for value in headers.get_all(WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else { continue };
            // What can't be parsed ends the header; what stood before it counts.
            for challenge in ChallengeParser::new(text).map_while(Result::ok) {
                if challenge.scheme.eq_ignore_ascii_case("bearer")
                    && let Some(key) = bearer(&challenge, base, scope)
                {
                    return Some(Self::Bearer(key));
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    basic = Some(Self::Basic);
                }
            }
        }
        basic
    }

    /// This challenge, and where it is about what is `wanted`, about all that is wanted there: GHCR
    /// asks for `pull` alone when somebody pushes.
    pub(super) fn widened(mut self, wanted: &Scopes) -> Self {
        if let Self::Bearer(key) = &mut self {
            for (resource, actions) in &mut key.scopes.0 {
                let more = wanted.0.get(resource).into_iter().flatten();
                actions.extend(more.cloned());
            }
        }
        self
    }

    /// This challenge, with the scopes of an `earlier` one of the same repository joined: where
    /// the actions of one repository need several scopes, one token does for all.
    pub(super) fn joined(self, earlier: Option<&Self>) -> Self {
        match (self, earlier) {
            (Self::Bearer(mut new), Some(Self::Bearer(old)))
                if new.realm == old.realm && new.service == old.service =>
            {
                new.scopes.join(&old.scopes);
                Self::Bearer(new)
            }
            (new, _) => new,
        }
    }
}

fn bearer(challenge: &ChallengeRef<'_>, base: &Url, scope: &Scopes) -> Option<TokenKey> {
    let parameter = |name: &str| {
        let mut all = challenge.params.iter();
        let found = all.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_unescaped())
    };
    let asked = Scopes::parse(&parameter("scope").unwrap_or_default());
    let mut realm = base.join(&parameter("realm")?).ok()?;
    // Neither can fail for a URL that has a host.
    let _ = realm.set_username("");
    let _ = realm.set_password(None);
    Some(TokenKey {
        realm,
        service: parameter("service"),
        scopes: if asked.is_empty() {
            scope.clone()
        } else {
            asked
        },
    })
}

impl Scopes {
    /// Scopes divided by spaces.
    pub(super) fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for scope in text.split_ascii_whitespace() {
            // The resource's name may have colons of its own.
            let (resource, actions) = scope.rsplit_once(':').unwrap_or((scope, ""));
            let known = scopes.0.entry(resource.to_owned()).or_default();
            let actions = actions.split(',').filter(|action| !action.is_empty());
            known.extend(actions.map(ToOwned::to_owned));
        }
        scopes
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn join(&mut self, other: &Self) {
        for (resource, actions) in &other.0 {
            let known = self.0.entry(resource.clone()).or_default();
            known.extend(actions.iter().cloned());
        }
    }

    /// Each scope as it stands in a token request.
    pub(super) fn each(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(resource, actions)| {
            if actions.is_empty() {
                return resource.clone();
            }
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.each().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let headers = values
            .iter()
            .map(|value| (WWW_AUTHENTICATE, value.parse().unwrap()))
            .collect();
        let base = "https://registry.test/v2/".parse().unwrap();
        Challenge::of(&headers, &base, &Scopes::parse("repository:own:pull"))
    }

    fn key(challenge: Option<Challenge>) -> TokenKey {
        match challenge {
            Some(Challenge::Bearer(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_what_registries_send() {
        let hub = key(read(&[
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#,
        ]));
        assert_eq!(hub.realm.as_str(), "https://auth.docker.io/token");
        assert_eq!(hub.service.as_deref(), Some("registry.docker.io"));
        assert_eq!(hub.scopes.to_string(), "repository:library/nginx:pull");

        let bare = key(read(&[r#"bearer realm="/token""#]));
        assert_eq!(bare.realm.as_str(), "https://registry.test/token");
        assert_eq!(bare.scopes.to_string(), "repository:own:pull");

        let named = key(read(&[r#"Bearer realm="https://me:hunter2@t/token""#]));
        assert_eq!(named.realm.as_str(), "https://t/token");

        assert_eq!(read(&[r#"Basic realm="x, y""#]), Some(Challenge::Basic));
        let both = [r#"Basic realm="x", Bearer realm="https://t/t""#];
        assert!(matches!(read(&both), Some(Challenge::Bearer(_))));
        let apart = ["Basic realm=x", r#"Bearer realm="https://t/t""#];
        assert!(matches!(read(&apart), Some(Challenge::Bearer(_))));
        assert_eq!(read(&["Negotiate"]), None);
        assert_eq!(read(&["Bearer service=x"]), None, "without a realm");
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn joins_scopes() {
        let scopes = Scopes::parse("repository:h:5000/b:push,pull repository:a:pull registry");
        assert_eq!(
            scopes.each().collect::<Vec<_>>(),
            [
                "registry",
                "repository:a:pull",
                "repository:h:5000/b:pull,push"
            ]
        );
        let tags = read(&[r#"Bearer realm="https://t/t",scope="repository:own:metadata_read""#]);
        let pull = read(&[r#"Bearer realm="https://t/t",scope="repository:own:pull""#]);
        let elsewhere = read(&[r#"Bearer realm="https://e/t",scope="repository:own:pull""#]);
        let joined = key(Some(tags.clone().unwrap().joined(pull.as_ref())));
        assert_eq!(
            joined.scopes.to_string(),
            "repository:own:metadata_read,pull"
        );
        let apart = tags.clone().unwrap().joined(elsewhere.as_ref());
        assert_eq!(Some(apart), tags);
    }
}
