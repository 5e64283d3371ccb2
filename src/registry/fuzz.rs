//! Random words of registries, token servers and docker's configuration.

use std::time::Duration;
use std::time::SystemTime;

use fake_registry::Fuzz;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http::header::WWW_AUTHENTICATE;
use proptest::prelude::*;
use url::Url;

use super::answer::Part;
use super::answer::next_query;
use super::challenge::Challenge;
use super::challenge::Scopes;
use super::credential;
use super::credential::Login;
use super::refusal;
use super::refusal::Words;
use super::retry;

fn base() -> Url {
    Url::parse("https://registry.test/v2/").unwrap()
}

fn read_challenge(values: &[HeaderValue]) -> Option<Challenge> {
    let values = values.iter().map(|value| (WWW_AUTHENTICATE, value.clone()));
    Challenge::of(
        &values.collect::<HeaderMap>(),
        &base(),
        &Scopes::parse("repository:own:pull"),
    )
}

/// What looks like a challenge, more or less.
fn challenges() -> impl Strategy<Value = HeaderValue> {
    let words = vec![
        "Bearer",
        "Basic",
        "Negotiate",
        "bearer",
        " ",
        ",",
        "=",
        "realm=",
        "service=",
        "scope=",
        "\"https://auth.test/token\"",
        "\"/token\"",
        "\"",
        "\\\"",
        "repository:a/b:pull",
        "\"repository:a:pull,push registry:catalog:*\"",
        "error=\"insufficient_scope\"",
        "x",
        "\t",
        "realm=\"http://169.254.169.254/\"",
        "realm=\"data:,x\"",
        ";",
    ];
    let pieces = prop::collection::vec(prop::sample::select(words), 0..12);
    prop_oneof![
        3 => pieces.prop_map(|pieces| pieces.concat()),
        1 => "[ -~]{0,60}",
    ]
    .prop_map(|text| HeaderValue::try_from(text).unwrap())
}

#[test]
fn challenges_of_all_kinds() {
    let raw = any::<Vec<u8>>().prop_map(|mut bytes| {
        bytes.retain(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
        HeaderValue::from_bytes(&bytes).unwrap()
    });
    let inputs = prop::collection::vec(prop_oneof![6 => challenges(), 1 => raw], 0..3);
    Fuzz::new(3000).run("WWW-Authenticate", &inputs, |values| {
        if let Some(Challenge::Bearer(key)) = read_challenge(&values) {
            assert!(!key.scopes.is_empty());
            assert_eq!(Scopes::parse(&key.scopes.to_string()), key.scopes);
        }
    });
}

#[test]
fn challenges_round_trip() {
    let text = || "[ !#-\\[\\]-~]{1,20}";
    let scope = prop::option::of("repository:[a-z/]{1,9}:(pull|push,pull)( registry:catalog:\\*)?");
    let inputs = (prop::option::of(text()), scope, any::<bool>(), 0..3_u8);
    let target = "WWW-Authenticate, well-formed";
    Fuzz::new(2000).run(target, &inputs, |(service, scope, quote, order)| {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let mut parameters = vec!["realm=\"https://auth.test/token\"".to_owned()];
        let service = service.map(|text| if quote { text + "\"\\" } else { text });
        parameters.extend(
            service
                .iter()
                .map(|it| format!("service=\"{}\"", escaped(it))),
        );
        parameters.extend(scope.iter().map(|it| format!("scope=\"{it}\"")));
        let count = parameters.len();
        parameters.rotate_left(usize::from(order) % count);
        let header = format!("Bearer {}", parameters.join(", "));
        let Some(Challenge::Bearer(key)) = read_challenge(&[header.parse().unwrap()]) else {
            panic!("not read: {header}");
        };
        assert_eq!(key.realm.as_str(), "https://auth.test/token");
        assert_eq!(key.service, service, "{header}");
        let scopes = Scopes::parse(scope.as_deref().unwrap_or("repository:own:pull"));
        assert_eq!(key.scopes, scopes, "{header}");
    });
}

#[test]
fn links() {
    let pieces = vec![
        "<",
        ">",
        "</v2/a/tags/list?n=1&last=b>",
        "; rel=\"next\"",
        ";rel=next",
        "; rel=prev",
        "?",
        "https://evil.example/x?y",
        ",",
        ";",
        "=",
        "\"",
        " ",
        "rel",
        "NEXT",
    ];
    let pieces = prop::collection::vec(prop::sample::select(pieces), 0..8);
    let inputs = prop_oneof![3 => pieces.prop_map(|it| it.concat()), 1 => any::<String>()];
    Fuzz::new(3000).run("Link", &inputs, |text| {
        if let Some(query) = next_query(&text) {
            assert!(
                text.contains(&format!("?{query}>")) && !query.contains('>'),
                "{query}"
            );
        }
    });
    let query = "[a-zA-Z0-9%&=._~-]{0,30}";
    Fuzz::new(1000).run(
        "Link, well-formed",
        &(query, any::<bool>()),
        |(query, quoted)| {
            let rel = if quoted { "rel=\"next\"" } else { "rel=next" };
            let link = format!("</v2/a/b/tags/list?{query}>; {rel}");
            assert_eq!(next_query(&link), Some(query));
        },
    );
}

fn numbers() -> impl Strategy<Value = String> {
    let number = prop_oneof![0..20_u64, any::<u64>(), Just(u64::MAX)];
    prop_oneof![5 => number.prop_map(|n| n.to_string()), 1 => "[-+* 0-9]{0,22}"]
}

#[test]
fn content_ranges() {
    let inputs = (numbers(), numbers(), numbers(), "(bytes |bytes|items |)");
    let target = "Content-Range";
    Fuzz::new(3000).run(target, &inputs, |(first, last, total, unit)| {
        let text = format!("{unit}{first}-{last}/{total}");
        if let Some(part) = Part::parse(&text) {
            assert!(part.bytes.start < part.bytes.end, "{text}");
            assert!(
                part.total.is_none_or(|total| part.bytes.end <= total),
                "{text}"
            );
        }
    });
}

#[test]
fn refusals_and_retry_after() {
    let json = (any::<String>(), any::<String>(), numbers()).prop_map(|(code, message, more)| {
        let all =
            serde_json::json!({"errors": [{"code": code, "message": message, "detail": more}]});
        all.to_string().into_bytes()
    });
    let body = prop_oneof![2 => json, 1 => any::<Vec<u8>>(), 1 => "[{<]?[ -~]{0,400}".prop_map(Into::into)];
    let after = prop_oneof![
        2 => numbers(),
        1 => "(Mon, |Fri, )?[0-9]{1,2} (Jan|Dec) [0-9]{1,5} [0-9:]{5,8} (GMT|UTC|[+-][0-9]{4})",
        1 => "[ -~]{0,30}",
    ];
    let inputs = (400..600_u16, body, after);
    Fuzz::new(3000).run(
        "refusals and Retry-After",
        &inputs,
        |(status, body, after)| {
            let words = Words::of(&body);
            assert!(words.text.chars().count() <= 301);
            assert!(!words.text.contains(char::is_control), "{:?}", words.text);
            let mut headers = HeaderMap::new();
            headers.extend(HeaderValue::try_from(after).map(|value| (RETRY_AFTER, value)));
            let status = StatusCode::from_u16(status).unwrap();
            let fault = refusal::classify(status, &headers, &words);
            assert!(fault.error.to_string().len() < 2000);
            // Whoever waits adds it to a time of day.
            let wait = retry::retry_after(&headers, SystemTime::now()).unwrap_or_default();
            assert!(wait <= Duration::from_secs(7 * 24 * 3600), "{wait:?}");
        },
    );
}

/// docker's `config.json`, and what may be in its place.
fn docker_configs() -> impl Strategy<Value = String> {
    let auth = prop_oneof![
        Just("bWU6aHVudGVyMg==".to_owned()),
        "[A-Za-z0-9+/=]{0,12}",
        any::<String>(),
    ];
    let entry = (auth, any::<Option<bool>>()).prop_map(|(auth, kind)| match kind {
        Some(true) => serde_json::json!({"auth": auth}),
        Some(false) => serde_json::json!({"identitytoken": auth}),
        None => serde_json::json!({"username": auth, "password": 1}),
    });
    let host = prop_oneof![
        Just("quay.io".to_owned()),
        Just("https://quay.io/v1/".to_owned()),
        any::<String>()
    ];
    let auths = prop::collection::vec((host, entry), 0..3).prop_map(|entries| {
        let auths: serde_json::Map<_, _> = entries.into_iter().collect();
        serde_json::json!({"auths": auths, "HttpHeaders": {}}).to_string()
    });
    prop_oneof![
        4 => auths.clone(),
        1 => (auths, any::<prop::sample::Index>()).prop_map(|(mut text, at)| {
            let at = at.index(text.len());
            text.truncate((0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            text
        }),
        1 => any::<String>(),
    ]
}

#[test]
fn credentials() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    Fuzz::costly(500, 4).run("docker config.json", &docker_configs(), |text| {
        std::fs::write(&path, &text).unwrap();
        let login = credential::from_docker(Some(&path), "quay.io");
        assert!(!format!("{login:?}").contains("hunter2"));
    });
    let inputs = prop_oneof![any::<String>(), "[a-z]{0,3}:?[ -~]{0,9}\r?\n?"];
    Fuzz::costly(500, 4).run("credential file", &inputs, |text| {
        std::fs::write(&path, &text).unwrap();
        match credential::from_file(&path) {
            Ok(Login::Password { username, password }) => {
                let line = format!("{username}:{}", password.expose());
                assert_eq!(text.trim_end_matches(['\r', '\n']), line);
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(text.len() < 5 || !error.to_string().contains(&text)),
        }
    });
}
