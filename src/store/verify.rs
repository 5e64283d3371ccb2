//! Whether all that is stored is what its name says.
//!
//! What is wrong is reported and, where asked for, removed: the next pull fetches it again. Works
//! beside a process that serves.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

use serde::Serialize;

use super::Config;
use super::Error;
use super::Progress;
use super::check;
use super::durable;
use super::error::At as _;
use super::error::found;
use super::layout::DATA;
use super::layout::Layout;
use super::layout::TagFolder;
use super::links;
use super::links::LINK;
use super::manifests;
use super::manifests::MEDIA_TYPE;
use super::shelf;
use super::walk;
use super::walk::FoundRepository;
use crate::oci::Digest;
use crate::oci::Manifest;

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Blobs and manifests that were hashed.
    pub blobs: u64,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Links and tags that were looked at.
    pub links: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What a stored manifest names and the store does not hold. Nothing is wrong with that: it
    /// was never asked for, or was evicted, and is fetched when it is asked for.
    pub missing: Vec<Missing>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What is wrong with it.
    pub kind: Kind,
    /// The digest, `<repository>@<digest>` or `<repository>:<tag>`.
    pub subject: String,
    /// What was found, for people.
    pub detail: String,
    /// Whether it was removed.
    pub removed: bool,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A blob's bytes are not what its digest says: altered, or cut short.
    Corrupt,
    /// A blob has no bytes at all, as after a power cut.
    Empty,
    /// A link does not hold the digest that its place says.
    BrokenLink,
    /// What is written beside a manifest's link is no media type.
    MediaType,
    /// A tag points to a manifest that the repository may not open, or that is not stored.
    DanglingTag,
}

/// Something that is named but not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `<upstream>/<name>`.
    pub repository: String,
    /// The manifest that names it.
    pub manifest: String,
    /// What it names.
    pub digest: String,
}

impl Report {
    /// Whether nothing is wrong any more.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| problem.removed)
    }
}

/// Hashes all that is stored and follows all links; removes what is wrong, where `repair` says so.
/// Progress is in bytes.
///
/// Works beside a process that serves: what that one has replaced or removed since it was found
/// wrong is left as it is, and not reported.
///
/// # Errors
/// When there is no store, it can't be read, or something can't be removed.
pub fn verify(
    config: &Config,
    repair: bool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let layout = Layout::existing(&config.path)?;
    let mut check = Check {
        layout,
        repair,
        good: HashSet::new(),
        report: Report::default(),
    };
    check.blobs(progress)?;
    for repository in walk::repositories(&check.layout)? {
        check.links(&repository)?;
        check.manifests(&repository)?;
        check.tags(&repository)?;
    }
    Ok(check.report)
}

struct Check {
    layout: Layout,
    repair: bool,
    good: HashSet<Digest>,
    report: Report,
}

/// What the bytes of a blob are.
enum Verdict {
    Right,
    Wrong(Kind, String),
    Gone,
}

impl Check {
    fn blobs(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let mut blobs = Vec::new();
        let mut total = 0;
        walk::blobs(&self.layout, |digest| {
            let path = self.layout.blob(&digest);
            if let Some(metadata) = found(fs::metadata(&path)).at(&path)? {
                total += metadata.len();
                blobs.push(digest);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut done = 0;
        for digest in blobs {
            let path = self.layout.blob(&digest);
            let before = done;
            let verdict = judge(&path, &digest, &mut |bytes| {
                done += bytes;
                progress(Progress { done, total });
            });
            match verdict {
                Verdict::Gone => continue,
                Verdict::Right => drop(self.good.insert(digest)),
                Verdict::Wrong(kind, detail) => {
                    let folder = self.layout.blob_folder(&digest);
                    let problem = Problem::new(kind, digest.to_string(), detail);
                    let found = self.mend(problem, &folder, |folder| {
                        let again = judge(&folder.join(DATA), &digest, &mut |_| {});
                        matches!(again, Verdict::Wrong(..))
                    })?;
                    self.report.problems.extend(found);
                }
            }
            self.report.blobs += 1;
            self.report.bytes += done - before;
        }
        Ok(())
    }

    fn links(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        let folder = &repository.folder;
        for kind in [folder.layers(), folder.revisions()] {
            for digest in walk::links(&kind)? {
                self.report.links += 1;
                let folder = kind.join(digest.algorithm().as_str()).join(digest.hex());
                let Some(detail) = fault_of_link(&folder, &digest) else {
                    continue;
                };
                let subject = format!("{}@{digest}", repository.display());
                let problem = Problem::new(Kind::BrokenLink, subject, detail);
                let found = self.mend(problem, &folder, |folder| {
                    fault_of_link(folder, &digest).is_some()
                })?;
                self.report.problems.extend(found);
            }
        }
        Ok(())
    }

    fn manifests(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        for digest in walk::links(&repository.folder.revisions())? {
            self.media_type(repository, &digest)?;
            let Some(content) = walk::manifest(&self.layout, &digest)? else {
                continue;
            };
            let named = Manifest::parse(&content);
            for named in named.manifests.into_iter().chain(named.blobs) {
                if !self.good.contains(&named) && walk::size(&self.layout, &named)?.is_none() {
                    self.report.missing.push(Missing {
                        repository: repository.display(),
                        manifest: digest.to_string(),
                        digest: named.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    fn media_type(&mut self, repository: &FoundRepository, digest: &Digest) -> Result<(), Error> {
        let path = repository.folder.revision(digest).join(MEDIA_TYPE);
        let Some(written) = found(fs::read(&path)).at(&path)? else {
            return Ok(());
        };
        if str::from_utf8(&written).is_ok_and(manifests::is_media_type) {
            return Ok(());
        }
        let removed = self.repair && durable::remove(&path).at(&path)?;
        let subject = format!("{}@{digest}", repository.display());
        let detail = "what is written beside its link is no media type".to_owned();
        self.report.problems.push(Problem {
            removed,
            ..Problem::new(Kind::MediaType, subject, detail)
        });
        Ok(())
    }

    fn tags(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        for (tag, folder) in walk::tags(&repository.folder)? {
            self.report.links += 1;
            let Some(detail) = self.fault_of_tag(repository, &folder) else {
                continue;
            };
            let subject = format!("{}:{tag}", repository.display());
            let problem = Problem::new(Kind::DanglingTag, subject, detail);
            let found = self.mend(problem, folder.path(), |taken| {
                let folder = TagFolder::at(taken.to_path_buf());
                self.fault_of_tag(repository, &folder).is_some()
            })?;
            self.report.problems.extend(found);
        }
        Ok(())
    }

    fn fault_of_tag(&self, repository: &FoundRepository, folder: &TagFolder) -> Option<String> {
        let digest = match links::look(&folder.current()) {
            Ok(Some(Some((_, digest)))) => digest,
            Ok(Some(None)) => return Some("it holds no digest".to_owned()),
            Ok(None) => return None,
            Err(error) => return Some(format!("it can't be read: {error}")),
        };
        let revision = repository.folder.revision(&digest);
        if !links::is_link(&revision, &digest).unwrap_or_default() {
            return Some(format!("it points to {digest}, which is not linked"));
        }
        // Beside a process that serves, it may have been stored since it was looked for.
        let stored = self.good.contains(&digest)
            || walk::manifest(&self.layout, &digest).is_ok_and(|content| content.is_some());
        (!stored).then(|| format!("it points to {digest}, which is not stored"))
    }

    /// The problem as it is to be reported: removed, where that is asked for; `None` where it is
    /// none any more. Whether it `is_wrong` is asked again when nobody can replace it.
    fn mend(
        &self,
        problem: Problem,
        folder: &Path,
        is_wrong: impl FnOnce(&Path) -> bool,
    ) -> Result<Option<Problem>, Error> {
        if !self.repair {
            return Ok(Some(problem));
        }
        let removed = durable::detach_wrong(&self.layout.tmp(), folder, is_wrong).at(folder)?;
        Ok(removed.then_some(Problem { removed, ..problem }))
    }
}

impl Problem {
    fn new(kind: Kind, subject: String, detail: String) -> Self {
        Self {
            kind,
            subject,
            detail,
            removed: false,
        }
    }
}

/// What is wrong with the link to `digest` that is in `folder`. A folder without one is what is left
/// of a kill, and says nothing.
fn fault_of_link(folder: &Path, digest: &Digest) -> Option<String> {
    match links::look(&folder.join(LINK)) {
        Ok(None) => None,
        Ok(Some(Some((_, held)))) if held == *digest => None,
        Ok(Some(Some((_, other)))) => Some(format!("it holds {other}")),
        Ok(Some(None)) => Some("it holds no digest".to_owned()),
        Err(error) => Some(format!("it can't be read: {error}")),
    }
}

/// Hashes a file.
fn judge(path: &Path, digest: &Digest, read: &mut dyn FnMut(u64)) -> Verdict {
    let unreadable = |error: io::Error| {
        let detail = format!("it can't be read: {error}");
        Verdict::Wrong(Kind::Corrupt, detail)
    };
    let file = match found(open(path)) {
        Ok(Some(file)) => file,
        Ok(None) => return Verdict::Gone,
        Err(error) => return unreadable(error),
    };
    let size = match file.metadata() {
        Ok(metadata) if shelf::is_whole(&metadata, digest) => metadata.len(),
        Ok(_) => return Verdict::Wrong(Kind::Empty, "it has no bytes".to_owned()),
        Err(error) => return unreadable(error),
    };
    match check::hash(&file, digest, read) {
        Ok(actual) if actual == *digest => Verdict::Right,
        Ok(actual) => Verdict::Wrong(Kind::Corrupt, format!("its {size} bytes are {actual}")),
        Err(error) => unreadable(error),
    }
}

/// Opens a file, to read it without a trace: its atime says when a client last used the blob.
fn open(path: &Path) -> io::Result<File> {
    let no_trace = i32::try_from(OFlags::NOATIME.bits()).unwrap_or_default();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(no_trace)
        .open(path);
    match opened {
        // It is for the file's owner (`open(2)`). The order of eviction is less good then.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => File::open(path),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    use super::super::durable::Durability;
    use super::*;

    #[test]
    fn a_link_that_appears_meanwhile_is_not_broken() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        fs::create_dir_all(layout.tmp()).unwrap();
        let digest = Digest::of(b"x");
        let made = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..500 {
                    let folder = root.path().join(number.to_string());
                    links::link(&layout, &folder, &digest, Durability::Relaxed).unwrap();
                }
                made.store(true, Ordering::SeqCst);
            });
            let mut number = 0;
            while !made.load(Ordering::SeqCst) {
                let folder = root.path().join(number.to_string());
                assert_eq!(fault_of_link(&folder, &digest), None);
                number += usize::from(folder.join(LINK).exists());
            }
        });
    }
}
