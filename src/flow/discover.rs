//! What prefetch asks of a source before it knows what it wants: tags, repositories, referrers.
//! Always the source itself, by requests of its own: a list that is remembered is no list of now.

use std::collections::BTreeSet;
use std::collections::HashSet;
use std::hash::Hash;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Accept;
use super::Call;
use super::Error;
use super::PullThrough;
use super::upstream::Route;
use crate::ledger::Fate;
use crate::ledger::FlowId;
use crate::oci::Descriptor;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Reference;
use crate::oci::Repository;
use crate::oci::Tag;
use crate::oci::UpstreamName;
use crate::registry;
use crate::registry::Listing;

/// What refers to a manifest: signatures, attestations, SBOMs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrers {
    /// What does, each once.
    pub descriptors: Vec<Descriptor>,
    /// How that was found out.
    pub by: ReferrersBy,
}

/// How a registry tells what refers to a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferrersBy {
    /// By the referrers API (distribution spec, "Listing Referrers").
    Api,
    /// By an index under a tag made of the digest (distribution spec, "Referrers Tag Schema").
    FallbackTag,
}

/// How many pages are read, at most: more are no list.
const MOST_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Repositories {
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Manifests {
    manifests: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
}

impl PullThrough {
    /// All tags of `repository`, as its source lists them now, in its order; those that are no legal
    /// tags are left out. Dropping the future ends the request.
    ///
    /// # Errors
    /// When the source refuses, is out, or tells no list.
    pub async fn listed(&self, repository: &Repository, flow: FlowId) -> Result<Vec<Tag>, Error> {
        let call = self.own_call(repository, flow)?;
        let list = List::Tags(&call.repository.name);
        let pages = list.pages(&call.route, flow).await;
        let pages: Vec<Tags> = pages.map_err(|error| refused(&call, error))?;
        let all = pages.into_iter().filter_map(|page| page.tags);
        Ok(legal(all.flatten()))
    }

    /// All repositories of an upstream that may be asked for, as its catalog lists them now. Dropping
    /// the future ends the request.
    ///
    /// # Errors
    /// When the source refuses, which most public registries do, is out, or tells no list.
    pub async fn repositories(
        &self,
        upstream: &UpstreamName,
        flow: FlowId,
    ) -> Result<Vec<Name>, Error> {
        let route = self.route(upstream)?;
        if route.access.is_some() {
            return Err(Error::Passthrough(upstream.to_string()));
        }
        let pages = List::Catalog.pages(&route, flow).await;
        let pages: Vec<Repositories> = pages.map_err(|error| Error::Ping {
            upstream: upstream.clone(),
            error,
        })?;
        let all = pages.into_iter().filter_map(|page| page.repositories);
        let mut names: Vec<Name> = legal(all.flatten());
        names.retain(|name| route.upstream.names.passes(name.as_str()));
        Ok(names)
    }

    /// What refers to `digest`: by the referrers API, else by its fallback tag. A source that was
    /// found to have no API is asked for the tag at once; not even that where `tags`, all tags of the
    /// repository, don't have it. Dropping the future ends the request.
    ///
    /// # Errors
    /// When the source refuses, or is out. That there is nothing is no error.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        tags: Option<&BTreeSet<Tag>>,
        flow: FlowId,
    ) -> Result<Referrers, Error> {
        let call = self.own_call(repository, flow)?;
        if call.registry.is_shut() {
            return self.referrers_offline(repository, digest).await;
        }
        if !call.route.lacks_referrers() {
            match referrers_by_api(&call, digest).await {
                Ok(descriptors) => {
                    let by = ReferrersBy::Api;
                    return Ok(Referrers { descriptors, by });
                }
                Err(error) if is_unknown_api(&error) => call.route.found_no_referrers(),
                Err(error) => return Err(error),
            }
        }
        let by = ReferrersBy::FallbackTag;
        let descriptors = self.referrers_by_tag(&call, digest, tags).await?;
        Ok(Referrers { descriptors, by })
    }

    async fn referrers_by_tag(
        &self,
        call: &Call,
        digest: &Digest,
        tags: Option<&BTreeSet<Tag>>,
    ) -> Result<Vec<Descriptor>, Error> {
        let Some(tag) = fallback_tag(digest) else {
            return Ok(Vec::new());
        };
        if tags.is_some_and(|tags| !tags.contains(&tag)) {
            return Ok(Vec::new());
        }
        let (registry, name) = (call.registry(), &call.repository.name);
        let (reference, accept) = (Reference::Tag(tag), Accept::Native);
        let got = registry.manifest_get(call.flow, name, &reference, accept.header());
        match call.noted(got.await) {
            Ok(mut list) => {
                list.unspent.spend_all(Fate::Passed);
                let list = serde_json::from_slice::<Manifests>(&list.bytes);
                Ok(list.map(Manifests::descriptors).unwrap_or_default())
            }
            Err(registry::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(refused(call, error)),
        }
    }
}

async fn referrers_by_api(call: &Call, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
    let list = List::Referrers(&call.repository.name, digest);
    let pages = list.pages(&call.route, call.flow).await;
    let pages: Vec<Manifests> = pages.map_err(|error| refused(call, error))?;
    Ok(pages.into_iter().flat_map(Manifests::descriptors).collect())
}

/// Whether a registry does not know the referrers API: it must answer 200 where it does, also of
/// manifests that nothing refers to. What it says of credentials is another matter.
fn is_unknown_api(error: &Error) -> bool {
    match error {
        Error::NoRepository(..) => true,
        Error::Upstream { error, .. } => {
            matches!(error, registry::Error::Status { status, .. } if *status < 500)
                || matches!(error, registry::Error::Invalid { .. })
        }
        _ => false,
    }
}

/// `<algorithm>-<hex>`, as long as a tag may be.
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    let algorithm = subject.algorithm().as_str();
    let text = format!("{algorithm}-{}", &hex[..hex.len().min(64)]);
    text.parse().ok()
}

/// A list that comes in pages.
#[derive(Clone, Copy, Debug)]
enum List<'a> {
    Tags(&'a Name),
    Catalog,
    Referrers(&'a Name, &'a Digest),
}

impl List<'_> {
    /// All its pages.
    async fn pages<T: DeserializeOwned>(
        self,
        route: &Route,
        flow: FlowId,
    ) -> Result<Vec<T>, registry::Error> {
        let mut asked = HashSet::new();
        let mut pages = Vec::new();
        let mut next = Some(self.first().to_owned());
        while let Some(query) = next.take() {
            if asked.len() == MOST_PAGES || !asked.insert(query.clone()) {
                let why = format!("its list has no end: `{query}` comes again");
                return Err(registry::Error::Wrong(why));
            }
            let page = self.page(route, flow, &query).await;
            route.breaker.note(&page);
            let mut page = page?;
            page.unspent.spend_all(Fate::Passed);
            let read = serde_json::from_slice(&page.bytes);
            pages.push(read.map_err(|error| {
                registry::Error::Wrong(format!("a list that can't be read: {error}"))
            })?);
            next = page.next;
        }
        Ok(pages)
    }

    /// The query of the first page.
    fn first(self) -> &'static str {
        match self {
            Self::Tags(_) | Self::Catalog => "n=1000",
            Self::Referrers(..) => "",
        }
    }

    async fn page(
        self,
        route: &Route,
        flow: FlowId,
        query: &str,
    ) -> Result<Listing, registry::Error> {
        let registry = route.in_background();
        match self {
            Self::Tags(name) => registry.tag_list(flow, name, query).await,
            Self::Catalog => registry.catalog(flow, query).await,
            Self::Referrers(name, digest) => registry.referrers(flow, name, digest, query).await,
        }
    }
}

/// Those of `all` that are legal, each once.
fn legal<T: FromStr + Clone + Eq + Hash>(all: impl Iterator<Item = String>) -> Vec<T> {
    let mut seen = HashSet::new();
    all.filter_map(|text| text.parse::<T>().ok())
        .filter(|one| seen.insert(one.clone()))
        .collect()
}

fn refused(call: &Call, error: registry::Error) -> Error {
    let repository = call.repository.clone();
    match error {
        registry::Error::NotFound { code } => Error::NoRepository(repository, code),
        error => Error::Upstream { repository, error },
    }
}

impl Manifests {
    fn descriptors(self) -> Vec<Descriptor> {
        let entries = self.manifests.unwrap_or_default().into_iter();
        let known = entries.filter_map(|entry| {
            Some(Descriptor {
                media_type: entry.media_type.into(),
                digest: entry.digest.parse().ok()?,
                size: entry.size,
            })
        });
        known.collect()
    }
}
