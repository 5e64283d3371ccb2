//! What an exchange is about, as its URL and the answers before it tell.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::header::{LOCATION, WWW_AUTHENTICATE};
use http_auth::ChallengeParser;
use moka::sync::Cache;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::ledger::Action;
use crate::ledger::FlowId;
use crate::oci::Endpoint;
use crate::oci::Part;

/// How many addresses are remembered, and for how long at most after they were used.
const KNOWN: u64 = 4096;
const MEMORY: Duration = Duration::from_secs(60 * 60);

/// What an exchange is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// What it does.
    pub(super) action: Action,
    /// The repository's name, or nothing.
    pub(super) repository: Arc<str>,
    /// A tag, a digest, or nothing.
    pub(super) reference: Arc<str>,
    /// The repository that a blob is to be mounted from; empty where any will do.
    pub(super) mount: Option<Arc<str>>,
    /// That of the exchange that led here, or a new one.
    pub(super) flow: FlowId,
}

/// What earlier answers said of addresses that come later: redirects, token servers, uploads.
#[derive(Debug)]
pub(super) struct Memory(Cache<String, Known>);

#[derive(Clone, Debug)]
enum Known {
    /// The target of a redirect.
    Redirect(Subject),
    /// A token server.
    Token,
    /// An upload's session.
    Upload(Subject),
}

impl Memory {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(KNOWN)
            .time_to_idle(MEMORY)
            .build();
        Self(cache)
    }

    /// What `method` of `url` is about.
    pub(super) fn describe(&self, method: &Method, url: &Url) -> Subject {
        let known = self.0.get(url.as_str());
        match known.or_else(|| self.0.get(without_query(url))) {
            Some(Known::Redirect(led)) => Subject {
                action: Action::Redirect,
                mount: None,
                ..led
            },
            Some(Known::Token) => Subject::new(Action::Token, "", ""),
            Some(Known::Upload(began)) => Subject {
                flow: began.flow,
                ..upload(method, url, &began.repository, false)
            },
            None => by_path(method, url),
        }
    }

    /// Learns from an answer to a request that was about `subject`.
    pub(super) fn learn(
        &self,
        url: &Url,
        subject: &Subject,
        (status, headers): (StatusCode, &HeaderMap),
    ) {
        if status == StatusCode::UNAUTHORIZED {
            for realm in realms(headers).filter_map(|realm| url.join(&realm).ok()) {
                self.0
                    .insert(without_query(&realm).to_owned(), Known::Token);
            }
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(mut next) = location.and_then(|text| url.join(text).ok()) else {
            return;
        };
        next.set_fragment(None);
        let is_upload = matches!(
            subject.action,
            Action::UploadStart | Action::UploadChunk | Action::BlobMount
        );
        if is_upload && status == StatusCode::ACCEPTED {
            let known = Known::Upload(subject.clone());
            self.0.insert(without_query(&next).to_owned(), known);
        }
        // The same endpoint elsewhere (over TLS, at another host) says itself what it is.
        let is_known = subject.action != Action::Other && next.path() != url.path();
        if is_known && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            self.0.insert(next.into(), Known::Redirect(subject.clone()));
        }
    }
}

impl Subject {
    fn new(action: Action, repository: &str, reference: &str) -> Self {
        Self {
            action,
            repository: repository.into(),
            reference: reference.into(),
            mount: None,
            flow: FlowId::next(),
        }
    }
}

/// By the distribution spec's endpoints.
fn by_path(method: &Method, url: &Url) -> Subject {
    let decoded = percent_decode_str(url.path()).decode_utf8_lossy();
    let is = |wanted: Method| *method == wanted;
    let (name, part) = match Endpoint::parse(&decoded) {
        Some(Endpoint::Ping) => return Subject::new(Action::Ping, "", ""),
        Some(Endpoint::Catalog) => return Subject::new(Action::Catalog, "", ""),
        Some(Endpoint::Repository(name, part)) => (name, part),
        None => return Subject::new(Action::Other, "", ""),
    };
    let (action, reference) = match part {
        // A POST without the last slash, as some write it.
        Part::Blob("uploads") if is(Method::POST) => return upload(method, url, name, true),
        Part::Upload(session) => return upload(method, url, name, session.is_empty()),
        Part::Manifest(text) | Part::Blob(text) if is(Method::DELETE) => (Action::Delete, text),
        Part::Manifest(text) if is(Method::HEAD) => (Action::ManifestHead, text),
        Part::Manifest(text) if is(Method::GET) => (Action::ManifestGet, text),
        Part::Manifest(text) if is(Method::PUT) => (Action::ManifestPut, text),
        Part::Blob(text) if is(Method::HEAD) => (Action::BlobHead, text),
        Part::Blob(text) if is(Method::GET) => (Action::BlobGet, text),
        Part::Tags => (Action::TagList, ""),
        Part::Referrers(text) => (Action::Referrers, text),
        Part::Manifest(text) | Part::Blob(text) => (Action::Other, text),
    };
    Subject::new(action, name, reference)
}

/// A request of an upload to the repository `name`; `is_new` where it is to begin one.
fn upload(method: &Method, url: &Url, name: &str, is_new: bool) -> Subject {
    let parameter = |wanted: &str| {
        let mut all = url.query_pairs();
        all.find(|(key, _)| key == wanted).map(|(_, value)| value)
    };
    let digest = parameter("digest").unwrap_or_default();
    match *method {
        Method::POST if is_new => match parameter("mount") {
            Some(digest) => Subject {
                mount: Some(parameter("from").unwrap_or_default().as_ref().into()),
                ..Subject::new(Action::BlobMount, name, &digest)
            },
            None => Subject::new(Action::UploadStart, name, &digest),
        },
        Method::PATCH => Subject::new(Action::UploadChunk, name, ""),
        Method::PUT => Subject::new(Action::UploadFinish, name, &digest),
        Method::DELETE => Subject::new(Action::Delete, name, ""),
        _ => Subject::new(Action::Other, name, ""),
    }
}

/// The realms of all Bearer challenges (RFC 6750, 3).
fn realms(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| {
        let challenges = ChallengeParser::new(text).map_while(Result::ok);
        let bearers = challenges.filter(|one| one.scheme.eq_ignore_ascii_case("bearer"));
        let realms = bearers.filter_map(|one| {
            let mut all = one.params.iter();
            let realm = all.find(|(key, _)| key.eq_ignore_ascii_case("realm"));
            realm.map(|(_, value)| value.to_unescaped())
        });
        realms.collect::<Vec<_>>()
    })
}

fn without_query(url: &Url) -> &str {
    let text = url.as_str();
    text.split_once(['?', '#']).map_or(text, |(front, _)| front)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )])
    }

    fn asked(memory: &Memory, method: &Method, url: &str) -> Subject {
        memory.describe(method, &url.parse().unwrap())
    }

    #[test]
    fn the_path_tells_what_is_done() {
        let memory = Memory::new();
        for line in [
            "GET /v2/ ping - -",
            "GET /v2/_catalog?n=5 catalog - -",
            "HEAD /v2/a/b/manifests/v1 manifest-head a/b v1",
            "GET /v2/a/manifests/sha256:1 manifest-get a sha256:1",
            "PUT /v2/a/manifests/v1 manifest-put a v1",
            "DELETE /v2/a/manifests/v1 delete a v1",
            "GET /v2/a/blobs/sha256%3A1 blob-get a sha256:1",
            "HEAD /v2/a/blobs/sha256:1 blob-head a sha256:1",
            "POST /v2/a/blobs/uploads/ upload-start a -",
            "POST /v2/a/blobs/uploads upload-start a -",
            "PATCH /v2/a/blobs/uploads/x upload-chunk a -",
            "PUT /v2/a/blobs/uploads/x?digest=sha256:1 upload-finish a sha256:1",
            "GET /v2/a/tags/list tag-list a -",
            "GET /v2/a/referrers/sha256:1 referrers a sha256:1",
            "GET /index.html other - -",
        ] {
            let words: Vec<_> = line.split(' ').collect();
            let url = format!("https://host:5000{}", words[1]);
            let subject = asked(&memory, &words[0].parse().unwrap(), &url);
            let shown = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
            let told = [
                shown(subject.action.as_str()),
                shown(&subject.repository),
                shown(&subject.reference),
            ];
            assert_eq!(told[..], words[2..], "{line}");
            assert_eq!(subject.mount, None, "{line}");
        }
        let url = "https://host/v2/a/blobs/uploads/?mount=sha256:1&from=b%2Fc";
        let subject = asked(&memory, &Method::POST, url);
        assert_eq!(subject.action, Action::BlobMount);
        assert_eq!(subject.mount.as_deref(), Some("b/c"));
        assert_eq!(&*subject.reference, "sha256:1");
    }

    #[test]
    fn a_redirect_leads_to_what_was_asked() {
        let memory = Memory::new();
        let url: Url = "https://host/v2/a/blobs/sha256:1".parse().unwrap();
        let subject = memory.describe(&Method::GET, &url);
        let to = headers("location", "https://cdn/x?sig=1");
        let found = StatusCode::TEMPORARY_REDIRECT;
        memory.learn(&url, &subject, (found, &to));
        let led = asked(&memory, &Method::GET, "https://cdn/x?sig=1");
        assert_eq!(led.action, Action::Redirect);
        assert_eq!(
            (&*led.repository, &*led.reference, led.flow),
            ("a", "sha256:1", subject.flow)
        );
        let other = asked(&memory, &Method::GET, "https://cdn/x?sig=2");
        assert_eq!(other.action, Action::Other);
        // The same thing over TLS is no other thing.
        let clear: Url = "http://host/v2/".parse().unwrap();
        let ping = memory.describe(&Method::GET, &clear);
        let to = headers("location", "https://host/v2/");
        memory.learn(&clear, &ping, (StatusCode::MOVED_PERMANENTLY, &to));
        let ping = asked(&memory, &Method::GET, "https://host/v2/");
        assert_eq!(ping.action, Action::Ping);
    }

    #[test]
    fn a_challenge_names_the_token_server() {
        let memory = Memory::new();
        let url: Url = "https://host/v2/".parse().unwrap();
        let subject = memory.describe(&Method::GET, &url);
        let challenge = headers(
            "www-authenticate",
            "Bearer realm=\"https://auth/token\",service=\"host\"",
        );
        memory.learn(&url, &subject, (StatusCode::UNAUTHORIZED, &challenge));
        let token = asked(&memory, &Method::GET, "https://auth/token?service=host");
        assert_eq!(token.action, Action::Token);
    }

    #[test]
    fn an_upload_is_known_wherever_it_goes_on() {
        let memory = Memory::new();
        let url: Url = "https://host/v2/a/blobs/uploads/".parse().unwrap();
        let start = memory.describe(&Method::POST, &url);
        let to = headers("location", "/artifacts-uploads/x?state=1");
        memory.learn(&url, &start, (StatusCode::ACCEPTED, &to));
        let next = "https://host/artifacts-uploads/x?state=1&digest=sha256%3A1";
        let finish = asked(&memory, &Method::PUT, next);
        assert_eq!(finish.action, Action::UploadFinish);
        assert_eq!((&*finish.repository, &*finish.reference), ("a", "sha256:1"));
    }
}
