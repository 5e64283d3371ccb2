use super::*;

#[test]
fn a_target_has_what_it_needs() {
    let config = parse(
        r#"
        [defaults]
        idle_timeout = "7s"
        [[upstream]]
        name = "docker.io"
        [[upstream]]
        name = "private.example"
        credentials = "passthrough"
        [[target]]
        name = "near"
        url = "https://registry.example"
        repository = "{repository}"
        [[target]]
        name = "far"
        url = "http://127.0.0.1:5000/x"
        plain_http = true
        only = ["docker.io/library/*"]
        credentials = { file = "cred" }
        ca = "ca.crt"
        complete = "requested"
        read = true
        catalog_ttl = "1h"
        max_concurrent = 2
        rate = "100/6h"
        header_timeout = "9s"
        "#,
    );
    let targets = config.unwrap().targets;
    let [near, far] = &targets[..] else {
        panic!("{targets:?}")
    };
    // What clients see with credentials of their own can't be mixed up with the rest.
    assert_eq!(near.place.to_string(), "{repository}");
    assert!(near.only.passes("docker.io/any/thing") && !near.read);
    assert_eq!(near.complete, Complete::All);
    assert_eq!(near.catalog_ttl, Duration::from_secs(7 * 24 * 60 * 60));
    assert_eq!(near.registry.leg, Leg::Target);
    assert_eq!(near.registry.credentials, Credentials::DockerConfig);
    assert!(far.only.passes("docker.io/library/a/b") && far.read);
    assert!(!far.only.passes("docker.io/other"));
    assert_eq!(far.complete, Complete::Requested);
    assert_eq!(far.catalog_ttl, Duration::from_secs(60 * 60));
    let registry = &far.registry;
    assert_eq!(registry.name.as_str(), "far");
    assert_eq!(
        registry.credentials,
        Credentials::File("/etc/tidegate/cred".into())
    );
    assert_eq!(registry.ca, Some("/etc/tidegate/ca.crt".into()));
    assert_eq!(registry.max_concurrent, Some(2));
    let rate = registry.rate.unwrap();
    assert_eq!(
        (rate.requests.get(), rate.per),
        (100, Duration::from_secs(21_600))
    );
    assert_eq!(registry.bandwidth, None);
    assert_eq!(registry.timeouts.header, Duration::from_secs(9));
    assert_eq!(registry.timeouts.idle_body, Duration::from_secs(7));
}

/// A registry may be mirrored from and into, if not into itself.
#[test]
fn a_target_may_be_where_another_upstream_is() {
    let with = |only: &str| {
        parse(&format!(
            r#"
            [[upstream]]
            name = "docker.io"
            [[upstream]]
            name = "corp.example"
            fallback = ["https://other.example:8443"]
            [[target]]
            name = "corp"
            url = "https://other.example:8443/"
            only = ["{only}"]
            "#
        ))
    };
    with("docker.io/*").unwrap();
    with("docker.io/library/[ab]*").unwrap();
    for only in ["corp.example/*", "*", "c*", "*/*", "corp.example/team/*"] {
        let said = with(only).unwrap_err().to_string();
        assert!(said.contains("would be mirrored into itself"), "{said}");
    }
}
