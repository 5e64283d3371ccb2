//! What is in the folders, for scans and for the commands that look at a store from outside.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::path::PathBuf;

use super::Error;
use super::error::At as _;
use super::error::found;
use super::layout::Layout;
use super::layout::RepositoryFolder;
use super::layout::TagFolder;
use super::manifests;
use super::shelf;
use crate::oci::Algorithm;
use crate::oci::Digest;
use crate::oci::Name;
use crate::oci::Tag;

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

/// A repository as it is found on disk.
#[derive(Clone, Debug)]
pub(super) struct FoundRepository {
    /// Its upstream's folder: [`crate::oci::UpstreamName::path_component`].
    pub(super) upstream: String,
    pub(super) name: Name,
    pub(super) folder: RepositoryFolder,
}

impl FoundRepository {
    /// `<upstream>/<name>`.
    pub(super) fn display(&self) -> String {
        format!("{}/{}", self.upstream, self.name)
    }
}

/// The entries of a folder, sorted as bytes; none where there is no folder. Names that are not
/// UTF-8 are not ours.
pub(super) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let list = || -> io::Result<Vec<(String, PathBuf)>> {
        let Some(entries) = found(fs::read_dir(folder))? else {
            return Ok(Vec::new());
        };
        let mut list = Vec::new();
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                list.push((name, entry.path()));
            }
        }
        list.sort_unstable();
        Ok(list)
    };
    list().at(folder)
}

/// Visits the digest of each blob folder, in order, until `visit` breaks.
pub(super) fn blobs(
    layout: &Layout,
    mut visit: impl FnMut(Digest) -> Result<ControlFlow<()>, Error>,
) -> Result<(), Error> {
    for algorithm in ALGORITHMS {
        for (_, folder) in entries(&layout.blobs().join(algorithm.as_str()))? {
            for digest in of_algorithm(&folder, algorithm)? {
                if visit(digest)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The digests that a folder of links has folders for, whatever is in those.
pub(super) fn links(folder: &Path) -> Result<Vec<Digest>, Error> {
    let mut digests = Vec::new();
    for algorithm in ALGORITHMS {
        digests.extend(of_algorithm(&folder.join(algorithm.as_str()), algorithm)?);
    }
    Ok(digests)
}

fn of_algorithm(folder: &Path, algorithm: Algorithm) -> Result<Vec<Digest>, Error> {
    let digest = |hex: String| format!("{}:{hex}", algorithm.as_str()).parse().ok();
    Ok(entries(folder)?
        .into_iter()
        .filter_map(|(hex, _)| digest(hex))
        .collect())
}

/// All repositories, sorted by upstream and name.
pub(super) fn repositories(layout: &Layout) -> Result<Vec<FoundRepository>, Error> {
    let mut all = Vec::new();
    for (upstream, folder) in entries(&layout.repositories())? {
        let mut names = Vec::new();
        below(&folder, "", &mut names)?;
        names.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        all.extend(names.into_iter().map(|(name, path)| FoundRepository {
            upstream: upstream.clone(),
            name,
            folder: RepositoryFolder::at(path),
        }));
    }
    Ok(all)
}

/// Adds the repositories below `folder`, whose name so far is `prefix`.
pub(super) fn below(
    folder: &Path,
    prefix: &str,
    names: &mut Vec<(Name, PathBuf)>,
) -> Result<(), Error> {
    for (part, path) in entries(folder)? {
        if part.starts_with('_') {
            continue;
        }
        let name = match prefix {
            "" => part,
            prefix => format!("{prefix}/{part}"),
        };
        let Ok(parsed) = name.parse::<Name>() else {
            continue;
        };
        below(&path, &name, names)?;
        if path.join("_manifests").is_dir() || path.join("_layers").is_dir() {
            names.push((parsed, path));
        }
    }
    Ok(())
}

/// The tags that a repository has folders for, whatever is in those.
pub(super) fn tags(folder: &RepositoryFolder) -> Result<Vec<(Tag, TagFolder)>, Error> {
    Ok(entries(&folder.tags())?
        .into_iter()
        .filter_map(|(name, path)| Some((name.parse().ok()?, TagFolder::at(path))))
        .collect())
}

/// The length of a stored blob, in bytes; `None` where it is not stored.
pub(super) fn size(layout: &Layout, digest: &Digest) -> Result<Option<u64>, Error> {
    let path = layout.blob(digest);
    let metadata = found(fs::metadata(&path)).at(&path)?;
    Ok(metadata
        .filter(|metadata| shelf::is_whole(metadata, digest))
        .map(|metadata| metadata.len()))
}

/// The content of a stored manifest; `None` where it is not stored, or corrupt.
pub(super) fn manifest(layout: &Layout, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
    let path = layout.blob(digest);
    let content = found(fs::read(&path)).at(&path)?;
    Ok(content.filter(|content| manifests::is_content(digest, content)))
}
