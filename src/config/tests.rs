use super::*;
use crate::ledger::Leg;
use crate::login;
use crate::login::Rule;
use crate::registry::Credentials;
use crate::registry::Secret;
use crate::target::Complete;

mod targets;

pub(super) fn parse(text: &str) -> Result<Config, Error> {
    let environment = |name: &str| match name {
        "PORT" => Some("6000".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "WAIT" => Some("7s".to_owned()),
        _ => None,
    };
    read(text, Path::new("/etc/tidegate/proxy.toml"), &environment)
}

/// An error as it is printed.
pub(super) fn refusal(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.front.listen, ["127.0.0.1:5000".parse().unwrap()]);
    assert_eq!(config.admin.listen, Some("127.0.0.1:5001".parse().unwrap()));
    assert_eq!(config.store.path, Path::new("/etc/tidegate/tidegate-data"));
    assert_eq!(config.store.max_size, Some(50 * 1024 * 1024 * 1024));
    assert_eq!(
        config.front.default_upstream,
        Some("docker.io".parse().unwrap())
    );
    let names: Vec<_> = config
        .upstreams
        .iter()
        .map(|u| u.registry.name.as_str())
        .collect();
    assert_eq!(names, upstream::BUILT_IN);
    let urls: Vec<_> = config
        .upstreams
        .iter()
        .map(|u| u.registry.url.as_str())
        .collect();
    assert_eq!(
        urls[..2],
        ["https://registry-1.docker.io/", "https://ghcr.io/"]
    );
    assert!(
        config
            .upstreams
            .iter()
            .all(|u| u.registry.credentials == Credentials::DockerConfig)
    );
}

#[test]
fn every_key_arrives() {
    let config = parse(
        r#"
        [server]
        listen = ["127.0.0.1:${PORT}", "[::1]:5000"]
        admin = "off"
        tls = { cert = "tls.crt", key = "/run/tls.key", client_ca = "ca.crt" }
        drain_timeout = "1m"
        header_timeout = "3s"
        idle_timeout = "4s"
        max_connections = 5
        max_connections_per_client = 3
        max_streams = 7
        intercept = "[::1]:3128"
        intercept_ca = "authority"
        login = { htpasswd = "users", tokens = "/run/tokens", certificates = true }
        admin_login = { tokens = "admins" }

        [[access]]
        who = ["alice", "ci-*"]
        allow = ["docker.io/*", "c*"]
        deny = ["corp.example:8443/x"]

        [store]
        enabled = true
        path = "/var/lib/tidegate"
        max_size = "10GB"

        [ledger]
        journal = "journal.jsonl"
        journal_max_size = "1MiB"
        journal_files = 3

        [defaults]
        tag_ttl = "1h"
        auth_ttl = "1m"
        negative_ttl = "0s"
        on_disconnect = "abort"
        connect_timeout = "1s"
        header_timeout = "${WAIT}"
        idle_timeout = "3s"

        [[upstream]]
        name = "docker.io"
        default = true

        [[upstream]]
        name = "corp.example:8443"
        url = "http://corp.example:8443/prefix"
        credentials = { username = "me", password = "${SECRET}" }
        ca = "corp.crt"
        plain_http = true
        allow_private = true
        allow = ["library/*"]
        deny = ["library/secret"]
        fallback = ["https://mirror.gcr.io"]
        tag_ttl = "2h"
        auth_ttl = "0s"
        max_concurrent = 3
        parallel_ranges = 16
        rate = "6000/m"
        bandwidth = "50MiB/s"
        connect_timeout = "8s"
        header_timeout = "9s"
        idle_timeout = "10s"
        "#,
    )
    .unwrap();
    let secs = Duration::from_secs;
    assert_eq!(
        config.front,
        front::Config {
            listen: vec![
                "127.0.0.1:6000".parse().unwrap(),
                "[::1]:5000".parse().unwrap()
            ],
            tls: Some(front::Tls {
                cert: "/etc/tidegate/tls.crt".into(),
                key: "/run/tls.key".into(),
                client_ca: Some("/etc/tidegate/ca.crt".into()),
            }),
            default_upstream: Some("docker.io".parse().unwrap()),
            intercept: Some(front::Intercept {
                listen: "[::1]:3128".parse().unwrap(),
                authority: "/etc/tidegate/authority".into(),
            }),
            intercepted: hosts(&[
                ("registry-1.docker.io:443", "docker.io"),
                ("docker.io:443", "docker.io"),
                ("corp.example:8443", "corp.example:8443"),
            ]),
            header_timeout: secs(3),
            idle_timeout: secs(4),
            max_connections: 5,
            max_connections_per_client: 3,
            max_streams: 7,
            login: Some(login::Config {
                htpasswd: Some("/etc/tidegate/users".into()),
                tokens: Some("/run/tokens".into()),
                certificates: true,
            }),
            access: Access::new(vec![Rule {
                who: vec!["alice".into(), "ci-*".into()],
                allow: vec!["docker.io/*".into(), "c*".into()],
                deny: vec!["corp.example:8443/x".into()],
            }])
            .unwrap(),
        }
    );
    let admin_login = config.admin.login.unwrap();
    assert_eq!(admin_login.tokens, Some("/etc/tidegate/admins".into()));
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.drain_timeout, secs(60));
    assert_eq!(config.store.path, Path::new("/var/lib/tidegate"));
    assert_eq!(config.store.max_size, Some(10_000_000_000));
    let journal = config.ledger.journal.as_deref();
    assert_eq!(journal, Some(Path::new("/etc/tidegate/journal.jsonl")));
    assert_eq!(config.ledger.rotation.max_size, Some(1 << 20));
    assert_eq!(config.ledger.rotation.files, 3);
    assert_eq!(config.flow.negative_ttl, secs(0));
    assert_eq!(config.flow.on_disconnect, OnDisconnect::Abort);

    let [hub, corp] = &config.upstreams[..] else {
        panic!("{:?}", config.upstreams);
    };
    assert_eq!(hub.tag_ttl, secs(3600));
    assert_eq!((hub.auth_ttl, corp.auth_ttl), (secs(60), secs(0)));
    assert_eq!(hub.registry.url.as_str(), "https://registry-1.docker.io/");
    let timeouts = &hub.registry.timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.header, timeouts.idle_body],
        [secs(1), secs(7), secs(3)]
    );
    assert_eq!(
        (hub.registry.parallel_ranges, corp.registry.parallel_ranges),
        (None, Some(16))
    );
    assert_eq!(
        (corp.tag_ttl, corp.registry.max_concurrent),
        (secs(7200), Some(3))
    );
    assert_eq!(
        corp.registry.rate.map(|rate| rate.per_second()),
        Some(100.0)
    );
    assert_eq!(corp.registry.bandwidth.map(u64::from), Some(50 << 20));
    for (name, passes) in [
        ("library/a", true),
        ("library/secret", false),
        ("other", false),
    ] {
        assert_eq!(corp.names.passes(name), passes, "{name}");
    }
    let timeouts = &corp.registry.timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.header, timeouts.idle_body],
        [secs(8), secs(9), secs(10)]
    );
    assert!(!hub.registry.allow_private && corp.registry.allow_private);
    let registry = &corp.registry;
    assert_eq!(registry.url.as_str(), "http://corp.example:8443/prefix");
    assert_eq!(registry.fallback[0].as_str(), "https://mirror.gcr.io/");
    assert_eq!(registry.ca, Some("/etc/tidegate/corp.crt".into()));
    let (username, password) = ("me".to_owned(), Secret::new("hunter2"));
    assert_eq!(
        registry.credentials,
        Credentials::Basic { username, password }
    );
}

#[test]
fn one_header_is_not_the_login_here_and_at_an_upstream() {
    let mut config = parse("").unwrap();
    config.upstreams[3].registry.credentials = Credentials::Passthrough;
    let refused = |text: &str| {
        let keys: toml::Spanned<file::Login> = toml::de::from_str::<Keys>(text).unwrap().login;
        let login = super::login::front(&keys, true, Path::new("")).unwrap();
        super::login::refuse_two_logins(&keys, &login, &config.upstreams).is_err()
    };
    #[derive(serde::Deserialize)]
    struct Keys {
        login: toml::Spanned<file::Login>,
    }
    assert!(refused("login = { htpasswd = \"users\" }"));
    assert!(refused("login = { tokens = \"x\", certificates = true }"));
    assert!(!refused("login = { certificates = true }"));
}

#[test]
fn credentials_have_seven_forms() {
    for (form, read) in [
        (r#""docker-config""#, Credentials::DockerConfig),
        (r#""anonymous""#, Credentials::Anonymous),
        (r#""passthrough""#, Credentials::Passthrough),
        (r#"{ token = "t" }"#, Credentials::Token(Secret::new("t"))),
        (
            r#"{ helper = "ecr-login" }"#,
            Credentials::Helper("ecr-login".to_owned()),
        ),
        (
            r#"{ file = "cred" }"#,
            Credentials::File("/etc/tidegate/cred".into()),
        ),
    ] {
        let config = parse(&format!(
            "[[upstream]]\nname = \"a.io\"\ncredentials = {form}"
        ))
        .unwrap();
        assert_eq!(config.upstreams[0].registry.credentials, read);
    }
    for form in [
        r#""hunter2""#,
        "{ password = \"hunter2\" }",
        "{ password = 1 }",
        "{ token = \"hunter2\", file = \"x\" }",
        "{}",
        "{ helper = \"../hunter2\" }",
    ] {
        let said = refusal(&format!(
            "[[upstream]]\nname = \"a.io\"\ncredentials = {form}"
        ));
        assert!(
            said.starts_with("/etc/tidegate/proxy.toml:3: upstream.credentials"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

fn hosts(all: &[(&str, &str)]) -> front::Hosts {
    let pair = |(host, name): &(&str, &str)| ((*host).to_owned(), name.parse().unwrap());
    all.iter().map(pair).collect()
}

/// Where clients sign in upstream themselves, they must reach it.
#[test]
fn what_is_intercepted_is_what_we_can_answer_for() {
    let config = parse(
        r#"
        [[upstream]]
        name = "quay.io"
        [[upstream]]
        name = "private.example"
        credentials = "passthrough"
        [[upstream]]
        name = "plain"
        url = "http://10.0.0.1/x"
        plain_http = true
        "#,
    );
    let expected = [
        ("quay.io:443", "quay.io"),
        ("10.0.0.1:80", "plain"),
        ("plain:443", "plain"),
    ];
    assert_eq!(config.unwrap().front.intercepted, hosts(&expected));
    assert_eq!(parse("").unwrap().front.intercept, None);
}
