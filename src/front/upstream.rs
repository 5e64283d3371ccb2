use crate::oci::UpstreamName;

use super::fault::Fault;

/// What Docker Hub calls itself besides `docker.io`, which is what images call it.
const DOCKER_HUB: [&str; 2] = ["registry-1.docker.io", "index.docker.io"];

/// The upstreams that there are.
pub(super) struct Upstreams<'a, K> {
    /// Whether an upstream is configured.
    pub(super) knows: K,
    /// Whose repositories are meant where a request names no upstream.
    pub(super) default: Option<&'a UpstreamName>,
}

/// What of a request names the upstream, as the client wrote it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clues<'a> {
    /// The `ns` of the query, decoded.
    pub(super) ns: Option<&'a str>,
    /// `Host`, or `:authority`.
    pub(super) host: Option<&'a str>,
    /// The repository's name, perhaps with the upstream's before it.
    pub(super) name: &'a str,
}

/// The upstream of a request, and the name there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice<'a> {
    /// The upstream.
    pub(super) upstream: UpstreamName,
    /// The repository's name, not parsed yet.
    pub(super) name: &'a str,
    /// Whether `library/` belongs before the name.
    pub(super) library: bool,
}

impl<K: Fn(&UpstreamName) -> bool> Upstreams<'_, K> {
    /// The upstream that `ns`, the first path component, the host or the default says, in this
    /// order. Who says `ns` or calls us by the upstream's own host name means the path as it is.
    pub(super) fn choose<'a>(&self, clues: Clues<'a>) -> Result<Choice<'a>, Fault> {
        let first = clues.name.split_once('/');
        if let Some(ns) = clues.ns {
            let upstream = self.find(ns).ok_or_else(|| Fault::unknown_upstream(ns))?;
            return Ok(match first {
                Some((prefix, rest)) if self.find(prefix).as_ref() == Some(&upstream) => {
                    Choice::of(upstream, rest).with_library()
                }
                _ => Choice::of(upstream, clues.name),
            });
        }
        if let Some((prefix, rest)) = first
            && let Some(upstream) = self.find(prefix)
        {
            return Ok(Choice::of(upstream, rest).with_library());
        }
        if let Some(upstream) = clues.host.and_then(|host| self.at(host)) {
            return Ok(Choice::of(upstream, clues.name));
        }
        match first {
            Some((prefix, _)) if is_host(prefix) => Err(Fault::unknown_upstream(prefix)),
            _ => {
                let default = self.default.ok_or_else(|| Fault::no_upstream(clues.name))?;
                Ok(Choice::of(default.clone(), clues.name).with_library())
            }
        }
    }

    /// The upstream of a request without a repository: that of `ns`, the host or the default says.
    /// None where `ns` names nothing: the requests that follow are told so.
    pub(super) fn greeted(&self, ns: Option<&str>, host: Option<&str>) -> Option<UpstreamName> {
        match ns {
            Some(ns) => self.find(ns),
            None => {
                let named = host.and_then(|host| self.at(host));
                named.or_else(|| self.default.cloned())
            }
        }
    }

    /// The configured upstream that `text` names.
    fn find(&self, text: &str) -> Option<UpstreamName> {
        let name: UpstreamName = if text.bytes().any(|b| b.is_ascii_uppercase()) {
            text.to_ascii_lowercase().parse().ok()?
        } else {
            text.parse().ok()?
        };
        if (self.knows)(&name) {
            return Some(name);
        }
        if DOCKER_HUB.contains(&name.as_str()) {
            return "docker.io".parse().ok().filter(|name| (self.knows)(name));
        }
        // As a path component, a name with a port is written without its colon.
        let (host, port) = name.as_str().rsplit_once('_')?;
        let name = format!("{host}:{port}").parse().ok()?;
        (self.knows)(&name).then_some(name)
    }

    /// The configured upstream that is called by the authority `host`.
    fn at(&self, host: &str) -> Option<UpstreamName> {
        self.find(host).or_else(|| {
            let (name, port) = host.rsplit_once(':')?;
            matches!(port, "443" | "80").then(|| self.find(name))?
        })
    }
}

impl<'a> Choice<'a> {
    fn of(upstream: UpstreamName, name: &'a str) -> Self {
        Self {
            upstream,
            name,
            library: false,
        }
    }

    /// Docker Hub keeps the images that people write without a namespace in `library`.
    fn with_library(mut self) -> Self {
        self.library = self.upstream.as_str() == "docker.io" && !self.name.contains('/');
        self
    }
}

/// Whether a name's first component is a registry's host: the rule of docker's references.
fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIGURED: [&str; 4] = ["docker.io", "quay.io", "localhost:5001", "corp"];

    fn choose(
        ns: Option<&str>,
        host: Option<&str>,
        name: &str,
        default: Option<&str>,
    ) -> Result<String, http::StatusCode> {
        let default = default.map(|name| name.parse::<UpstreamName>().unwrap());
        let upstreams = Upstreams {
            knows: |name: &UpstreamName| CONFIGURED.contains(&name.as_str()),
            default: default.as_ref(),
        };
        let choice = upstreams.choose(Clues { ns, host, name });
        choice
            .map(|c| {
                let library = if c.library { "library/" } else { "" };
                format!("{} {library}{}", c.upstream, c.name)
            })
            .map_err(|fault| fault.status)
    }

    #[test]
    fn ns_comes_first_and_takes_the_path_as_it_is() {
        let ns = |ns, name| choose(Some(ns), Some("docker.io"), name, Some("docker.io")).unwrap();
        assert_eq!(ns("quay.io", "a/b"), "quay.io a/b");
        assert_eq!(ns("quay.io", "quay.io/a/b"), "quay.io a/b");
        assert_eq!(ns("quay.io", "docker.io/a"), "quay.io docker.io/a");
        assert_eq!(
            ns("quay.io", "openstack.kolla/a"),
            "quay.io openstack.kolla/a"
        );
        assert_eq!(ns("QUAY.io", "a"), "quay.io a");
        assert_eq!(ns("docker.io", "nginx"), "docker.io nginx");
        assert_eq!(
            ns("docker.io", "docker.io/nginx"),
            "docker.io library/nginx"
        );
        assert_eq!(ns("registry-1.docker.io", "a/b"), "docker.io a/b");
        assert_eq!(ns("localhost:5001", "a"), "localhost:5001 a");
    }

    #[test]
    fn an_unknown_ns_is_no_upstream() {
        for ns in [
            "ghcr.io",
            "",
            "a/b",
            "quay.io:443",
            "..",
            "registry-2.docker.io",
        ] {
            let refused = choose(Some(ns), None, "docker.io/a/b", Some("docker.io"));
            assert_eq!(refused.unwrap_err(), 404, "{ns}");
        }
    }

    #[test]
    fn then_the_first_component() {
        let path = |name| choose(None, Some("docker.io"), name, Some("docker.io")).unwrap();
        assert_eq!(path("quay.io/a/b"), "quay.io a/b");
        assert_eq!(path("docker.io/nginx"), "docker.io library/nginx");
        assert_eq!(path("docker.io/a/b"), "docker.io a/b");
        assert_eq!(path("localhost:5001/a"), "localhost:5001 a");
        assert_eq!(path("localhost_5001/a"), "localhost:5001 a");
        assert_eq!(path("corp/a"), "corp a");
        assert_eq!(path("index.docker.io/nginx"), "docker.io library/nginx");
    }

    #[test]
    fn then_the_host() {
        let host = |host, name| choose(None, Some(host), name, None);
        assert_eq!(host("quay.io", "a/b").unwrap(), "quay.io a/b");
        assert_eq!(host("Quay.io:443", "a.b/c").unwrap(), "quay.io a.b/c");
        assert_eq!(host("registry-1.docker.io", "a").unwrap(), "docker.io a");
        assert_eq!(host("localhost:5001", "a").unwrap(), "localhost:5001 a");
        assert_eq!(host("quay.io:5000", "a/b").unwrap_err(), 404);
        assert_eq!(host("[::1]:5000", "a/b").unwrap_err(), 404);
    }

    #[test]
    fn then_the_default_unless_a_registry_is_named() {
        let default = |name| choose(None, Some("localhost:5000"), name, Some("docker.io"));
        assert_eq!(default("library/nginx").unwrap(), "docker.io library/nginx");
        assert_eq!(default("nginx").unwrap(), "docker.io library/nginx");
        assert_eq!(default("a.b").unwrap(), "docker.io library/a.b");
        for name in ["ghcr.io/a", "localhost/a", "host:1/a", "a.b/c/d"] {
            assert_eq!(default(name).unwrap_err(), 404, "{name}");
        }
        assert_eq!(choose(None, None, "a/b", None).unwrap_err(), 404);
    }
}
