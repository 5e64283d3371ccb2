use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::credentials::Form;
use super::file;
use super::file::Defaults;
use super::login;
use super::place::Flaw;
use super::upstream;
use super::upstream::Upstream;
use super::value::Pattern;
use crate::ledger::Leg;
use crate::oci::NameFilter;
use crate::oci::UpstreamName;
use crate::registry;
use crate::target::Complete;
use crate::target::Config;
use crate::target::Place;

const PLACE: &str = "{upstream}/{repository}";
const CATALOG_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What the embedded store is called among targets.
const STORE: &str = "store";

/// The configured targets, in the file's order.
pub(super) fn all(
    targets: Vec<file::Target>,
    defaults: &Defaults,
    upstreams: &[Upstream],
    folder: &Path,
) -> Result<Vec<Config>, Flaw> {
    distinct(&targets, upstreams)?;
    targets
        .into_iter()
        .map(|target| one(target, defaults, upstreams, folder))
        .collect()
}

/// One name means one registry, wherever it is written: in a journal, in metrics, in a command.
fn distinct(targets: &[file::Target], upstreams: &[Upstream]) -> Result<(), Flaw> {
    let mut names: HashMap<&UpstreamName, String> = upstreams
        .iter()
        .map(|upstream| (&upstream.registry.name, "an upstream".to_owned()))
        .collect();
    for target in targets {
        let name = &target.name.get_ref().0;
        let taken = match name.as_str() {
            STORE => Some("the embedded store".to_owned()),
            _ => names.insert(name, "another target".to_owned()),
        };
        if let Some(taken) = taken {
            let problem = format!("{taken} is called {name} already; choose another name");
            return Err(Flaw::at(&target.name, problem));
        }
    }
    Ok(())
}

fn one(
    target: file::Target,
    defaults: &Defaults,
    upstreams: &[Upstream],
    folder: &Path,
) -> Result<Config, Flaw> {
    upstream::check_scheme(&target.url, target.plain_http)?;
    let mirrored = mirrored(&target, upstreams)?;
    let place = place(&target, &mirrored)?;
    refuse_loops(&target, &mirrored)?;
    Ok(Config {
        place,
        only: only(&target)?,
        complete: target.complete.map_or(Complete::All, |word| word.0),
        read: target.read,
        catalog_ttl: target.catalog_ttl.map_or(CATALOG_TTL, |ttl| ttl.0),
        registry: registry::Config {
            credentials: credentials(&target, folder)?,
            name: target.name.into_inner().0,
            leg: Leg::Target,
            url: target.url.into_inner().0,
            fallback: Vec::new(),
            ca: target.ca.map(|ca| folder.join(ca)),
            plain_http: target.plain_http,
            allow_private: target.allow_private,
            max_concurrent: target.max_concurrent.map(|count| count.0),
            parallel_ranges: None,
            rate: target.rate.map(|rate| rate.0),
            bandwidth: target.bandwidth.map(|speed| speed.0),
            timeouts: upstream::timeouts(
                defaults,
                [
                    target.connect_timeout,
                    target.header_timeout,
                    target.idle_timeout,
                ],
            ),
            retries: upstream::RETRIES,
        },
    })
}

fn patterns(target: &file::Target) -> &[Spanned<Pattern>] {
    let only = target.only.as_ref();
    only.map_or(&[], |only| only.get_ref().as_slice())
}

/// The upstreams that may have repositories which go to this target.
fn mirrored<'u>(
    target: &file::Target,
    upstreams: &'u [Upstream],
) -> Result<Vec<&'u Upstream>, Flaw> {
    if let Some(only) = target
        .only
        .as_ref()
        .filter(|only| only.get_ref().is_empty())
    {
        let problem = "the list is empty, so that nothing would be mirrored; for all, leave it out";
        return Err(Flaw::at(only, problem));
    }
    for pattern in patterns(target) {
        login::names_an_upstream(pattern.get_ref(), upstreams)
            .map_err(|problem| Flaw::at(pattern, problem))?;
        let whole = upstreams.iter().find(|it| is_own(it) && is_of(pattern, it));
        if let Some(upstream) = whole {
            let problem = format!(
                "what clients see at {} with credentials of their own is not mirrored: nobody could \
                 fetch it for them, and others could read it at the target",
                upstream.registry.name
            );
            return Err(Flaw::at(pattern, problem));
        }
    }
    let fits = |upstream: &&Upstream| {
        let of_one = |pattern| may_match(pattern, &upstream.registry.name);
        !is_own(upstream) && (target.only.is_none() || patterns(target).iter().any(of_one))
    };
    Ok(upstreams.iter().filter(fits).collect())
}

fn is_own(upstream: &Upstream) -> bool {
    upstream.registry.credentials == registry::Credentials::Passthrough
}

/// Whether a pattern names this upstream, and no other.
fn is_of(pattern: &Spanned<Pattern>, upstream: &Upstream) -> bool {
    let first = pattern.get_ref().0.split('/').next();
    first == Some(upstream.registry.name.as_str())
}

/// Whether a pattern may match something that begins with `<name>/`: it does not say something else
/// before its first special character.
fn may_match(pattern: &Spanned<Pattern>, name: &UpstreamName) -> bool {
    let text = &pattern.get_ref().0;
    let plain = text
        .find(['*', '?', '[', '{', '\\'])
        .map_or(&**text, |at| &text[..at]);
    let start = format!("{name}/");
    start.starts_with(plain) || plain.starts_with(&start)
}

fn only(target: &file::Target) -> Result<NameFilter, Flaw> {
    let texts = patterns(target).iter();
    let texts: Vec<String> = texts.map(|pattern| pattern.get_ref().0.clone()).collect();
    NameFilter::new(&texts, &[]).map_err(|error| Flaw::at(&target.name, error.to_string()))
}

/// Where repositories of several upstreams go, their names must be told apart.
fn place(target: &file::Target, mirrored: &[&Upstream]) -> Result<Place, Flaw> {
    let Some(template) = &target.repository else {
        return Place::parse(PLACE).map_err(|error| Flaw::at(&target.name, error.to_string()));
    };
    let place = template.get_ref().0.clone();
    match mirrored {
        [first, second, ..] if !place.tells_upstreams_apart() => Err(Flaw::at(
            template,
            format!(
                "repositories of {} and of {} would be mixed up; write `{{upstream}}` into it, or \
                 let `only` name one upstream",
                first.registry.name, second.registry.name
            ),
        )),
        _ => Ok(place),
    }
}

/// What comes from a registry and goes to it again would be mirrored from there once more.
fn refuse_loops(target: &file::Target, mirrored: &[&Upstream]) -> Result<(), Flaw> {
    let url = &target.url.get_ref().0;
    let is_there = |upstream: &&&Upstream| {
        let registry = &upstream.registry;
        let mut places = [&registry.url].into_iter().chain(&registry.fallback);
        places.any(|place| is_same(place, url))
    };
    let Some(upstream) = mirrored.iter().find(is_there) else {
        return Ok(());
    };
    let name = &upstream.registry.name;
    let problem = format!(
        "this is where the upstream {name} is: it would be mirrored into itself; let `only` name the \
         others"
    );
    Err(Flaw::at(&target.url, problem))
}

fn is_same(one: &Url, other: &Url) -> bool {
    let path = |url: &Url| url.path().trim_end_matches('/').to_owned();
    one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
        && path(one) == path(other)
}

fn credentials(target: &file::Target, folder: &Path) -> Result<registry::Credentials, Flaw> {
    match &target.credentials {
        Some(form) if form.get_ref().is_passthrough() => Err(Flaw::at(
            form,
            "clients' own credentials can't be used for a target, which is written to when they have \
             left; name credentials that may push there",
        )),
        Some(form) => Ok(Form::clone(form.get_ref()).within(folder)),
        None => Ok(registry::Credentials::DockerConfig),
    }
}
