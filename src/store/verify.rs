//! Whether all that is stored is what its name says.
//!
//! What is wrong is reported and, where asked for, removed: the next pull fetches it again. Works
//! beside a process that serves.

use std::collections::HashSet;
use std::fs;
use std::fs::File;
use std::fs::FileTimes;
use std::io;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

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
use super::shelf;
use super::walk;
use super::walk::FoundRepository;
use crate::oci::Digest;
use crate::oci::Hasher;
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
            match verdict.at(&path)? {
                Verdict::Gone => continue,
                Verdict::Right => drop(self.good.insert(digest)),
                Verdict::Wrong(kind, detail) => {
                    let folder = self.layout.blob_folder(&digest);
                    self.problem(kind, digest.to_string(), detail, &folder)?;
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
                let holds = links::target(&folder.join(LINK))?.map(|(_, digest)| digest);
                if holds.as_ref() == Some(&digest) {
                    continue;
                }
                let detail = match holds {
                    Some(other) => format!("it holds {other}"),
                    None => "it holds no digest".to_owned(),
                };
                let subject = format!("{}@{digest}", repository.display());
                self.problem(Kind::BrokenLink, subject, detail, &folder)?;
            }
        }
        Ok(())
    }

    fn manifests(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        for digest in walk::links(&repository.folder.revisions())? {
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

    fn tags(&mut self, repository: &FoundRepository) -> Result<(), Error> {
        for (tag, folder) in walk::tags(&repository.folder)? {
            self.report.links += 1;
            let detail = match links::tag(&folder)? {
                None => "it holds no digest".to_owned(),
                Some(tag) if !links::is_link(&repository.folder.revision(&tag.digest))? => {
                    format!("it points to {}, which is not linked", tag.digest)
                }
                Some(tag) if !self.is_stored(&tag.digest)? => {
                    format!("it points to {}, which is not stored", tag.digest)
                }
                Some(_) => continue,
            };
            let subject = format!("{}:{tag}", repository.display());
            self.problem(Kind::DanglingTag, subject, detail, folder.path())?;
        }
        Ok(())
    }

    /// Whether a manifest is stored: since it was looked for, perhaps, beside a process that serves.
    fn is_stored(&self, digest: &Digest) -> Result<bool, Error> {
        Ok(self.good.contains(digest) || walk::manifest(&self.layout, digest)?.is_some())
    }

    fn problem(
        &mut self,
        kind: Kind,
        subject: String,
        detail: String,
        folder: &Path,
    ) -> Result<(), Error> {
        let removed = self.repair && durable::detach(&self.layout.tmp(), folder).at(folder)?;
        self.report.problems.push(Problem {
            kind,
            subject,
            detail,
            removed,
        });
        Ok(())
    }
}

/// Hashes a file. Its atime is put back, for it says when a client last used the blob.
fn judge(path: &Path, digest: &Digest, read: &mut dyn FnMut(u64)) -> io::Result<Verdict> {
    let Some(mut file) = found(File::open(path))? else {
        return Ok(Verdict::Gone);
    };
    let metadata = file.metadata()?;
    if !shelf::is_whole(&metadata, digest) {
        return Ok(Verdict::Wrong(Kind::Empty, "it has no bytes".to_owned()));
    }
    let mut hasher = Hasher::new(digest.algorithm());
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&buffer[..length]);
        read(length as u64);
    }
    if let Ok(accessed) = metadata.accessed() {
        // Refused to who does not own the file: then only the order of eviction is less good.
        let _ = file.set_times(FileTimes::new().set_accessed(accessed));
    }
    let actual = hasher.finish();
    Ok(if actual == *digest {
        Verdict::Right
    } else {
        let detail = format!("its {} bytes are {actual}", metadata.len());
        Verdict::Wrong(Kind::Corrupt, detail)
    })
}
