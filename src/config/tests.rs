use super::*;
use crate::registry::Credentials;
use crate::registry::Secret;

fn parse(text: &str) -> Result<Config, Error> {
    let environment = |name: &str| match name {
        "PORT" => Some("6000".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        "WAIT" => Some("7s".to_owned()),
        _ => None,
    };
    read(text, Path::new("/etc/tidegate/proxy.toml"), &environment)
}

/// An error as it is printed.
fn refusal(text: &str) -> String {
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

        [store]
        enabled = true
        path = "/var/lib/tidegate"
        max_size = "10GB"

        [defaults]
        tag_ttl = "1h"
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
        allow = ["library/*"]
        deny = ["library/secret"]
        fallback = ["https://mirror.gcr.io"]
        tag_ttl = "2h"
        max_concurrent = 3
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
            header_timeout: secs(3),
            idle_timeout: secs(4),
            max_connections: 5,
        }
    );
    assert_eq!(config.admin.listen, None);
    assert_eq!(config.drain_timeout, secs(60));
    assert_eq!(config.store.path, Path::new("/var/lib/tidegate"));
    assert_eq!(config.store.max_size, Some(10_000_000_000));
    assert_eq!(config.flow.negative_ttl, secs(0));
    assert_eq!(config.flow.on_disconnect, OnDisconnect::Abort);

    let [hub, corp] = &config.upstreams[..] else {
        panic!("{:?}", config.upstreams);
    };
    assert_eq!(hub.tag_ttl, secs(3600));
    assert_eq!(hub.registry.url.as_str(), "https://registry-1.docker.io/");
    let timeouts = &hub.registry.timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.header, timeouts.idle_body],
        [secs(1), secs(7), secs(3)]
    );
    assert_eq!(
        (corp.tag_ttl, corp.registry.max_concurrent),
        (secs(7200), Some(3))
    );
    for (name, passes) in [
        ("library/a", true),
        ("library/secret", false),
        ("other", false),
    ] {
        assert_eq!(corp.names.passes(&name.parse().unwrap()), passes, "{name}");
    }
    let timeouts = &corp.registry.timeouts;
    assert_eq!(
        [timeouts.connect, timeouts.header, timeouts.idle_body],
        [secs(8), secs(9), secs(10)]
    );
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
fn credentials_have_six_forms() {
    for (form, read) in [
        (r#""docker-config""#, Credentials::DockerConfig),
        (r#""anonymous""#, Credentials::Anonymous),
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

/// A file, and the line and the text of what is said about it.
const WRONG: &[(&str, usize, &str)] = &[
    (
        "[server]\nlisten = \"127.0.0.1\"",
        2,
        "server.listen: invalid socket address syntax; this must be an IP address with a port",
    ),
    (
        "[server]\nlisten = [\n\"127.0.0.1:1\",\n\"x\"]",
        4,
        "server.listen: invalid",
    ),
    (
        "[server]\nlisten = []",
        2,
        "server.listen: the list is empty",
    ),
    (
        "[server]\n\ndrain_timout = \"1s\"",
        3,
        "server.drain_timout: there is no such key; did you mean `drain_timeout`?",
    ),
    (
        "[server]\ndrain_timeout = 25",
        2,
        "server.drain_timeout: this is an integer, but it must be a duration such as \"30s\"",
    ),
    (
        "[server]\nidle_timeout = \"0s\"",
        2,
        "server.idle_timeout: it must be more than 0",
    ),
    (
        "[server]\nmax_connections = 0",
        2,
        "server.max_connections: this must be 1 or more",
    ),
    (
        "[server]\nmax_connections = -1",
        2,
        "server.max_connections: this must be 1 or more",
    ),
    (
        "[server]\ntls = { cert = \"a\" }",
        2,
        "server.tls: the key `key` is missing",
    ),
    (
        "[server]\nadmin = \"on\"",
        2,
        "server.admin: invalid socket address syntax; this must be",
    ),
    ("[server\n", 1, "unclosed table, expected `]`"),
    (
        "[sever]\n",
        1,
        "sever: there is no such key; did you mean `server`?",
    ),
    ("[store]\nmax_size = \"lots\"", 2, "store.max_size: "),
    (
        "[store]\nmax_size = \"0\"",
        2,
        "store.max_size: it must be more than 0",
    ),
    (
        "[store]\nenabled = false",
        2,
        "store.enabled: a proxy without the embedded store is not supported in this version yet",
    ),
    (
        "[store]\npath = \"${NOWHERE}\"",
        2,
        "store.path: the environment variable NOWHERE is not set",
    ),
    (
        "[defaults]\non_disconnect = \"stop\"",
        2,
        "defaults.on_disconnect: there is no such choice; this must be \"finish\" or \"abort\"",
    ),
];

/// The same, of what follows `[[upstream]]` in the first line.
const WRONG_UPSTREAM: &[(&str, usize, &str)] = &[
    (
        "name = \"A b\"",
        2,
        "upstream.name: 'A b' is not a registry's name",
    ),
    (
        "name = \"a.io\"\nurl = \"a.io\"",
        3,
        "upstream.url: relative URL without a base; this must be a URL such as",
    ),
    (
        "name = \"a.io\"\nurl = \"ftp://a.io\"",
        3,
        "upstream.url: it must begin with https://",
    ),
    (
        "name = \"a.io\"\nurl = \"https://u:hunter2@a.io\"",
        3,
        "upstream.url: a user or password",
    ),
    (
        "name = \"a.io\"\nurl = \"http://a.io\"",
        3,
        "upstream.url: plain http:// is refused",
    ),
    (
        "name = \"a.io\"\nfallback = [\"https://b.io\", \"http://a.io\"]",
        3,
        "upstream.fallback: plain http:// is refused",
    ),
    (
        "name = \"a.io\"\nallow = [\"{a\"]",
        3,
        "upstream.allow: unclosed alternate group",
    ),
    (
        "name = \"a.io\"\nulr = \"x\"",
        3,
        "upstream.ulr: there is no such key; did you mean `url`?",
    ),
    (
        "name = \"a.io\"\nmax_concurrent = 0",
        3,
        "upstream.max_concurrent: this must be 1 or more",
    ),
    (
        "name = \"a.io\"\nname = \"b.io\"",
        3,
        "the key name is here twice",
    ),
    (
        "url = \"https://a.io\"",
        1,
        "upstream: the key `name` is missing",
    ),
    (
        "name = \"a.io\"\n[[upstream]]\nname = \"a.io\"",
        4,
        "upstream.name: there are two upstreams with the name a.io",
    ),
    (
        "name = \"a:1\"\n[[upstream]]\nname = \"a_1\"",
        4,
        "upstream.name: a_1 and a:1 would be mixed up",
    ),
    (
        "name = \"a.io\"\ndefault = true\n[[upstream]]\nname = \"b.io\"\ndefault = true",
        6,
        "upstream.default: a.io is the default already",
    ),
];

#[test]
fn an_error_names_file_line_and_key() {
    let upstreams = WRONG_UPSTREAM
        .iter()
        .map(|(text, line, said)| (format!("[[upstream]]\n{text}"), line, said));
    let others = WRONG
        .iter()
        .map(|(text, line, said)| ((*text).to_owned(), line, said));
    for (text, line, said) in others.chain(upstreams) {
        let whole = format!("/etc/tidegate/proxy.toml:{line}: {said}");
        let refused = refusal(&text);
        assert!(
            refused.starts_with(&whole),
            "{text}\n  got {refused}\n  not {whole}"
        );
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn what_comes_later_is_refused() {
    for (text, line, key) in [
        ("[[target]]\nname = \"x\"", 1, "target"),
        ("[[prefetch]]\nname = \"x\"", 1, "prefetch"),
        (
            "[server]\nintercept = \"127.0.0.1:3128\"",
            2,
            "server.intercept",
        ),
        (
            "[server]\nlogin = { htpasswd = \"users\" }",
            2,
            "server.login",
        ),
        (
            "[[upstream]]\nname = \"a\"\nrate = \"100/s\"",
            3,
            "upstream.rate",
        ),
        (
            "[[upstream]]\nname = \"a\"\nbandwidth = \"1MB/s\"",
            3,
            "upstream.bandwidth",
        ),
        (
            "[[upstream]]\nname = \"a\"\ncredentials = \"passthrough\"",
            3,
            "upstream.credentials",
        ),
    ] {
        let said = refusal(text);
        assert!(
            said.starts_with(&format!("/etc/tidegate/proxy.toml:{line}: {key}: ")),
            "{said}"
        );
        assert!(said.contains("not supported in this version yet"), "{said}");
    }
}
