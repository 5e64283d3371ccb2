//! Random requests: whatever is asked, the answer is an ask of a configured upstream, or a 4xx.

use fake_registry::Fuzz;
use http::HeaderValue;
use http::Request;
use http::header;
use http::request::Parts;
use proptest::prelude::*;

use super::answer;
use super::catalog::Page;
use super::condition;
use super::fault::Fault;
use super::route::Route;
use super::route::route;
use super::upstream::Upstreams;
use crate::flow::Ask;
use crate::flow::ByteRange;
use crate::flow::Want;
use crate::ledger::FlowId;
use crate::oci::Digest;
use crate::oci::Endpoint;
use crate::oci::UpstreamName;
use crate::oci::below_v2;

const CONFIGURED: [&str; 3] = ["docker.io", "quay.io", "localhost:5001"];

/// A part of a path or a query, legal or not, as clients write it and as nobody should.
fn piece() -> impl Strategy<Value = String> {
    let known = vec![
        "v2",
        "_catalog",
        "manifests",
        "blobs",
        "tags",
        "list",
        "referrers",
        "uploads",
        "library",
        "docker.io",
        "quay.io",
        "localhost:5001",
        "localhost_5001",
        "registry-1.docker.io",
        "evil.example",
        "127.0.0.1:1",
        "a",
        "nginx",
        "latest",
        "..",
        ".",
        "%2e%2e",
        "%2F",
        "%00",
        "%",
        "%zz",
        "_layers",
        "_manifests",
        "",
    ];
    prop_oneof![
        6 => prop::sample::select(known).prop_map(str::to_owned),
        2 => "[a-z0-9]{1,4}([._-][a-z0-9]{1,3}){0,2}",
        2 => "sha256:[0-9a-f]{64}",
        1 => "sha256%3[Aa][0-9a-f]{64}",
        1 => "[!-~]{0,8}",
        1 => "(%[0-9a-fA-F]{2}){1,4}",
    ]
}

fn uris() -> impl Strategy<Value = String> {
    let path = prop::collection::vec(piece(), 0..7).prop_map(|pieces| pieces.join("/"));
    let start = prop::sample::select(vec!["/v2/", "/v2/", "/v2/", "/", "", "http://quay.io/v2/"]);
    let key = prop::sample::select(vec!["ns", "ns", "n", "last", "artifactType", "x", "Ns", ""]);
    let query = prop::collection::vec((key, piece()), 0..4).prop_map(|pairs| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join("&")
    });
    (start, path, prop::option::of(query)).prop_map(|(start, path, query)| match query {
        Some(query) => format!("{start}{path}?{query}"),
        None => format!("{start}{path}"),
    })
}

/// A request, where `http` can make one of it.
fn requests() -> impl Strategy<Value = Option<Parts>> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "HEAD", "POST", "DELETE", "BREW"]);
    let host = prop::option::of(prop_oneof![piece(), Just("quay.io:443".to_owned())]);
    (method, uris(), host).prop_map(|(method, uri, host)| {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(host) = host {
            request = request.header(header::HOST, host);
        }
        Some(request.body(()).ok()?.into_parts().0)
    })
}

fn routed(request: &Parts, default: bool) -> Result<Route, Fault> {
    let hub: UpstreamName = "docker.io".parse().unwrap();
    let upstreams = Upstreams {
        knows: |name: &UpstreamName| CONFIGURED.contains(&name.as_str()),
        default: default.then_some(&hub),
    };
    route(request, &upstreams, FlowId::next())
}

/// The shortest request for the same.
fn canonical(ask: &Ask) -> Parts {
    let (path, query) = match &ask.want {
        Want::Manifest { reference, .. } => (format!("manifests/{reference}"), ""),
        Want::Blob { digest, .. } => (format!("blobs/{digest}"), ""),
        Want::Tags { query } => ("tags/list".to_owned(), query.as_str()),
        Want::Referrers { digest, query } => (format!("referrers/{digest}"), query.as_str()),
    };
    let method = if ask.head { "HEAD" } else { "GET" };
    let (upstream, name) = (&ask.repository.upstream, &ask.repository.name);
    // A name may begin with what looks like an upstream: then with the upstream before it, too.
    let before = match name.as_str().contains('/') {
        true => upstream.path_component() + "/",
        false => String::new(),
    };
    let uri = format!("/v2/{before}{name}/{path}?{query}&ns={upstream}");
    let request = Request::builder().method(method).uri(uri).body(());
    request.unwrap().into_parts().0
}

fn short(ask: &Ask) -> String {
    let want = match &ask.want {
        Want::Manifest { reference, .. } => reference.to_string(),
        Want::Blob { digest, .. } => digest.to_string(),
        Want::Tags { query } => format!("tags {query}"),
        Want::Referrers { digest, query } => format!("{digest} {query}"),
    };
    format!("{} {want} {}", ask.repository, ask.head)
}

#[test]
fn request_paths() {
    let inputs = (requests(), any::<bool>());
    Fuzz::new(5000).run("request paths", &inputs, |(request, default)| {
        let Some(request) = request else { return };
        match routed(&request, default) {
            Err(fault) => assert!(fault.status.is_client_error(), "{}", fault.status),
            Ok(Route::Ping { .. } | Route::Catalog(_)) => {
                assert!(below_v2(request.uri.path()).is_some())
            }
            Ok(Route::Content(ask) | Route::List(ask)) => {
                assert!(CONFIGURED.contains(&ask.repository.upstream.as_str()));
                if let Want::Tags { query } | Want::Referrers { query, .. } = &ask.want {
                    assert!(
                        !query.split('&').any(|pair| pair.starts_with("ns=")),
                        "{query}"
                    );
                }
                let again = routed(&canonical(&ask), false);
                let Ok(Route::Content(again) | Route::List(again)) = again else {
                    panic!("{} is refused", short(&ask));
                };
                assert_eq!(short(&again), short(&ask));
            }
        }
    });
}

#[test]
fn arbitrary_paths() {
    let inputs = prop_oneof![any::<String>(), "/v2/[ -~]{0,60}", "/v2(/[a-z:]{0,9}){0,6}"];
    Fuzz::new(3000).run("arbitrary paths", &inputs, |text| {
        assert!(Endpoint::parse(&text).is_none() || below_v2(&text).is_some());
    });
}

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0..40_u64, any::<u64>(), Just(u64::MAX), Just(0)]
}

fn header_value() -> impl Strategy<Value = Option<HeaderValue>> {
    let digest = Digest::of(b"x");
    let tags = prop::sample::select(vec![
        format!("\"{digest}\""),
        format!("W/\"{digest}\""),
        digest.to_string(),
        format!("\"{digest}"),
        "*".to_owned(),
        "\"other\"".to_owned(),
        "W/*".to_owned(),
        ",".to_owned(),
        String::new(),
    ]);
    let list = prop::collection::vec(tags, 0..4).prop_map(|tags| tags.join(","));
    prop_oneof![
        list.prop_map(|text| HeaderValue::try_from(text).ok()),
        any::<Vec<u8>>().prop_map(|bytes| HeaderValue::from_bytes(&bytes).ok()),
    ]
}

fn ranges() -> impl Strategy<Value = Option<HeaderValue>> {
    let number =
        || prop_oneof![6 => numbers().prop_map(|n| n.to_string()), 1 => "[-+ 0-9a-z]{0,4}"];
    let one = (number(), number(), 0..5_u8).prop_map(|(a, b, how)| match how {
        0 => format!("{a}-"),
        1 => format!("-{b}"),
        2 => format!("{a}{b}"),
        _ => format!("{a}-{b}"),
    });
    let set = prop::collection::vec(one, 0..3).prop_map(|ranges| ranges.join(","));
    let unit = prop::sample::select(vec![
        "bytes=", "bytes=", "bytes=", "BYTES=", "items=", "bytes ", "",
    ]);
    prop_oneof![
        4 => (unit, set).prop_map(|(unit, set)| HeaderValue::try_from(unit.to_owned() + &set).ok()),
        1 => any::<Vec<u8>>().prop_map(|bytes| HeaderValue::from_bytes(&bytes).ok()),
    ]
}

#[test]
fn ranges_and_conditions() {
    let inputs = (ranges(), header_value(), header_value(), numbers());
    let target = "ranges and conditional headers";
    Fuzz::new(4000).run(target, &inputs, |(range, if_range, if_none_match, size)| {
        let mut request = Request::builder().body(()).unwrap().into_parts().0;
        let headers = &mut request.headers;
        headers.extend(range.clone().map(|value| (header::RANGE, value)));
        headers.extend(
            if_none_match
                .clone()
                .map(|value| (header::IF_NONE_MATCH, value)),
        );
        let digest = Digest::of(b"x");
        if condition::not_modified(&request.headers, &digest) {
            let text = if_none_match
                .expect("a condition")
                .to_str()
                .unwrap()
                .to_owned();
            assert!(
                text.contains('*') || text.contains(digest.as_str()),
                "{text}"
            );
        }
        let plain = condition::range(&request, &digest);
        if let Some(part) = plain.and_then(|asked| asked.within(size)) {
            assert!(
                part.start < part.end && part.end <= size,
                "{part:?} of {size}"
            );
        }
        if let Some(ByteRange::Within(first, last)) = plain {
            assert!(first <= last);
        }
        if plain.is_some() {
            let text = range.unwrap().to_str().unwrap().to_ascii_lowercase();
            assert!(text.starts_with("bytes=") && !text.contains(','), "{text}");
        }
        let has_condition = if_range.is_some();
        request
            .headers
            .extend(if_range.map(|value| (header::IF_RANGE, value)));
        let conditional = condition::range(&request, &digest);
        assert!(conditional.is_none() || conditional == plain);
        assert!(has_condition || conditional == plain);
    });
}

#[test]
fn whole_ranges_round_trip() {
    let inputs = (numbers(), numbers(), 0..3_u8);
    Fuzz::new(2000).run("well-formed ranges", &inputs, |(first, second, kind)| {
        let (text, expected) = match kind {
            0 => (format!("bytes={first}-"), Some(ByteRange::From(first))),
            1 => (format!("bytes=-{first}"), Some(ByteRange::Suffix(first))),
            _ => (
                format!("bytes={first}-{second}"),
                (first <= second).then_some(ByteRange::Within(first, second)),
            ),
        };
        let request = Request::builder()
            .header(header::RANGE, &text)
            .body(())
            .unwrap();
        let read = condition::range(&request.into_parts().0, &Digest::of(b"x"));
        assert_eq!(read, expected, "{text}");
    });
}

#[test]
fn catalog_pages() {
    let name = || prop_oneof!["[a-z]{1,3}(/[a-z._-]{1,3})?", "[ -~äö]{0,5}"];
    let number = prop_oneof!["[0-9]{1,2}", "[-+0-9a-z%]{0,22}"];
    let inputs = (
        prop::collection::btree_set(name(), 0..12),
        number,
        name(),
        any::<String>(),
    );
    Fuzz::new(2000).run("catalog pages", &inputs, |(names, n, last, noise)| {
        let sorted: Vec<String> = names.into_iter().collect();
        if let Ok(page) = Page::parse(&noise) {
            page.of(&sorted);
        }
        let last: String =
            percent_encoding::utf8_percent_encode(&last, percent_encoding::NON_ALPHANUMERIC)
                .to_string();
        let Ok(first) = Page::parse(&format!("n={n}&last={last}")) else {
            assert!(n.parse::<usize>().is_err(), "{n} is a number");
            return;
        };
        let expected: Vec<_> = sorted
            .iter()
            .filter(|name| **name > first.last)
            .cloned()
            .collect();
        let mut got = Vec::new();
        let mut page = first.clone();
        loop {
            let (json, next) = page.of(&sorted);
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            let shown = json["repositories"].as_array().unwrap();
            assert!(first.n.is_none_or(|n| shown.len() <= n));
            got.extend(shown.iter().map(|name| name.as_str().unwrap().to_owned()));
            let Some(next) = next else { break };
            assert!(
                answer::link("/v2/_catalog", &next, None).is_some(),
                "{next}"
            );
            page = Page::parse(&next).unwrap();
        }
        assert!(first.n == Some(0) || got == expected);
    });
}

#[test]
fn links_of_lists() {
    let inputs = (
        any::<String>(),
        prop_oneof![any::<String>(), "[a-z=&%0-9]{0,20}"],
    );
    Fuzz::new(2000).run("links of lists", &inputs, |(path, query)| {
        if let Some(link) = answer::link(&path, &query, Some("quay.io")) {
            let bytes = link.as_bytes();
            assert!(bytes.ends_with(b"&ns=quay.io>; rel=\"next\""));
            assert!(!bytes.contains(&b'\n') && !bytes.contains(&b'\r'));
        }
    });
}
