//! Random files of users and tokens, random `Authorization` headers, random certificates.

use std::net::Ipv4Addr;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fake_registry::Fuzz;
use fake_registry::Pki;
use http::HeaderValue;
use proptest::prelude::*;
use proptest::sample::Index;
use rustls_pki_types::CertificateDer;

use super::header_value::Credentials;
use super::htpasswd::Users;
use super::token::Tokens;
use super::*;

/// Of "wonderland", at the lowest cost.
const HASH: &str = "$2y$04$itm6IKy0ucLb49hZEoE5sOG0Pmx7EMGMa6dW8jBrhUh8sI3kGav1G";
const SECRET: &str = "hunter2-and-more";

/// Lines as they stand in such files, and others.
fn lines() -> impl Strategy<Value = String> {
    let known = vec![
        format!("alice:{HASH}"),
        format!("bob:{HASH}"),
        format!("carol:{}", &HASH[..40]),
        format!("dave:{SECRET}"),
        format!("eve:{{SHA}}{SECRET}"),
        format!("ci:sha256:{}", "a1".repeat(32)),
        format!("ci:sha256:{SECRET}"),
        format!(":{SECRET}"),
        SECRET.to_owned(),
        "# people".to_owned(),
        String::new(),
    ];
    let line = prop_oneof![
        6 => prop::sample::select(known),
        1 => "[ -~]{0,30}",
        1 => any::<String>(),
    ];
    prop::collection::vec(line, 0..6).prop_map(|lines| lines.join("\n"))
}

#[test]
fn files_of_users_and_tokens() {
    Fuzz::new(1500).run("htpasswd and tokens", &lines(), |text| {
        let count = text.split('\n').count();
        let path = Path::new("/etc/file");
        let errors = [
            Users::parse(path, &text).err(),
            Tokens::parse(path, &text).err(),
        ];
        for said in errors.into_iter().flatten().map(|error| error.to_string()) {
            let rest = said.strip_prefix("/etc/file:").expect(&said);
            let line: usize = rest.split(':').next().unwrap().parse().unwrap();
            assert!((1..=count).contains(&line), "{said}");
            assert!(
                !said.contains(SECRET) && !said.contains(&HASH[8..40]),
                "{said}"
            );
        }
    });
}

#[test]
fn authorization_headers() {
    let word = prop::sample::select(vec![
        "Basic ",
        "Bearer ",
        "basic  ",
        "Digest ",
        "",
        "YWxpY2U6d29uZGVybGFuZA==",
        "Og==",
        "=",
        "/zpw",
        "!",
        " ",
        ":",
    ]);
    let words = prop::collection::vec(word, 0..4).prop_map(|words| words.concat().into_bytes());
    let inputs = prop_oneof![3 => words, 1 => any::<Vec<u8>>()];
    Fuzz::new(3000).run("Authorization", &inputs, |value| {
        match Credentials::parse(&value) {
            Some(Credentials::Basic { name, .. }) => assert!(!name.contains(':')),
            Some(Credentials::Bearer(token)) => assert!(!token.is_empty()),
            None => {}
        }
    });
    let inputs = ("[^:]{0,12}", any::<Vec<u8>>(), any::<bool>());
    let target = "Authorization, well-formed";
    Fuzz::new(1000).run(target, &inputs, |(name, password, padded)| {
        let pair = [name.as_bytes(), b":", &*password].concat();
        let mut text = format!("Basic {}", BASE64_STANDARD.encode(pair));
        if !padded {
            text.truncate(text.trim_end_matches('=').len());
        }
        let read = Credentials::parse(text.as_bytes());
        assert!(
            read == Some(Credentials::Basic { name, password }),
            "{text}"
        );
    });
}

#[test]
fn nobody_gets_in_by_chance() {
    let folder = tempfile::tempdir().unwrap();
    let (users, tokens) = (folder.path().join("users"), folder.path().join("tokens"));
    std::fs::write(&users, format!("alice:{HASH}\n")).unwrap();
    std::fs::write(&tokens, "ci:a-token\n").unwrap();
    let config = Config {
        htpasswd: Some(users),
        tokens: Some(tokens),
        certificates: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let right = [
        format!("Basic {}", BASE64_STANDARD.encode("alice:wonderland")),
        format!("Basic {}", BASE64_STANDARD.encode("ci:a-token")),
        "Bearer a-token".to_owned(),
    ];
    let change = (any::<Index>(), any::<u8>(), 0..3_u8);
    let inputs = (prop::sample::select(right.to_vec()), change, any::<u32>());
    let target = "logins, nearly right";
    Fuzz::costly(100, 100).run(target, &inputs, |(text, (at, byte, how), address)| {
        // A login of its own for each, so that none is refused for there were too many.
        let login = runtime.block_on(async { Login::load(config.clone()).unwrap() });
        let mut bytes = text.clone().into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => bytes.truncate(at),
        }
        let Ok(value) = HeaderValue::from_bytes(&bytes) else {
            return;
        };
        let headers: HeaderMap = [(header::AUTHORIZATION, value)].into_iter().collect();
        let admitted = runtime.block_on(login.admit(&headers, Ipv4Addr::from(address).into()));
        if let Ok(user) = admitted {
            // The same in other words: the scheme's case, spaces, padding.
            let same =
                |text: &str| Credentials::parse(text.as_bytes()) == Credentials::parse(&bytes);
            assert!(right.iter().any(|text| same(text)), "{user:?} by {bytes:?}");
        }
    });
}

#[test]
fn certificates() {
    let pki = Pki::new();
    let certificates = vec![
        pki.client("alice").cert_der.to_vec(),
        pki.server(&["a.test"]).cert_der.to_vec(),
    ];
    let changes = prop::collection::vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..4);
    let changed = (prop::sample::select(certificates), changes).prop_map(|(mut der, changes)| {
        for (at, byte, how) in changes {
            let at = at.index(der.len().max(1)).min(der.len().saturating_sub(1));
            match how {
                0 | 1 if !der.is_empty() => der[at] = byte,
                2 => der.insert(at, byte),
                _ => der.truncate(at),
            }
        }
        der
    });
    let inputs = prop_oneof![9 => changed, 1 => any::<Vec<u8>>()];
    Fuzz::new(2000).run("client certificates", &inputs, |der| {
        let name = name_of(&CertificateDer::from(der));
        assert!(name.is_none_or(|name| !name.as_str().is_empty()));
    });
}
