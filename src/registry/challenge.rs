use std::collections::BTreeSet;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// How a registry wants to be asked (RFC 9110, section 11.6.1; distribution's token specification).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a user name and a password.
    Basic,
    /// With a token from elsewhere.
    Bearer(Realm),
}

/// Where tokens are to be had, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Realm {
    pub(super) url: String,
    pub(super) service: Option<String>,
    pub(super) scopes: BTreeSet<String>,
}

impl Challenge {
    /// The challenge of a 401; where there are several, the strongest that is understood.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|v| v.to_str().ok());
        let mut found = None;
        for value in values {
            for challenge in http_auth::parse_challenges(value).unwrap_or_default() {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return Some(Self::Bearer(Realm::of(&challenge)?));
                }
                if challenge.scheme.eq_ignore_ascii_case("basic") {
                    found = Some(Self::Basic);
                }
            }
        }
        found
    }
}

impl Realm {
    fn of(challenge: &http_auth::ChallengeRef<'_>) -> Option<Self> {
        let param = |name: &str| {
            let mut params = challenge.params.iter();
            let (_, value) = params.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
            Some(value.to_unescaped())
        };
        let scopes = param("scope").unwrap_or_default();
        Some(Self {
            url: param("realm")?,
            service: param("service"),
            scopes: scopes.split_whitespace().map(String::from).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(value: &'static str) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, http::HeaderValue::from_static(value));
        Challenge::of(&headers)
    }

    #[test]
    fn reads_what_registries_send() {
        let bearer = challenge(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull repository:a/b:pull,push",error="invalid_token""#,
        );
        let Some(Challenge::Bearer(realm)) = bearer else {
            panic!("no bearer")
        };
        assert_eq!(realm.url, "https://auth.docker.io/token");
        assert_eq!(realm.service.as_deref(), Some("registry.docker.io"));
        assert!(realm.scopes.contains("repository:a/b:pull,push"));
        assert_eq!(challenge(r#"Basic realm="x""#), Some(Challenge::Basic));
        assert_eq!(challenge("Negotiate"), None);
        assert_eq!(challenge(r#"Bearer service="x""#), None);
    }
}
