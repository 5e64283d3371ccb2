//! The access log of `docker-registry`: what the upstream was asked for.

/// A request that the registry answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// The requests for content in `log`, in the Combined Log Format, but for those that were sent away
/// to sign in first.
pub(crate) fn asked(log: &str) -> Vec<Asked> {
    log.lines().filter_map(request).collect()
}

fn request(line: &str) -> Option<Asked> {
    let mut quoted = line.split('"').skip(1);
    let mut words = quoted.next()?.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let status = quoted.next()?.split_whitespace().next()?;
    let content = path.starts_with("/v2/") && path != "/v2/" && status != "401";
    content.then(|| Asked {
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

#[test]
fn reads_the_log_of_docker_registry() {
    let log = concat!(
        r#"::1 - - [21/Nov/2026:10:28:13 +0000] "GET /v2/a/manifests/v1 HTTP/1.1" 401 157 "" "x""#,
        "\n",
        r#"::1 - - [21/Nov/2026:10:28:13 +0000] "GET /v2/ HTTP/1.1" 200 2 "" "x""#,
        "\n",
        r#"time="2026-11-21T10:28:13Z" level=info msg="response completed""#,
        "\n",
        r#"::1 - - [21/Nov/2026:10:28:13 +0000] "HEAD /v2/a/manifests/v1 HTTP/2.0" 200 421 "" "x""#,
    );
    let [only] = &asked(log)[..] else {
        panic!("{:?}", asked(log));
    };
    assert_eq!((&*only.method, &*only.path), ("HEAD", "/v2/a/manifests/v1"));
}
