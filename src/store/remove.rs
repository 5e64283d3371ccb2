//! Removes what somebody names. Works beside a process that serves; what that one holds in memory
//! is forgotten by it in its own time.

use serde::Serialize;

use super::Config;
use super::Error;
use super::durable;
use super::error::At as _;
use super::layout::Layout;
use super::layout::RepositoryFolder;
use super::links;
use super::walk;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// What to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// All links and tags of a repository.
    Repository(Repository),
    /// A tag. Its manifest can still be opened by digest.
    Tag(Repository, Tag),
    /// The links of one repository to a manifest or a blob, and the tags that point to it.
    Link(Repository, Digest),
    /// A manifest or a blob itself, all links to it, and the tags that point to it.
    Digest(Digest),
}

/// What was removed. Blobs that have no link any more stay until [`super::gc`] runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Tags.
    pub tags: u64,
    /// Links to manifests.
    pub manifests: u64,
    /// Links to blobs.
    pub links: u64,
    /// Blobs and manifests themselves.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
}

impl Report {
    /// Whether there was nothing of that name.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Removes `what`.
///
/// # Errors
/// When there is no store, it can't be read, or something can't be removed.
pub fn rm(config: &Config, what: &What) -> Result<Report, Error> {
    let layout = Layout::existing(&config.path)?;
    let mut report = Report::default();
    match what {
        What::Repository(repository) => {
            let folder = layout.repository(repository);
            report.all(&layout, &folder)?;
        }
        What::Tag(repository, tag) => {
            let folder = layout.repository(repository).tag(tag);
            report.tags += u64::from(links::remove_tag(&layout, &folder)?);
        }
        What::Link(repository, digest) => {
            report.link(&layout, &layout.repository(repository), digest)?;
        }
        What::Digest(digest) => {
            for repository in walk::repositories(&layout)? {
                report.link(&layout, &repository.folder, digest)?;
            }
            let size = walk::size(&layout, digest)?;
            let folder = layout.blob_folder(digest);
            if durable::detach(&layout.tmp(), &folder).at(&folder)? {
                report.blobs += 1;
                report.bytes += size.unwrap_or(0);
            }
        }
    }
    Ok(report)
}

impl Report {
    fn all(&mut self, layout: &Layout, repository: &RepositoryFolder) -> Result<(), Error> {
        let tags = links::tags(repository)?.len() as u64;
        let manifests = walk::links(&repository.revisions())?.len() as u64;
        let blobs = walk::links(&repository.layers())?.len() as u64;
        for folder in [repository.manifests(), repository.layers()] {
            durable::detach(&layout.tmp(), &folder).at(&folder)?;
        }
        // Repositories may lie below this one: then the folder stays.
        let _ = std::fs::remove_dir(repository.path());
        self.tags += tags;
        self.manifests += manifests;
        self.links += blobs;
        Ok(())
    }

    fn link(
        &mut self,
        layout: &Layout,
        repository: &RepositoryFolder,
        digest: &Digest,
    ) -> Result<(), Error> {
        for (_, tag) in walk::tags(repository)? {
            let points_there = links::tag(&tag)?.is_some_and(|tag| tag.digest == *digest);
            if points_there && links::remove_tag(layout, &tag)? {
                self.tags += 1;
            }
        }
        for (count, folder) in [
            (&mut self.manifests, repository.revision(digest)),
            (&mut self.links, repository.layer(digest)),
        ] {
            let removed = durable::detach(&layout.tmp(), &folder).at(&folder)?;
            *count += u64::from(removed);
        }
        Ok(())
    }
}
