//! Manifests are blobs with a link of their own kind, beside which their media type is written.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::StoredManifest;
use super::durable;
use super::durable::Durability;
use super::error::At as _;
use super::error::found;
use super::layout::Layout;
use super::layout::RepositoryFolder;
use super::links;
use super::seal;
use super::shelf::Shelf;
use super::walk;
use crate::oci::Digest;
use crate::oci::Hasher;
use crate::oci::Manifest;
use crate::oci::Name;
use crate::oci::Repository;
use crate::oci::media;

/// The file beside a revision's link. A registry that serves the folder ignores it.
pub(super) const MEDIA_TYPE: &str = "media-type";

/// A manifest as the upstream sent it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) bytes: Bytes,
}

/// The content of a manifest that a repository has a link to; `None` where it is not stored, or
/// damaged.
pub(super) fn linked(
    layout: &Layout,
    folder: &RepositoryFolder,
    digest: &Digest,
) -> Result<Option<Vec<u8>>, Error> {
    match links::is_link(&folder.revision(digest), digest)? {
        true => walk::manifest(layout, digest),
        false => Ok(None),
    }
}

/// What refers to the manifests of a repository, by their digests.
pub(super) fn subjects(
    layout: &Layout,
    repository: &Repository,
) -> Result<HashMap<Digest, Vec<Digest>>, Error> {
    let folder = layout.repository(repository);
    let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
    for digest in walk::links(&folder.revisions())? {
        let content = linked(layout, &folder, &digest)?;
        let subject = content.and_then(|content| Manifest::parse(&content).subject);
        if let Some(subject) = subject {
            referrers.entry(subject).or_default().push(digest);
        }
    }
    Ok(referrers)
}

/// Reads a manifest that `repository` has a link to. One whose content is not what its digest says
/// is not stored.
pub(super) fn get(
    shelf: &Shelf,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<StoredManifest>, Error> {
    let folder = shelf.layout.repository(repository);
    if !links::is_link(&folder.revision(digest), digest)? {
        return Ok(None);
    }
    let Some((content, stored)) = shelf.content(digest)? else {
        return Ok(None);
    };
    if !is_content(digest, &content) {
        tracing::warn!(%repository, %digest, "a stored manifest was damaged, and is fetched again");
        return Ok(None);
    }
    Ok(Some(StoredManifest {
        media_type: media_type(&folder, digest, &content)?,
        bytes: content.into(),
        stored,
    }))
}

/// The media type that was written down, else what the content says.
pub(super) fn media_type(
    repository: &RepositoryFolder,
    digest: &Digest,
    content: &[u8],
) -> Result<Arc<str>, Error> {
    let path = repository.revision(digest).join(MEDIA_TYPE);
    let written = found(fs::read(&path)).at(&path)?.unwrap_or_default();
    let written = str::from_utf8(&written).unwrap_or_default();
    Ok(match is_media_type(written) {
        true => written.into(),
        false => media::of_manifest(content).into(),
    })
}

/// Whether a text can be a media type (RFC 6838, 4.2), with or without parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let name = |name: &str| {
        let is_char = |c: u8| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c);
        !name.is_empty() && name.len() < 128 && name.bytes().all(is_char)
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_visible = text.bytes().all(|c| (b' '..=b'~').contains(&c));
    let parts = essence.split_once('/');
    is_visible && parts.is_some_and(|(kind, subtype)| name(kind) && name(subtype))
}

/// Stores a manifest, links it into `repository`, and notes what it names.
pub(super) fn put(shelf: &Shelf, repository: &Repository, sent: &Sent) -> Result<(), Error> {
    let folder = shelf.layout.repository(repository);
    let Sent {
        digest,
        media_type,
        bytes,
    } = sent;
    let named = Manifest::parse(bytes).blobs;
    links::name_blobs(&shelf.layout, &folder, &named)?;
    // One that can't be read is replaced as well.
    let stored = shelf.content(digest).ok().flatten();
    if stored.is_none_or(|(content, _)| content != *bytes) {
        publish(shelf, digest, bytes)?;
    }
    shelf.index.prefer(digest);
    let revision = folder.revision(digest);
    // What is put there first is not synced, nor would its folders be.
    durable::make_folders(&revision).at(&revision)?;
    let path = revision.join(MEDIA_TYPE);
    let tmp = shelf.layout.tmp();
    durable::put(&tmp, &path, media_type.as_bytes(), Durability::Relaxed).at(&path)?;
    if !links::is_link(&revision, digest)? {
        links::link(&shelf.layout, &revision, digest, Durability::Synced)?;
    }
    shelf.shrink();
    Ok(())
}

fn publish(shelf: &Shelf, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
    let tmp = shelf.layout.tmp();
    let (mut file, temp) = durable::temp(&tmp).at(&tmp)?.into_parts();
    file.write_all(bytes).at(&temp)?;
    seal::put(&file, digest).at(&temp)?;
    file.sync_data().at(&temp)?;
    // Too small to wait for: room is made afterwards.
    let room = shelf.index.reserve_nothing();
    shelf.publish(&Arc::new(file), temp, digest, room).map(drop)
}

/// Whether `content` has this digest.
pub(super) fn is_content(digest: &Digest, content: &[u8]) -> bool {
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(content);
    hasher.finish() == *digest
}

/// The repositories of an upstream that have a link to a manifest, sorted as bytes.
pub(super) fn repositories(layout: &Layout, upstream: &str) -> Result<Vec<Name>, Error> {
    let mut found = Vec::new();
    walk::below(&layout.repositories().join(upstream), "", &mut found)?;
    let mut names = Vec::new();
    for (name, path) in found {
        if !walk::links(&RepositoryFolder::at(path).revisions())?.is_empty() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
