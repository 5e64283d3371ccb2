//! Removes what nobody can ask for any more.
//!
//! Roots are the manifests that are stored and linked to a repository, with a tag or without. What
//! they name keeps its links; a blob without a link goes. Evicted blobs that a manifest names keep
//! their links as well: they are fetched again when they are asked for.
//!
//! Works beside a process that serves, and then leaves alone what is younger than [`GRACE`]. While
//! it works on a store that nobody serves from, it keeps others from beginning to.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use serde::Serialize;

use super::Config;
use super::Error;
use super::Progress;
use super::durable;
use super::error::At as _;
use super::error::found;
use super::layout::Layout;
use super::links;
use super::links::LINK;
use super::lock::Lock;
use super::shelf;
use super::walk;
use super::walk::FoundRepository;
use crate::oci::Digest;
use crate::oci::Manifest;

/// What is younger stays while a process serves from the store: it may be a part of a pull that is
/// not complete yet.
pub const GRACE: Duration = Duration::from_secs(3600);

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether a process serves from the store, so that what is young was left alone.
    pub serving: bool,
    /// Blobs and manifests.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Links to blobs and manifests.
    pub links: u64,
    /// Tags whose manifest is gone.
    pub tags: u64,
    /// Empty folders.
    pub folders: u64,
    /// What was half-written; only where no process serves.
    pub leftovers: u64,
}

/// Collects garbage. Progress is in repositories and blobs.
///
/// # Errors
/// When there is no store, it can't be read, or something can't be removed.
pub fn gc(config: &Config, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
    let layout = Layout::existing(&config.path)?;
    let lock = Lock::take(&layout)?;
    let mut collection = Collection {
        layout,
        before: lock.is_none().then(|| SystemTime::now() - GRACE),
        live: HashSet::new(),
        report: Report {
            serving: lock.is_none(),
            ..Report::default()
        },
    };
    collection.run(progress)?;
    if lock.is_some() {
        collection.leftovers()?;
    }
    Ok(collection.report)
}

struct Collection {
    layout: Layout,
    /// What was touched later stays; all goes where no process serves.
    before: Option<SystemTime>,
    /// What is linked.
    live: HashSet<Digest>,
    report: Report,
}

impl Collection {
    fn run(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let repositories = walk::repositories(&self.layout)?;
        let mut blobs = Vec::new();
        walk::blobs(&self.layout, |digest| {
            blobs.push(digest);
            Ok(ControlFlow::Continue(()))
        })?;
        let total = (repositories.len() + blobs.len()) as u64;
        let mut done = 0;
        let mut step = || {
            done += 1;
            progress(Progress { done, total });
        };
        for repository in &repositories {
            self.repository(repository)?;
            step();
        }
        for digest in &blobs {
            if !self.live.contains(digest) {
                self.blob(digest)?;
            }
            step();
        }
        for top in [self.layout.blobs(), self.layout.repositories()] {
            for (_, folder) in walk::entries(&top)? {
                self.fold(&folder)?;
            }
        }
        Ok(())
    }

    /// Removes dead links, and marks what the others point to.
    fn repository(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        let folder = &repository.folder;
        let mut named = HashSet::new();
        let mut revisions = HashSet::new();
        for digest in walk::links(&folder.revisions())? {
            let link = folder.revision(&digest);
            match walk::manifest(&self.layout, &digest)? {
                Some(content) if links::is_link(&link, &digest)? => {
                    named.extend(Manifest::parse(&content).blobs);
                }
                _ if self.remove_link(&link)? => continue,
                _ => {}
            }
            revisions.insert(digest);
        }
        for digest in walk::links(&folder.layers())? {
            if named.contains(&digest) || !self.remove_link(&folder.layer(&digest))? {
                self.live.insert(digest);
            }
        }
        for (_, tag) in walk::tags(folder)? {
            let current = links::tag(&tag)?;
            let is_live = current.is_some_and(|tag| revisions.contains(&tag.digest));
            if !is_live && self.is_old(&tag.current())? && links::remove_tag(&self.layout, &tag)? {
                self.report.tags += 1;
                continue;
            }
            for past in walk::links(&tag.index())? {
                if !revisions.contains(&past) {
                    self.remove_link(&tag.past(&past))?;
                }
            }
        }
        self.live.extend(revisions);
        Ok(())
    }

    /// Whether a link was old enough to be removed.
    fn remove_link(&mut self, folder: &Path) -> Result<bool, Error> {
        let removed = self.is_old(&folder.join(LINK))?
            && durable::detach(&self.layout.tmp(), folder).at(folder)?;
        self.report.links += u64::from(removed);
        Ok(removed)
    }

    fn blob(&mut self, digest: &Digest) -> Result<(), Error> {
        let path = self.layout.blob(digest);
        let Some(metadata) = found(fs::metadata(&path)).at(&path)? else {
            return Ok(());
        };
        let seen = shelf::seen(&metadata);
        if self.is_before(seen.used) && durable::remove(&path).at(&path)? {
            let _ = fs::remove_dir(self.layout.blob_folder(digest));
            self.report.blobs += 1;
            self.report.bytes += seen.size;
        }
        Ok(())
    }

    /// Whether something was last written before the grace; what is not there is old.
    fn is_old(&self, path: &Path) -> Result<bool, Error> {
        let Some(metadata) = found(fs::metadata(path)).at(path)? else {
            return Ok(true);
        };
        Ok(self.is_before(metadata.modified().at(path)?))
    }

    fn is_before(&self, time: SystemTime) -> bool {
        self.before.is_none_or(|before| time <= before)
    }

    /// Removes empty folders, the innermost first.
    fn fold(&mut self, folder: &PathBuf) -> Result<(), Error> {
        if !folder.is_dir() || !self.is_old(folder)? {
            return Ok(());
        }
        for (_, inner) in walk::entries(folder)? {
            self.fold(&inner)?;
        }
        match fs::remove_dir(folder) {
            Ok(()) => self.report.folders += 1,
            Err(error) if is_in_use(&error) => {}
            Err(error) => return Err(error).at(folder),
        }
        Ok(())
    }

    fn leftovers(&mut self) -> Result<(), Error> {
        for (_, leftover) in walk::entries(&self.layout.tmp())? {
            let removed = durable::remove(&leftover).at(&leftover)?;
            self.report.leftovers += u64::from(removed);
        }
        Ok(())
    }
}

fn is_in_use(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
    )
}
