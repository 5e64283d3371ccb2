//! What is in a store, and what takes its room. Reads only; works beside a process that serves.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::SystemTime;

use serde::Serialize;
use serde::Serializer;

use super::Config;
use super::Error;
use super::layout::Layout;
use super::layout::RepositoryFolder;
use super::links;
use super::manifests;
use super::walk;
use super::walk::FoundRepository;
use crate::oci::Digest;
use crate::oci::Manifest;

/// A repository in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repository {
    /// `<upstream>/<name>`. The colon before an upstream's port is written as `_`, as it is on
    /// disk.
    pub repository: String,
    /// Manifests that it may open, with a tag or without.
    pub manifests: u64,
    /// Its tags, sorted as bytes.
    pub tags: Vec<Tag>,
}

/// A tag in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tag {
    /// The tag.
    pub tag: String,
    /// What it points to.
    pub digest: String,
    /// The manifest's media type; `None` where the manifest is not stored.
    pub media_type: Option<String>,
    /// What is stored of it, in bytes: its manifest, and all that this one names, at any depth.
    pub size: u64,
    /// How many manifests and blobs that it names are not stored: never asked for, or evicted.
    pub missing: u64,
    /// When the upstream last confirmed it; RFC 3339 in JSON.
    #[serde(serialize_with = "rfc3339")]
    pub confirmed: SystemTime,
}

/// What takes the store's room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// Blobs and manifests that are stored.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// What no repository may open: [`super::gc`] removes it.
    pub unlinked: Share,
    /// By upstream, sorted as bytes.
    pub upstreams: Vec<UpstreamUsage>,
}

/// A part of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Blobs and manifests.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
}

/// What an upstream's repositories take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamUsage {
    /// The upstream, as its folder is called.
    pub upstream: String,
    /// What only its repositories may open, each blob counted once.
    pub unique: Share,
    /// What other upstreams' repositories may open as well.
    pub shared: Share,
    /// Its repositories, sorted as bytes.
    pub repositories: Vec<RepositoryUsage>,
}

/// What a repository takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepositoryUsage {
    /// `<upstream>/<name>`, as [`Repository::repository`].
    pub repository: String,
    /// What only it may open.
    pub unique: Share,
    /// What other repositories may open as well.
    pub shared: Share,
}

impl Share {
    fn add(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes += size;
    }
}

/// Lists repositories and their tags, sorted as bytes.
///
/// # Errors
/// When there is no store, or it can't be read.
pub fn ls(config: &Config) -> Result<Vec<Repository>, Error> {
    let layout = Layout::existing(&config.path)?;
    let mut repositories = Vec::new();
    for found in walk::repositories(&layout)? {
        repositories.push(Repository {
            repository: found.display(),
            manifests: walk::links(&found.folder.revisions())?.len() as u64,
            tags: tags(&layout, &found.folder)?,
        });
    }
    Ok(repositories)
}

fn tags(layout: &Layout, repository: &RepositoryFolder) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    for (tag, folder) in walk::tags(repository)? {
        let Some(record) = links::tag(&folder)? else {
            continue;
        };
        let media_type = match walk::manifest(layout, &record.digest)? {
            Some(content) => Some(manifests::media_type(repository, &record.digest, &content)?),
            None => None,
        };
        let (size, missing) = reach(layout, &record.digest)?;
        tags.push(Tag {
            tag: tag.to_string(),
            digest: record.digest.to_string(),
            media_type: media_type.map(|media_type| media_type.to_string()),
            size,
            missing,
            confirmed: record.confirmed,
        });
    }
    Ok(tags)
}

/// The bytes that are stored of a manifest and all that it names, and how many parts are not.
fn reach(layout: &Layout, root: &Digest) -> Result<(u64, u64), Error> {
    let (mut size, mut missing) = (0, 0);
    let mut manifests = vec![root.clone()];
    let mut seen = HashSet::from([root.clone()]);
    while let Some(digest) = manifests.pop() {
        let Some(content) = walk::manifest(layout, &digest)? else {
            missing += 1;
            continue;
        };
        size += content.len() as u64;
        let named = Manifest::parse(&content);
        manifests.extend(
            named
                .manifests
                .into_iter()
                .filter(|d| seen.insert(d.clone())),
        );
        for blob in named.blobs.into_iter().filter(|d| seen.insert(d.clone())) {
            match walk::size(layout, &blob)? {
                Some(bytes) => size += bytes,
                None => missing += 1,
            }
        }
    }
    Ok((size, missing))
}

/// Counts what is stored, and whose it is.
///
/// # Errors
/// When there is no store, or it can't be read.
pub fn du(config: &Config) -> Result<DiskUsage, Error> {
    let layout = Layout::existing(&config.path)?;
    let repositories = walk::repositories(&layout)?;
    let owners = owners(&repositories)?;
    let mut blobs = Vec::new();
    walk::blobs(&layout, |digest| {
        if let Some(size) = walk::size(&layout, &digest)? {
            blobs.push((digest, size));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut tally = Tally::default();
    for (digest, size) in &blobs {
        let owners = owners.get(digest).map_or(&[][..], Vec::as_slice);
        tally.add(&repositories, owners, *size);
    }
    Ok(DiskUsage {
        blobs: blobs.len() as u64,
        bytes: blobs.iter().map(|(_, size)| size).sum(),
        unlinked: tally.unlinked,
        upstreams: tally.upstreams(&repositories),
    })
}

/// Which repositories, as positions, may open a digest.
fn owners(repositories: &[FoundRepository]) -> Result<HashMap<Digest, Vec<usize>>, Error> {
    let mut owners = HashMap::<Digest, Vec<usize>>::new();
    for (position, found) in repositories.iter().enumerate() {
        let mut digests = walk::links(&found.folder.layers())?;
        digests.extend(walk::links(&found.folder.revisions())?);
        for digest in digests.into_iter().collect::<BTreeSet<_>>() {
            owners.entry(digest).or_default().push(position);
        }
    }
    Ok(owners)
}

/// Unique and shared parts, by repository and by upstream.
#[derive(Default)]
struct Tally<'a> {
    unlinked: Share,
    repositories: BTreeMap<usize, (Share, Share)>,
    upstreams: BTreeMap<&'a str, (Share, Share)>,
}

impl<'a> Tally<'a> {
    fn add(&mut self, repositories: &'a [FoundRepository], owners: &[usize], size: u64) {
        let upstreams: BTreeSet<&str> = owners
            .iter()
            .map(|owner| repositories[*owner].upstream.as_str())
            .collect();
        if owners.is_empty() {
            self.unlinked.add(size);
        }
        for owner in owners {
            let (unique, shared) = self.repositories.entry(*owner).or_default();
            if owners.len() == 1 { unique } else { shared }.add(size);
        }
        let alone = upstreams.len() == 1;
        for upstream in upstreams {
            let (unique, shared) = self.upstreams.entry(upstream).or_default();
            if alone { unique } else { shared }.add(size);
        }
    }

    fn upstreams(&self, repositories: &[FoundRepository]) -> Vec<UpstreamUsage> {
        let mut list: Vec<UpstreamUsage> = Vec::new();
        for (position, found) in repositories.iter().enumerate() {
            let (unique, shared) = self
                .repositories
                .get(&position)
                .copied()
                .unwrap_or_default();
            let usage = RepositoryUsage {
                repository: found.display(),
                unique,
                shared,
            };
            match list.last_mut() {
                Some(last) if last.upstream == found.upstream => last.repositories.push(usage),
                _ => {
                    let share = self.upstreams.get(found.upstream.as_str());
                    let (unique, shared) = share.copied().unwrap_or_default();
                    list.push(UpstreamUsage {
                        upstream: found.upstream.clone(),
                        unique,
                        shared,
                        repositories: vec![usage],
                    });
                }
            }
        }
        list
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = jiff::Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&time)
}
