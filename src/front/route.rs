use std::borrow::Cow;

use http::Method;
use http::header;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::flow::Accept;
use crate::flow::Ask;
use crate::flow::Caller;
use crate::flow::Want;
use crate::ledger::FlowId;
use crate::oci::Endpoint;
use crate::oci::Name;
use crate::oci::Part;
use crate::oci::Reference;
use crate::oci::ReferenceError;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::oci::below_v2;
use crate::registry::Secret;

use super::catalog::Page;
use super::condition;
use super::fault::Fault;
use super::upstream::Choice;
use super::upstream::Clues;
use super::upstream::Upstreams;

/// What a request wants.
#[derive(Debug)]
pub(super) enum Route {
    /// To know that this is a registry, and how to sign in.
    Ping {
        /// The upstream that is meant, where one can be.
        upstream: Option<UpstreamName>,
        /// On whose behalf.
        caller: Caller,
    },
    /// A page of all repositories.
    Catalog(Page),
    /// A manifest or a blob.
    Content(Ask),
    /// A list of tags or referrers.
    List(Ask),
}

/// Reads a request's header. Nothing is asked of anybody here.
pub(super) fn route<K>(
    request: &Parts,
    upstreams: &Upstreams<'_, K>,
    flow: FlowId,
) -> Result<Route, Fault>
where
    K: Fn(&UpstreamName) -> bool,
{
    let raw = request.uri.path();
    if below_v2(raw).is_none() {
        return Err(Fault::no_endpoint(raw));
    }
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return Err(Fault::read_only(&request.method));
    }
    let path = decode(raw).ok_or_else(|| Fault::no_endpoint(raw))?;
    let query = Query::of(request.uri.query().unwrap_or_default());
    let ns = match query.ns {
        Some(raw) => Some(decode(raw).ok_or_else(|| Fault::unknown_upstream(raw))?),
        None => None,
    };
    let unknown = || Fault::no_endpoint(&path);
    let (name, part) = match Endpoint::parse(&path).ok_or_else(unknown)? {
        Endpoint::Ping => {
            return Ok(Route::Ping {
                upstream: upstreams.greeted(ns.as_deref(), host(request)),
                caller: caller(request),
            });
        }
        Endpoint::Catalog => return Page::parse(&query.rest).map(Route::Catalog),
        Endpoint::Repository(name, part) => (name, part),
    };
    let choice = upstreams.choose(Clues {
        ns: ns.as_deref(),
        host: host(request),
        name,
    })?;
    let repository = repository(choice)?;
    let want = want(&repository, part, request, query)?;
    let is_list = matches!(want, Want::Tags { .. } | Want::Referrers { .. });
    let ask = Ask {
        repository,
        want,
        head: request.method == Method::HEAD,
        flow,
        caller: caller(request),
    };
    Ok(if is_list {
        Route::List(ask)
    } else {
        Route::Content(ask)
    })
}

fn want(
    repository: &Repository,
    part: Part<'_>,
    request: &Parts,
    query: Query<'_>,
) -> Result<Want, Fault> {
    let digest = |text: &str| text.parse().map_err(|error| Fault::bad_digest(&error));
    Ok(match part {
        Part::Manifest(text) => Want::Manifest {
            reference: reference(repository, text)?,
            accept: accept(request),
        },
        Part::Blob(text) => {
            let digest = digest(text)?;
            let range = condition::range(request, &digest);
            Want::Blob { digest, range }
        }
        Part::Tags => Want::Tags { query: query.rest },
        Part::Referrers(text) => Want::Referrers {
            digest: digest(text)?,
            query: query.rest,
        },
        Part::Upload(_) => return Err(Fault::no_endpoint(request.uri.path())),
    })
}

/// A tag that can't be one is a manifest that isn't there, as CNCF Distribution answers it and the
/// conformance tests of the distribution spec ask for it; a broken digest is a broken request.
fn reference(repository: &Repository, text: &str) -> Result<Reference, Fault> {
    text.parse().map_err(|error| match error {
        ReferenceError::Digest(error) => Fault::bad_digest(&error),
        error @ ReferenceError::Tag(_) => Fault::bad_tag(repository, &error),
    })
}

fn repository(choice: Choice<'_>) -> Result<Repository, Fault> {
    let name = if choice.library {
        format!("library/{}", choice.name).parse::<Name>()
    } else {
        choice.name.parse::<Name>()
    };
    name.map(|name| Repository::new(choice.upstream, name))
        .map_err(|error| Fault::bad_name(&error))
}

/// Whoever asks. Several `Authorization` headers, or one that is no text, are nobody's.
fn caller(request: &Parts) -> Caller {
    let mut values = request.headers.get_all(header::AUTHORIZATION).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let text = only.and_then(|value| value.to_str().ok());
    Caller {
        authorization: text.map(Secret::new),
    }
}

fn accept(request: &Parts) -> Accept {
    let values = request.headers.get_all(header::ACCEPT);
    Accept::from_headers(values.iter().filter_map(|value| value.to_str().ok()))
}

/// `:authority` or an absolute URI's host (RFC 9112, section 3.2.2), else `Host`.
fn host(request: &Parts) -> Option<&str> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(header::HOST)?.to_str().ok(),
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('%') {
        percent_decode_str(text).decode_utf8().ok()
    } else {
        Some(Cow::Borrowed(text))
    }
}

/// A request's query.
#[derive(Debug)]
pub(super) struct Query<'a> {
    /// The value of the first `ns` that has one, as the client encoded it.
    pub(super) ns: Option<&'a str>,
    /// All but `ns`, as the client wrote it.
    pub(super) rest: String,
}

impl<'a> Query<'a> {
    pub(super) fn of(query: &'a str) -> Self {
        let mut ns = None;
        let mut rest = String::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("ns", value)) => ns = ns.or(Some(value).filter(|value| !value.is_empty())),
                _ => {
                    if !rest.is_empty() {
                        rest.push('&');
                    }
                    rest.push_str(pair);
                }
            }
        }
        Self { ns, rest }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn ask(method: &str, uri: &str) -> Result<Route, Fault> {
        let default = "docker.io".parse().unwrap();
        let upstreams = Upstreams {
            knows: |name: &UpstreamName| matches!(name.as_str(), "docker.io" | "quay.io"),
            default: Some(&default),
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("Host", "127.0.0.1:5000")
            .body(())
            .unwrap();
        route(&request.into_parts().0, &upstreams, FlowId::next())
    }

    /// The ask in short: `repository what`.
    fn asked(uri: &str) -> String {
        let (Route::Content(ask) | Route::List(ask)) = ask("GET", uri).unwrap() else {
            panic!("{uri} asks for nothing");
        };
        assert!(!ask.head);
        let what = match ask.want {
            Want::Manifest { reference, .. } => format!("manifest {reference}"),
            Want::Blob { digest, .. } => format!("blob {digest}"),
            Want::Tags { query } => format!("tags {query}"),
            Want::Referrers { digest, query } => format!("referrers {digest} {query}"),
        };
        format!("{} {what}", ask.repository)
    }

    fn refused(method: &str, uri: &str) -> (u16, &'static str) {
        let fault = ask(method, uri).unwrap_err();
        (fault.status.as_u16(), fault.code)
    }

    #[test]
    fn knows_the_endpoints() {
        let greeted = |uri| match ask("HEAD", uri) {
            Ok(Route::Ping { upstream, .. }) => upstream.map(|name| name.to_string()),
            other => panic!("{other:?}"),
        };
        assert_eq!(greeted("/v2/").as_deref(), Some("docker.io"));
        assert_eq!(greeted("/v2/?ns=quay.io").as_deref(), Some("quay.io"));
        assert_eq!(greeted("/v2/?ns=ghcr.io"), None);
        assert!(matches!(ask("GET", "/v2/_catalog"), Ok(Route::Catalog(_))));
        assert_eq!(
            asked("/v2/library/nginx/manifests/1.27"),
            "docker.io/library/nginx manifest 1.27"
        );
        assert_eq!(
            asked(&format!("/v2/a/blobs/sha256:{HEX}?ns=quay.io")),
            format!("quay.io/a blob sha256:{HEX}")
        );
        assert_eq!(asked("/v2/quay.io/a/tags/list"), "quay.io/a tags ");
        let Ok(Route::Content(head)) = ask("HEAD", "/v2/quay.io/a/manifests/x") else {
            panic!("no ask");
        };
        assert!(head.head);
    }

    #[test]
    fn decodes_what_clients_encode() {
        assert_eq!(
            asked(&format!("/v2/a%2Fb/blobs/sha256%3A{HEX}?ns=quay%2Eio")),
            format!("quay.io/a/b blob sha256:{HEX}")
        );
        assert_eq!(refused("GET", "/v2/a/manifests/%FF").0, 404);
        assert_eq!(refused("GET", "/v2/a/manifests/x?ns=%FF").0, 404);
    }

    #[test]
    fn passes_queries_on_without_ns() {
        assert_eq!(
            asked("/v2/a/b/tags/list?n=5&ns=quay.io&last=x%2By&&"),
            "quay.io/a/b tags n=5&last=x%2By"
        );
        assert_eq!(
            asked(&format!(
                "/v2/a/b/referrers/sha256:{HEX}?artifactType=a/b&ns="
            )),
            format!("docker.io/a/b referrers sha256:{HEX} artifactType=a/b")
        );
    }

    #[test]
    fn refuses_what_is_malformed() {
        for (uri, answer) in [
            ("/v2/A/manifests/x", (400, "NAME_INVALID")),
            ("/v2//manifests/x", (400, "NAME_INVALID")),
            ("/v2/a/../b/manifests/x", (400, "NAME_INVALID")),
            ("/v2/a%2F..%2Fb/tags/list", (400, "NAME_INVALID")),
            ("/v2/a/manifests/.x", (404, "MANIFEST_UNKNOWN")),
            ("/v2/a/manifests/sha256:1", (400, "DIGEST_INVALID")),
            ("/v2/a/blobs/sha256:1", (400, "DIGEST_INVALID")),
            ("/v2/a/blobs/x", (400, "DIGEST_INVALID")),
            ("/v2/a/referrers/x", (400, "DIGEST_INVALID")),
            ("/v2/a/manifests/x?ns=ghcr.io", (404, "NAME_UNKNOWN")),
            ("/v2/ghcr.io/a/manifests/x", (404, "NAME_UNKNOWN")),
            ("/v2/a/nothing/x", (404, "UNSUPPORTED")),
            ("/", (404, "UNSUPPORTED")),
            ("/v2/_catalog?n=x", (400, "PAGINATION_NUMBER_INVALID")),
        ] {
            assert_eq!(refused("GET", uri), answer, "{uri}");
        }
    }

    #[test]
    fn takes_no_writes() {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            for uri in ["/v2/", "/v2/a/blobs/uploads/", "/v2/a/manifests/x"] {
                assert_eq!(refused(method, uri), (405, "UNSUPPORTED"), "{method} {uri}");
            }
            assert_eq!(refused(method, "/elsewhere").0, 404);
        }
    }
}
