use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::Config;
use super::credentials::Form;
use super::file;
use super::file::Defaults;
use super::place::Flaw;
use super::value::Location;
use super::value::Pattern;
use super::value::Wait;
use crate::front::Hosts;
use crate::ledger::Leg;
use crate::oci::NameFilter;
use crate::oci::UpstreamName;
use crate::registry;
use crate::registry::Retries;
use crate::registry::Timeouts;

/// The registries that are mirrored where none is configured. The first is the default.
pub(super) const BUILT_IN: [&str; 10] = [
    "docker.io",
    "ghcr.io",
    "quay.io",
    "gcr.io",
    "registry.k8s.io",
    "public.ecr.aws",
    "mcr.microsoft.com",
    "cgr.dev",
    "lscr.io",
    "registry.gitlab.com",
];

const TAG_TTL: Duration = Duration::from_secs(5 * 60);
const AUTH_TTL: Duration = Duration::from_secs(5 * 60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
pub(super) const RETRIES: Retries = Retries {
    attempts: 4,
    base: Duration::from_millis(200),
    cap: Duration::from_secs(10),
};

/// An upstream, before there is a client for it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// How to talk to it.
    pub registry: registry::Config,
    /// How long a tag is believed without asking again.
    pub tag_ttl: Duration,
    /// How long a client's own permission is believed without asking again.
    pub auth_ttl: Duration,
    /// Which repositories may be asked for.
    pub names: NameFilter,
}

impl Config {
    /// How to talk to the registry that people call `host`: as to the upstream of that name, or to the
    /// upstream or target at that place; else as docker would. One that is not configured is spoken to without TLS
    /// where `plain_http` says so.
    pub fn registry(&self, host: &UpstreamName, leg: Leg, plain_http: bool) -> registry::Config {
        let upstreams = self.upstreams.iter().map(|upstream| &upstream.registry);
        let targets = self.targets.iter().map(|target| &target.registry);
        let is_at = |one: &&registry::Config| place_of(&one.url).as_deref() == Some(host.as_str());
        let known = match leg {
            // What an upstream may be asked with may not suffice to push.
            Leg::Target => targets.clone().find(is_at),
            _ => None,
        };
        let known = known.or_else(|| upstreams.clone().find(|one| one.name == *host));
        let known = known.or_else(|| upstreams.chain(targets).find(is_at));
        let mut config = known.cloned().unwrap_or_else(|| unknown(host, plain_http));
        if config.credentials == registry::Credentials::Passthrough {
            // There is no client whose they could be.
            config.credentials = registry::Credentials::DockerConfig;
        }
        if leg == Leg::Target {
            // What is pushed goes to one place.
            config.fallback.clear();
        }
        registry::Config {
            name: host.clone(),
            leg,
            ..config
        }
    }
}

/// Host and port, as people write them in a reference.
fn place_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn unknown(name: &UpstreamName, plain_http: bool) -> registry::Config {
    let url = usual_url(name);
    let mut url = url.unwrap_or_else(|_| unreachable!("a registry's name is a host"));
    if plain_http {
        let _ = url.set_scheme("http");
    }
    usual(
        name.clone(),
        url,
        timeouts(&Defaults::default(), [None; 3]),
        plain_http,
    )
}

/// The configured upstreams, else the built-in ones, and which one is the default.
pub(super) fn all(
    upstreams: Vec<file::Upstream>,
    defaults: &Defaults,
    folder: &Path,
) -> Result<(Vec<Upstream>, Option<UpstreamName>), Flaw> {
    if upstreams.is_empty() {
        return Ok(built_in(defaults));
    }
    let default = default(&upstreams)?;
    distinct(&upstreams)?;
    let upstreams = upstreams
        .into_iter()
        .map(|upstream| one(upstream, defaults, folder))
        .collect::<Result<_, _>>()?;
    Ok((upstreams, default))
}

/// Where clients go that want these upstreams: host and port, in lower case. Those whose clients sign
/// in upstream themselves are left out: where they do may be at the same host.
pub(super) fn hosts(upstreams: &[Upstream]) -> Hosts {
    let mut hosts = Hosts::new();
    let mut add = |host: String, name: &UpstreamName| {
        let host = host.to_ascii_lowercase();
        hosts.entry(host).or_insert_with(|| name.clone());
    };
    let all = upstreams.iter().map(|upstream| &upstream.registry);
    let all = all.filter(|one| !matches!(one.credentials, registry::Credentials::Passthrough));
    let all: Vec<_> = all.collect();
    for one in &all {
        if let (Some(host), Some(port)) = (one.url.host_str(), one.url.port_or_known_default()) {
            add(format!("{host}:{port}"), &one.name);
        }
    }
    for one in all {
        let name = one.name.as_str();
        let port = if name.contains(':') { "" } else { ":443" };
        add(format!("{name}{port}"), &one.name);
    }
    hosts
}

fn built_in(defaults: &Defaults) -> (Vec<Upstream>, Option<UpstreamName>) {
    let names = BUILT_IN.iter().filter_map(|name| name.parse().ok());
    let upstreams: Vec<Upstream> = names
        .filter_map(|name: UpstreamName| {
            let url = usual_url(&name).ok()?;
            Some(Upstream {
                registry: usual(name, url, timeouts(defaults, [None; 3]), false),
                tag_ttl: tag_ttl(defaults),
                auth_ttl: auth_ttl(defaults),
                names: NameFilter::default(),
            })
        })
        .collect();
    let default = upstreams.first().map(|first| first.registry.name.clone());
    (upstreams, default)
}

/// A registry that nothing is said of.
fn usual(name: UpstreamName, url: Url, timeouts: Timeouts, plain_http: bool) -> registry::Config {
    registry::Config {
        name,
        url,
        leg: Leg::Upstream,
        fallback: Vec::new(),
        credentials: registry::Credentials::DockerConfig,
        ca: None,
        plain_http,
        allow_private: false,
        max_concurrent: None,
        parallel_ranges: None,
        rate: None,
        bandwidth: None,
        timeouts,
        retries: RETRIES,
    }
}

fn default(upstreams: &[file::Upstream]) -> Result<Option<UpstreamName>, Flaw> {
    let mut default: Option<&UpstreamName> = None;
    for upstream in upstreams {
        let Some(mark) = upstream.default.as_ref().filter(|mark| *mark.get_ref()) else {
            continue;
        };
        if let Some(first) = default {
            return Err(Flaw::at(
                mark,
                format!("{first} is the default already, and there can be only one"),
            ));
        }
        default = Some(&upstream.name.get_ref().0);
    }
    Ok(default.cloned())
}

/// Refuses a second upstream of a name, and one whose content would be stored in the same folder.
fn distinct(upstreams: &[file::Upstream]) -> Result<(), Flaw> {
    let mut folders: HashMap<String, &UpstreamName> = HashMap::new();
    for upstream in upstreams {
        let name = &upstream.name.get_ref().0;
        if let Some(first) = folders.insert(name.path_component(), name) {
            let problem = if first == name {
                format!("there are two upstreams with the name {name}; remove or rename one")
            } else {
                format!("{name} and {first} would be mixed up in paths; rename one")
            };
            return Err(Flaw::at(&upstream.name, problem));
        }
    }
    Ok(())
}

fn one(upstream: file::Upstream, defaults: &Defaults, folder: &Path) -> Result<Upstream, Flaw> {
    check_places(&upstream)?;
    let waits = [
        upstream.connect_timeout,
        upstream.header_timeout,
        upstream.idle_timeout,
    ];
    let names = names(&upstream)?;
    let url = |location: Spanned<Location>| location.into_inner().0;
    let place = match upstream.url {
        Some(location) => url(location),
        None => usual_url(&upstream.name.get_ref().0)
            .map_err(|error| Flaw::at(&upstream.name, error.to_string()))?,
    };
    Ok(Upstream {
        tag_ttl: upstream
            .tag_ttl
            .map_or_else(|| tag_ttl(defaults), |ttl| ttl.0),
        auth_ttl: upstream
            .auth_ttl
            .map_or_else(|| auth_ttl(defaults), |ttl| ttl.0),
        names,
        registry: registry::Config {
            name: upstream.name.into_inner().0,
            url: place,
            leg: Leg::Upstream,
            fallback: upstream.fallback.into_iter().map(url).collect(),
            credentials: upstream
                .credentials
                .map_or(registry::Credentials::DockerConfig, |credentials| {
                    credentials.within(folder)
                }),
            ca: upstream.ca.map(|ca| folder.join(ca)),
            plain_http: upstream.plain_http,
            allow_private: upstream.allow_private,
            max_concurrent: upstream.max_concurrent.map(|count| count.0),
            parallel_ranges: upstream.parallel_ranges.map(|count| count.0),
            rate: upstream.rate.map(|rate| rate.0),
            bandwidth: upstream.bandwidth.map(|speed| speed.0),
            timeouts: timeouts(defaults, waits),
            retries: RETRIES,
        },
    })
}

fn check_places(upstream: &file::Upstream) -> Result<(), Flaw> {
    for location in upstream.url.iter().chain(&upstream.fallback) {
        check_scheme(location, upstream.plain_http)?;
    }
    let is_passthrough = upstream
        .credentials
        .as_ref()
        .is_some_and(Form::is_passthrough);
    match upstream.fallback.first() {
        Some(fallback) if is_passthrough => Err(Flaw::at(
            fallback,
            "what clients sign in with is for `url` alone: with credentials = \"passthrough\" there \
             is no fallback; remove one of the two",
        )),
        _ => Ok(()),
    }
}

/// Refuses `http:` where it isn't asked for.
pub(super) fn check_scheme(location: &Spanned<Location>, plain_http: bool) -> Result<(), Flaw> {
    if location.get_ref().0.scheme() == "http" && !plain_http {
        return Err(Flaw::at(
            location,
            "plain http:// is refused; use https://, or set plain_http = true where the network can \
             be trusted",
        ));
    }
    Ok(())
}

fn names(upstream: &file::Upstream) -> Result<NameFilter, Flaw> {
    let texts = |patterns: &[Pattern]| -> Vec<String> {
        patterns.iter().map(|pattern| pattern.0.clone()).collect()
    };
    NameFilter::new(&texts(&upstream.allow), &texts(&upstream.deny))
        .map_err(|error| Flaw::at(&upstream.name, error.to_string()))
}

/// Where a registry is that is called `name`. Docker Hub alone is elsewhere.
fn usual_url(name: &UpstreamName) -> Result<Url, url::ParseError> {
    match name.as_str() {
        "docker.io" => Url::parse("https://registry-1.docker.io"),
        host => Url::parse(&format!("https://{host}")),
    }
}

fn tag_ttl(defaults: &Defaults) -> Duration {
    defaults.tag_ttl.map_or(TAG_TTL, |ttl| ttl.0)
}

fn auth_ttl(defaults: &Defaults) -> Duration {
    defaults.auth_ttl.map_or(AUTH_TTL, |ttl| ttl.0)
}

pub(super) fn timeouts(defaults: &Defaults, own: [Option<Wait>; 3]) -> Timeouts {
    let [connect, header, idle] = own;
    let wait = |own: Option<Wait>, all: Option<Wait>, usual: Duration| {
        own.or(all).map_or(usual, |wait| wait.0)
    };
    Timeouts {
        connect: wait(connect, defaults.connect_timeout, CONNECT_TIMEOUT),
        header: wait(header, defaults.header_timeout, HEADER_TIMEOUT),
        idle_body: wait(idle, defaults.idle_timeout, IDLE_TIMEOUT),
    }
}
