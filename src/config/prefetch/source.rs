use std::path::Path;

use toml::Spanned;

use super::Registries;
use super::file::Prefetch;
use super::value::Wording;
use crate::config::place::Flaw;
use crate::config::upstream::Upstream;
use crate::oci::Image;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::UpstreamName;
use crate::prefetch::Release;
use crate::prefetch::Source;
use crate::registry::Credentials;

const RELEASE: &str = "openshift:";
const FILE: &str = "file:";
const QUAY: &str = "quay:";
/// The one Quay that is known by its name.
const QUAY_IO: &str = "quay.io";
const GLOB: [char; 4] = ['*', '?', '[', '{'];

/// Where the set's tags come from.
pub(super) fn all(
    set: &Prefetch,
    registries: Registries<'_>,
    folder: &Path,
) -> Result<Vec<Source>, Flaw> {
    let mut all = Vec::new();
    for word in &set.from.0 {
        let source = one(word, set, (registries, folder))?;
        if all.contains(&source) {
            return Err(Flaw::at(word, "it is in the list twice"));
        }
        all.push(source);
    }
    if all.is_empty() {
        return Err(Flaw::at(
            &set.name,
            "`from` is empty; name a source of tags",
        ));
    }
    let is_release = |source: &Source| matches!(source, Source::Release(_));
    match &set.arch {
        Some(arch) if !all.iter().any(is_release) => Err(Flaw::at(
            arch,
            "this is for OpenShift releases; for images, write platforms = [\"linux/arm64\"]",
        )),
        _ => Ok(all),
    }
}

/// Whether its tags are chosen from a list.
pub(super) fn is_listed(source: &Source) -> bool {
    match source {
        Source::Repository(_) | Source::Catalog { .. } | Source::Quay { .. } => true,
        Source::Image { .. } | Source::Release(_) | Source::References(_) => false,
    }
}

fn one(
    word: &Spanned<Wording>,
    set: &Prefetch,
    (registries, folder): (Registries<'_>, &Path),
) -> Result<Source, Flaw> {
    let text = word.get_ref().0.as_str();
    if let Some(path) = text.strip_prefix(FILE) {
        return match path.trim_start_matches("//") {
            "" => Err(Flaw::at(word, "there is no file behind `file:`")),
            path => Ok(Source::References(folder.join(path))),
        };
    }
    let source = match text.strip_prefix(RELEASE) {
        Some(version) => return release(version, set, word, registries),
        None => read(text, registries),
    };
    source.map_err(|problem| Flaw::at(word, problem))
}

fn release(
    version: &str,
    set: &Prefetch,
    word: &Spanned<Wording>,
    registries: Registries<'_>,
) -> Result<Source, Flaw> {
    let arch = set.arch.iter().flat_map(|list| &list.get_ref().0);
    let arch: Vec<&str> = arch.map(|word| word.get_ref().0.as_str()).collect();
    let release = Release::new(version, &arch).map_err(|error| {
        let place = set.arch.as_ref().map(Spanned::span);
        let place =
            place.filter(|_| matches!(error, crate::prefetch::ReleaseError::Architecture(_)));
        Flaw::new(place.unwrap_or(word.span()), error.to_string())
    })?;
    let upstream = upstream(&release.repository().upstream, registries.upstreams);
    let upstream = upstream.map_err(|problem| Flaw::at(word, problem))?;
    allowed(release.repository(), upstream).map_err(|problem| Flaw::at(word, problem))?;
    Ok(Source::Release(release))
}

/// A repository, an image, or a glob.
fn read(text: &str, registries: Registries<'_>) -> Result<Source, String> {
    let (is_quay, text) = match text.strip_prefix(QUAY) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let is_registry = |name: &str| {
        let mut all = registries.upstreams.iter();
        all.any(|it| it.registry.name.as_str() == name)
    };
    if text.contains(GLOB) {
        return glob(text, is_quay, registries);
    }
    if is_quay {
        return Err(format!(
            "`quay:` is for a glob over a namespace, such as {QUAY}REGISTRY/NAMESPACE/*"
        ));
    }
    let image = Image::read(text, is_registry).map_err(|error| error.to_string())?;
    let upstream = upstream(&image.repository.upstream, registries.upstreams)?;
    let repository = image.repository;
    allowed(&repository, upstream)?;
    Ok(match (image.digest, image.tag) {
        (Some(_), Some(_)) => {
            return Err("it has a tag and a digest; keep one of the two".to_owned());
        }
        (Some(digest), None) => Source::Image {
            repository,
            reference: Reference::Digest(digest),
        },
        (None, Some(tag)) => Source::Image {
            repository,
            reference: Reference::Tag(tag),
        },
        (None, None) => Source::Repository(repository),
    })
}

fn glob(text: &str, is_quay: bool, registries: Registries<'_>) -> Result<Source, String> {
    let (first, pattern) = text
        .split_once('/')
        .filter(|(first, pattern)| !first.contains(GLOB) && !pattern.is_empty())
        .ok_or("a glob begins with an upstream's name, as docker.io/library/* does")?;
    if pattern.contains([':', '@']) {
        return Err("tags are chosen by `tags`, not behind a glob".to_owned());
    }
    globset::Glob::new(pattern).map_err(|error| error.kind().to_string())?;
    let name: UpstreamName = first
        .parse()
        .map_err(|_| format!("'{first}' is no registry"))?;
    let found = upstream(&name, registries.upstreams)?;
    let is_at_quay = found.registry.url.host_str() == Some(QUAY_IO);
    let pattern = pattern.to_owned();
    let upstream = name;
    if !is_quay && !is_at_quay {
        return Ok(Source::Catalog { upstream, pattern });
    }
    let namespace = pattern
        .split_once('/')
        .map_or("", |(namespace, _)| namespace);
    match namespace.is_empty() || namespace.contains(GLOB) {
        true => Err(format!(
            "Quay lists the repositories of one namespace: name it, as in {upstream}/NAMESPACE/*"
        )),
        false => Ok(Source::Quay { upstream, pattern }),
    }
}

fn upstream<'u>(name: &UpstreamName, upstreams: &'u [Upstream]) -> Result<&'u Upstream, String> {
    let found = upstreams.iter().find(|it| it.registry.name == *name);
    let found = found.ok_or_else(|| {
        format!("no upstream is called {name}; add an [[upstream]] with name = \"{name}\"")
    })?;
    match found.registry.credentials {
        Credentials::Passthrough => Err(format!(
            "clients sign in at {name} with credentials of their own, so that nobody could fetch \
             for them"
        )),
        _ => Ok(found),
    }
}

fn allowed(repository: &Repository, upstream: &Upstream) -> Result<(), String> {
    let name = repository.name.as_str();
    match upstream.names.passes(name) {
        true => Ok(()),
        false => Err(format!(
            "{repository} is left out by `allow` or `deny` of its upstream"
        )),
    }
}
