//! Links are permission: a repository opens what it has a link to, whether the content is stored
//! now or not. They are small files that hold a digest.
//!
//! To a blob, a link alone says no more than that a manifest of the repository names it, and anybody
//! may write a manifest. The mark beside it says that the registry gave the blob, or vouched for it,
//! through this repository: both are needed.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::time::SystemTime;

use super::Error;
use super::TagRecord;
use super::durable;
use super::durable::Durability;
use super::error::At as _;
use super::error::found;
use super::layout::Layout;
use super::layout::RepositoryFolder;
use super::layout::TagFolder;
use super::walk;
use crate::oci::Digest;
use crate::oci::Repository;
use crate::oci::Tag;

/// The name of a link's file within its folder.
pub(super) const LINK: &str = "link";

/// The empty file beside a blob's link. A registry that serves the folder ignores it.
pub(super) const HELD: &str = "held";

/// The most that is read of a link, in bytes: more than any digest has.
pub(super) const LONGEST: usize = 160;

/// Whether there is a link to `digest` in `folder`. An empty one is what is left of a power cut,
/// and another content is somebody's mistake: neither is a permission.
pub(super) fn is_link(folder: &Path, digest: &Digest) -> Result<bool, Error> {
    let path = folder.join(LINK);
    let mut text = [0; LONGEST];
    let mut read = || -> io::Result<usize> {
        match found(File::open(&path))? {
            Some(mut file) => file.read(&mut text),
            None => Ok(0),
        }
    };
    let length = read().at(&path)?;
    Ok(says(&text[..length], digest))
}

/// Whether a link of this content is one to `digest`.
pub(super) fn says(text: &[u8], digest: &Digest) -> bool {
    text.trim_ascii_end() == digest.as_str().as_bytes()
}

/// Whether the link in `folder` opens the blob `digest`.
pub(super) fn opens(folder: &Path, digest: &Digest) -> Result<bool, Error> {
    let mark = folder.join(HELD);
    Ok(is_link(folder, digest)? && found(fs::metadata(&mark)).at(&mark)?.is_some())
}

/// Whether a repository of the upstream whose folder is called `component` opens the blob `digest`.
pub(super) fn any_opens(layout: &Layout, component: &str, digest: &Digest) -> Result<bool, Error> {
    let mut repositories = Vec::new();
    walk::below(
        &layout.repositories().join(component),
        "",
        &mut repositories,
    )?;
    for (_, path) in repositories {
        if opens(&RepositoryFolder::at(path).layer(digest), digest)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Lets `repository` open `digests`. Not synced: a link that is lost costs one question to the
/// upstream, and syncing each would cost more than fetching a small image.
pub(super) fn open_blobs(
    layout: &Layout,
    repository: &RepositoryFolder,
    digests: &[Digest],
) -> Result<(), Error> {
    name_blobs(layout, repository, digests)?;
    for digest in digests {
        let folder = repository.layer(digest);
        if !opens(&folder, digest)? {
            let mark = folder.join(HELD);
            durable::put(&layout.tmp(), &mark, b"", Durability::Relaxed).at(&mark)?;
        }
    }
    Ok(())
}

/// Notes that a manifest of `repository` names `digests`. It opens none of them. Not synced either.
pub(super) fn name_blobs(
    layout: &Layout,
    repository: &RepositoryFolder,
    digests: &[Digest],
) -> Result<(), Error> {
    if digests.is_empty() {
        return Ok(());
    }
    durable::make_folders(repository.path()).at(repository.path())?;
    for digest in digests {
        let folder = repository.layer(digest);
        if !is_link(&folder, digest)? {
            link(layout, &folder, digest, Durability::Relaxed)?;
        }
    }
    Ok(())
}

/// Puts a link to `digest` into `folder`.
pub(super) fn link(
    layout: &Layout,
    folder: &Path,
    digest: &Digest,
    durability: Durability,
) -> Result<(), Error> {
    let path = folder.join(LINK);
    let bytes = digest.as_str().as_bytes();
    durable::put(&layout.tmp(), &path, bytes, durability).at(&path)?;
    Ok(())
}

/// What a link says; `None` where there is none, or none that can be read.
pub(super) fn target(path: &Path) -> Result<Option<(File, Digest)>, Error> {
    Ok(look(path)?.flatten())
}

/// What is at a link's place, by one look: nothing, or a file, which may hold no digest.
pub(super) fn look(path: &Path) -> Result<Option<Option<(File, Digest)>>, Error> {
    let read = || -> io::Result<Option<(File, String)>> {
        let Some(file) = found(File::open(path))? else {
            return Ok(None);
        };
        let mut text = Vec::new();
        (&file).take(256).read_to_end(&mut text)?;
        Ok(Some((file, String::from_utf8_lossy(&text).into_owned())))
    };
    let digest = |(file, text): (File, String)| Some((file, text.trim_end().parse().ok()?));
    Ok(read().at(path)?.map(digest))
}

/// What a tag points to.
pub(super) fn tag(folder: &TagFolder) -> Result<Option<TagRecord>, Error> {
    let path = folder.current();
    let Some((file, digest)) = target(&path)? else {
        return Ok(None);
    };
    let metadata = file.metadata().at(&path)?;
    let confirmed = metadata.modified().at(&path)?;
    Ok(Some(TagRecord { digest, confirmed }))
}

/// Points a tag to `digest`, confirmed now. Only the time is written where it did so before.
pub(super) fn put_tag(
    layout: &Layout,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), Error> {
    let folder = layout.repository(repository).tag(tag);
    let path = folder.current();
    let confirmed = SystemTime::now();
    if let Some((file, before)) = target(&path)?
        && before == *digest
        && file.set_modified(confirmed).is_ok()
    {
        return Ok(());
    }
    let bytes = digest.as_str().as_bytes();
    durable::put(&layout.tmp(), &path, bytes, Durability::Synced)
        .and_then(|file| file.set_modified(confirmed))
        .at(&path)?;
    // Afterwards: a tag that is only half there would be one that points nowhere.
    link(layout, &folder.past(digest), digest, Durability::Relaxed)
}

/// Removes a tag: from then on it is unknown, whatever else of it is still on disk.
pub(super) fn remove_tag(layout: &Layout, folder: &TagFolder) -> Result<bool, Error> {
    durable::detach(&layout.tmp(), folder.path()).at(folder.path())
}

/// The tags of a repository that point to something, sorted as bytes.
pub(super) fn tags(repository: &RepositoryFolder) -> Result<Vec<Tag>, Error> {
    let mut tags = Vec::new();
    for (tag, folder) in walk::tags(repository)? {
        if target(&folder.current())?.is_some() {
            tags.push(tag);
        }
    }
    Ok(tags)
}
