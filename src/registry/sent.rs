//! What was sent to sign in, so that no answer that repeats it is told to anybody.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use url::form_urlencoded;

use super::Secret;
use super::sending::Cargo;
use super::wire::Outgoing;
use crate::ledger::Action;

/// The secrets of one request: they travel with an answer that is an error.
#[derive(Clone, Debug)]
pub(super) struct Sent(Vec<Secret>);

/// An answer that shows the beginning of a secret shows too much of it, in bytes.
const TELLING: usize = 16;

impl Sent {
    /// The credentials, the refresh token of a body, and the signature of a redirect.
    pub(super) fn with(outgoing: &Outgoing, action: Action) -> Self {
        let header = outgoing.headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        let credentials = header.map(|text| text.split_once(' ').map_or(text, |(_, rest)| rest));
        let pair = credentials.and_then(|text| BASE64_STANDARD.decode(text).ok());
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
        let password = pair.and_then(|pair| Some(pair.split_once(':')?.1.to_owned()));
        let body: &[u8] = match &outgoing.cargo {
            Cargo::Whole(bytes) => bytes,
            Cargo::Part { .. } => &[],
        };
        let refresh = form_urlencoded::parse(body);
        let refresh = refresh.filter(|(key, _)| key == "refresh_token");
        let is_signed = action == Action::Redirect || outgoing.is_elsewhere;
        let signed = outgoing.url.query().filter(|_| is_signed);
        let signed = signed.unwrap_or_default();
        let mut secrets: Vec<String> = credentials.map(str::to_owned).into_iter().collect();
        secrets.extend(password);
        secrets.extend(refresh.map(|(_, value)| value.into_owned()));
        // As they are written, and as they are meant.
        let written = signed.split('&').filter_map(|pair| pair.split_once('='));
        let written = written.filter(|(key, _)| *key != "digest");
        secrets.extend(written.map(|(_, value)| value.to_owned()));
        let meant = form_urlencoded::parse(signed.as_bytes());
        let meant = meant.filter(|(key, _)| key != "digest");
        secrets.extend(meant.map(|(_, value)| value.into_owned()));
        secrets.retain(|text| !text.is_empty());
        Self(secrets.into_iter().map(Secret::new).collect())
    }

    /// Whether an answer's body repeats any of it, in plain text or within JSON.
    pub(super) fn is_repeated_in(&self, body: &[u8]) -> bool {
        let mut text = String::from_utf8_lossy(body).into_owned();
        if let Ok(json) = serde_json::from_slice(body) {
            strings(&json, &mut text);
        }
        self.0.iter().any(|secret| {
            let secret = secret.expose();
            let start = secret
                .char_indices()
                .map(|(at, _)| at)
                .find(|at| *at >= TELLING);
            text.contains(&secret[..start.unwrap_or(secret.len())])
        })
    }
}

/// Adds the strings of `json` as they read without escapes.
fn strings(json: &serde_json::Value, text: &mut String) {
    match json {
        serde_json::Value::String(string) => {
            text.push('\n');
            text.push_str(string);
        }
        serde_json::Value::Array(entries) => entries.iter().for_each(|it| strings(it, text)),
        serde_json::Value::Object(fields) => fields.values().for_each(|it| strings(it, text)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use http::Method;

    use super::*;

    fn sent(authorization: &str, url: &str, body: &'static str, action: Action) -> Sent {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        }
        let outgoing = Outgoing {
            method: Method::GET,
            url: url.parse().unwrap(),
            headers,
            cargo: Cargo::Whole(Bytes::from_static(body.as_bytes())),
            is_elsewhere: false,
        };
        Sent::with(&outgoing, action)
    }

    #[test]
    fn knows_what_is_repeated() {
        let get = Action::BlobGet;
        // "me:hunter2", in base64.
        let basic = sent("Basic bWU6aHVudGVyMg==", "https://a.test/?x=scope", "", get);
        assert!(basic.is_repeated_in(b"no bWU6aHVudGVyMg== here"));
        assert!(basic.is_repeated_in(br#"{"errors":[{"message":"wrong: hunte\u0072\u0032"}]}"#));
        assert!(!basic.is_repeated_in(b"me may not read scope"));
        let bearer = sent(
            "Bearer abcdefghijklmnopqrstuvwxyz",
            "https://a.test",
            "",
            get,
        );
        assert!(bearer.is_repeated_in(b"the token abcdefghijklmnop... is expired"));
        assert!(!bearer.is_repeated_in(b"the token is expired"));
        let form = "grant_type=refresh_token&refresh_token=a%2Fb%2Fc&scope=x";
        let refresh = sent("", "https://a.test", form, Action::Token);
        assert!(refresh.is_repeated_in(b"unknown token a/b/c"));
        assert!(!refresh.is_repeated_in(b"grant_type x"));
        let url = "https://cdn.test/x?X-Amz-Signature=0123456789abcdef0123&sig=a%2Bb";
        let cdn = sent("", url, "", Action::Redirect);
        assert!(cdn.is_repeated_in(b"GET /x?X-Amz-Signature=0123456789abcdef0123 is forbidden"));
        assert!(cdn.is_repeated_in(b"the signature a+b is wrong"));
        assert!(!sent("", url, "", get).is_repeated_in(b"sig a+b"));
        assert!(!sent("", "https://a.test", "", get).is_repeated_in(b"anything"));
        assert!(!format!("{cdn:?}").contains("0123"));
    }
}
